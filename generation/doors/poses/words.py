"""Words that this door does not draw, matched whole, as people read them. Pure; the list is a setting.

The answer never repeats the word: who sent it knows, and logs need not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache


def is_banned(text: str, banned: Iterable[str]) -> bool:
    """Does a text hold one of the words? Spaces in a phrase stand for any run of spaces, hyphens and underscores."""
    return bool(text) and bool(_pattern(tuple(banned)).search(_read(text)))


@lru_cache(maxsize=4)
def _pattern(banned: tuple[str, ...]) -> re.Pattern[str]:
    words = (r"[\s_-]+".join(re.escape(part) for part in _read(word).split()) for word in banned if word.strip())
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(words) or '(?!)'})(?![^\W_])", re.IGNORECASE)


def _read(text: str) -> str:
    """The text without accents, wide letters and characters that are not to be seen: nothing that hides a word."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(one for one in apart if unicodedata.category(one) not in ("Mn", "Cf"))
