"""The kinds of parameters that the catalogue is written in: what each takes, and what a provider's call gets of it.

Pure data, no Django: the door's serializers, its OpenAPI, its plans and the console's forms are made from these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LARGEST = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter of an operation at one provider.

    default: what an absent or null one becomes; None is sent nowhere. required: absent is a fault.
    sends: the word by which a call knows it, the name itself when None; empty: no call has a place for it, so it
    is accepted and named in the record's `ignored`. nothing: a value that is sent nowhere, as None is.
    lenient: an unusable value is ignored instead of refused. shown: False where a value tells which vendor it is for.
    """

    name: str
    default: Any = None
    required: bool = False
    sends: str | None = None
    nothing: Any = None
    lenient: bool = False
    shown: bool = True
    help: str = ""

    @property
    def word(self) -> str:
        return self.name if self.sends is None else self.sends

    def inputs(self, value: Any) -> dict[str, Any]:
        """What a call gets of a checked value, under its own words."""
        return {self.word: value} if self.word and value is not None and value != self.nothing else {}


@dataclass(frozen=True, kw_only=True)
class Words(Param):
    """Free text of at most so many characters."""

    most: int = 200


@dataclass(frozen=True, kw_only=True)
class Earlier(Words):
    """Names an earlier result of the caller's own. The door looks it up; no call gets the name."""

    def inputs(self, value: Any) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, kw_only=True)
class OneOf(Param):
    """One of a few words or numbers. also: spellings that are taken too, but that no answer may show.

    becomes: word -> what the call gets instead of it. prices: word -> the price key that it asks for.
    """

    among: tuple[Any, ...]
    also: Mapping[str, Any] = field(default_factory=dict)
    becomes: Mapping[Any, Any] = field(default_factory=dict)
    prices: Mapping[Any, str] = field(default_factory=dict)

    def inputs(self, value: Any) -> dict[str, Any]:
        return super().inputs(self.becomes.get(value, value))


@dataclass(frozen=True, kw_only=True)
class Tier(OneOf):
    """Which of a provider's models makes it: `becomes` gives the model key, which is no input of the call."""

    def inputs(self, value: Any) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Whole(Param):
    low: int
    high: int = LARGEST
    step: int = 1


@dataclass(frozen=True, kw_only=True)
class Count(Whole):
    """How many results are wanted. Each is an item of its own, so no call gets it."""

    def inputs(self, value: Any) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Number(Param):
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Flag(Param):
    pass


@dataclass(frozen=True, kw_only=True)
class Size(OneOf):
    """Width and height, as in 1024x768: among a few, or with sides from low to high when `among` is empty."""

    among: tuple[Any, ...] = ()
    low: int = 0
    high: int = 0

    def inputs(self, value: Any) -> dict[str, Any]:
        if value is None:
            return {}
        width, _, height = str(value).partition("x")
        return {"width": int(width), "height": int(height)}
