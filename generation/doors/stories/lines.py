"""Lines of interest in a file, found by `bytes.find` so that a megabyte costs some milliseconds; and its texts.

Pure. Lines end with a newline alone; offsets are into the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST_NAME = 120

_UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_UNDERSCORES = re.compile(r"__+")
_UNSAYABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def lines_with(data: bytes, needle: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Lines that hold the needle: where each begins, where its first needle is, where it ends. Looks at each once."""
    end = len(data) if end is None else end
    at = data.find(needle, begin, end)
    while at >= 0:
        line_end = data.find(b"\n", at, end)
        line_end = end if line_end < 0 else line_end
        yield data.rfind(b"\n", begin, at) + 1 or begin, at, line_end
        at = data.find(needle, line_end, end)


def lines_of(data: bytes, word: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Lines that begin with the word, but for spaces: where each begins and ends."""
    for line, at, line_end in lines_with(data, word, begin, end):
        if not data[line:at].strip():
            yield line, line_end


def plain(data: bytes) -> str:
    """Text as it is told: lines trimmed, blank ones and one pair of double quotes around it removed."""
    text = "\n".join(line.strip() for line in _UNSAYABLE.sub(" ", data.decode()).split("\n")).strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return text


def clean_name(text: str) -> str:
    """Make a name that can be a folder's: no separators or control characters, no dots at its ends, never empty."""
    name = _UNDERSCORES.sub("_", _UNFIT.sub("_", text).strip(" ."))
    name = name.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .")
    return name or "unnamed"
