"""The settings' chapter on words: what the pose-generator door does not draw, unless a setting names other words."""

from __future__ import annotations

# Content, known characters, violence and drugs: pose-generator contract, section 2.
BANNED_WORDS = (
    *("nude", "naked", "nsfw", "explicit", "porn", "pornographic", "sexual", "sex", "xxx", "erotic", "hentai", "lewd"),
    *("mickey mouse", "spiderman", "superman", "batman", "pokemon", "pikachu", "naruto", "sonic", "mario", "zelda"),
    *("hello kitty", "spongebob", "doraemon", "iron man", "wonder woman"),
    *("hitler", "nazi", "terrorist", "gore", "murder", "kill", "suicide", "cocaine", "heroin", "meth"),
)
