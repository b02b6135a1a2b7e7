"""The columns of the fault matrix: one file per vendor, one column per protocol that its adapter speaks.

A cell says what a scripted fault of the simulator becomes at this protocol; a fault that the protocol
cannot have has no cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.base import Provider
from providers.errors import (
    AnswerLost,
    BadAnswer,
    ContentRejected,
    ModelGone,
    NetworkError,
    OurAccountEmpty,
    OurKeyRefused,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    Unavailable,
)

Kind = type[ProviderError]


@dataclass(frozen=True)
class Cell:
    """kind: the class that the fault becomes. wait_s: what it asks to wait, lowest and highest.

    ask_again: it struck a question about a call that is still at the vendor.
    """

    fault: str
    kind: Kind
    params: Mapping[str, Any] = field(default_factory=dict)
    wait_s: tuple[float, float] = (0, 0)
    ask_again: bool = False


@dataclass(frozen=True)
class Column:
    """vendor: as the simulator calls it. adapter: made with the test's settings, which it may change first."""

    name: str
    vendor: str
    adapter: Callable[[Any], Provider]
    cells: tuple[Cell, ...]
    operation: str = "text-to-image"
    inputs: Mapping[str, Any] = field(default_factory=dict)


# What every blocking protocol answers, before the vendor's own words: a column takes these and adds its own.
BUSY = (
    Cell("rate-limit", RateLimited, {"retry_after": 7}, (7, 7)),
    Cell("rate-limit", RateLimited, {"retry_after": "date"}, (15, 20)),
    Cell("rate-limit", RateLimited, {"retry_after": 9_999_999}, (300, 300)),
    Cell("rate-limit", RateLimited, {"retry_after": -5}, (1, 1)),
    Cell("rate-limit", RateLimited, {"retry_after": "soon"}),
    Cell("rate-limit", RateLimited, {}),
)
DOWN = (
    Cell("500", Unavailable),
    Cell("502", Unavailable),
    Cell("503", Unavailable, {"retry_after": 3}, (3, 3)),
    Cell("504", ProviderTimeout),
)
OURS = (
    Cell("unauthorized", OurKeyRefused),
    Cell("forbidden", OurKeyRefused),
    Cell("no-credit", OurAccountEmpty),
)
REFUSED = (
    Cell("bad-input", Refused, {"status": 400}),
    Cell("bad-input", Refused, {"status": 422}),
)
LOST = (
    Cell("hang", AnswerLost),
    Cell("slow", AnswerLost, {"delay_s": 30}),
    Cell("drip", AnswerLost),
    Cell("truncated", AnswerLost),
    Cell("reset", AnswerLost),
    Cell("drop-after-accept", AnswerLost),
)
SPOILED = (
    Cell("half-picture", BadAnswer),
    Cell("empty", BadAnswer),
    Cell("wrong-type", BadAnswer),
    Cell("html", BadAnswer),
    Cell("json-error", BadAnswer),
    Cell("huge", BadAnswer, {"size": 5_000_000}),
    Cell("gzip-bomb", BadAnswer, {"size": 50_000_000}),
    Cell("picture-bomb", BadAnswer),
)
GONE = (
    Cell("model-gone", ModelGone, {"status": 404}),
    Cell("model-gone", ModelGone, {"status": 410}),
    Cell("model-gone", ModelGone, {"status": 400}),
)
# A result behind a link: what strikes the download while the vendor still has it is asked again.
LINKED = (
    Cell("expired-link", AnswerLost),
    Cell("private-link", BadAnswer),
    Cell("private-link", BadAnswer, {"url": "https://2130706433/a.png"}),
    Cell("redirect-link", BadAnswer),
    Cell("drip", NetworkError, {"operation": "download"}, ask_again=True),
    Cell("truncated", NetworkError, {"operation": "download"}, ask_again=True),
    Cell("503", NetworkError, {"operation": "download"}, ask_again=True),
)
# A question that goes wrong is no loss: the call is still at the vendor.
ASKED = (
    Cell("vanished", AnswerLost),
    Cell("500", Unavailable, {"operation": "status"}, ask_again=True),
    Cell("rate-limit", RateLimited, {"operation": "status", "retry_after": 2}, (2, 2), ask_again=True),
    Cell("reset", NetworkError, {"operation": "status"}, ask_again=True),
    Cell("unauthorized", OurKeyRefused, {"operation": "status"}, ask_again=True),
    Cell("html", BadAnswer, {"operation": "status"}, ask_again=True),
)
# Of calls that park: a submit whose answer never came is a loss, a result that did not come is asked for again.
PARKED = (
    Cell("short-count", BadAnswer),
    Cell("hang", AnswerLost),
    Cell("reset", AnswerLost),
    Cell("drop-after-accept", AnswerLost),
    Cell("hang", ProviderTimeout, {"operation": "result"}, ask_again=True),
)
FILTERED = (Cell("filtered", ContentRejected, {"at": "input"}),)
