"""Words that this door does not draw, matched whole and in any case. Pure; the list is a setting.

The answer never repeats the word: who sent it knows, and logs need not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def is_banned(text: str, banned: Iterable[str]) -> bool:
    """Does a text hold one of the words? Spaces in a phrase stand for any run of spaces."""
    return bool(text) and bool(_pattern(tuple(banned)).search(text))


@lru_cache(maxsize=4)
def _pattern(banned: tuple[str, ...]) -> re.Pattern[str]:
    words = (r"\s+".join(re.escape(part) for part in word.split()) for word in banned if word.strip())
    return re.compile(rf"(?<!\w)(?:{'|'.join(words) or '(?!)'})(?!\w)", re.IGNORECASE)
