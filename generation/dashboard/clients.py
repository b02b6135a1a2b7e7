"""The worked clients of `docs/clients`, with the reader's own desk in them. There is no other copy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

# The desk that the files name when nobody else does.
DEFAULT = "http://127.0.0.1:4000"
# Door -> what it does, in the order of the page.
DOORS = {
    "visuals": ("Pictures from words", "Ask with a line of text; the answer comes over a WebSocket."),
    "makeit3d": ("Pictures, edits and 3D models", "Upload a picture or draw one, make a model from it."),
    "stories": ("Stories", "Upload a segments.md, get checked pictures for each segment."),
    "poses": ("People in poses", "Choose a pose of the library, get it in the sizes that shops take."),
}
ENDINGS = {".py": "Python", ".sh": "curl"}


@dataclass(frozen=True)
class Example:
    """One door, with its client in each language: (language, file name, text)."""

    door: str
    title: str
    words: str
    files: list[tuple[str, str, str]]


def examples(address: str) -> list[Example]:
    return [
        Example(
            door,
            title,
            words,
            [(word, f"{door}{end}", _text(f"{door}{end}", address)) for end, word in ENDINGS.items()],
        )
        for door, (title, words) in DOORS.items()
    ]


def file(name: str, address: str) -> str | None:
    """One client; None when there is none of that name."""
    known = {f"{door}{ending}" for door in DOORS for ending in ENDINGS}
    return _text(name, address) if name in known else None


def _text(name: str, address: str) -> str:
    return _read(name).replace(DEFAULT, address)


@cache
def _read(name: str) -> str:
    return (Path(settings.BASE_DIR) / "docs" / "clients" / name).read_text(encoding="utf-8")
