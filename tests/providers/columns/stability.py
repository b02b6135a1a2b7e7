"""Stability: a form in and a picture or a model back, or a call that parks and is asked about."""

from __future__ import annotations

from typing import Any

from providers.adapters.stability import Stability
from providers.base import Provider
from providers.errors import (
    AnswerLost,
    BadAnswer,
    ContentRejected,
    NetworkError,
    OurKeyRefused,
    ProviderTimeout,
    RateLimited,
    Unavailable,
)
from tests.providers.columns import DOWN, FILTERED, GONE, LOST, OURS, REFUSED, SPOILED, Cell, Column
from tests.providers.make import make_png


def adapter(settings: Any) -> Provider:
    """Without our own window: the whole column would fill it."""
    settings.STABILITY = {**settings.STABILITY, "WINDOW": (0, 10)}
    return Stability()


# Who is told no usable time waits out the minute for which this vendor shuts its callers out.
BUSY = (
    Cell("rate-limit", RateLimited, {"retry_after": 7}, (7, 7)),
    Cell("rate-limit", RateLimited, {"retry_after": "date"}, (15, 20)),
    Cell("rate-limit", RateLimited, {"retry_after": 9_999_999}, (300, 300)),
    Cell("rate-limit", RateLimited, {"retry_after": -5}, (1, 1)),
    Cell("rate-limit", RateLimited, {"retry_after": "soon"}, (60, 60)),
    Cell("rate-limit", RateLimited, {}, (60, 60)),
)
SHARED = (*BUSY, *DOWN, *OURS, *GONE, *REFUSED, *FILTERED, Cell("loading", Unavailable))
PUBLIC_FIGURE = Cell("filtered", ContentRejected, {"code": "public_figure"})
BLURRED = Cell("filtered", ContentRejected, {"at": "output"})


def asked(fault: str, kind: Any, wait_s: float = 0.0, **params: Any) -> Cell:
    """A fault of a question about a parked call; with a wait the call is still at the vendor."""
    return Cell(fault, kind, {"operation": "results", **params}, (wait_s, wait_s), ask_again=wait_s > 0)


COLUMNS = [
    Column(
        "stability",
        "stability",
        adapter,
        (*SHARED, *LOST, *SPOILED, PUBLIC_FIGURE, BLURRED),
        "sketch-to-image",
        {"images": [make_png(96, 64)]},
    ),
    Column(
        "stability 3d",
        "stability",
        adapter,
        (*SHARED, *LOST, *SPOILED, PUBLIC_FIGURE),
        "image-to-model",
        {"images": [make_png()]},
    ),
    Column(
        "stability parked",
        "stability",
        adapter,
        (
            *SHARED, PUBLIC_FIGURE, BLURRED,
            *(Cell(fault, AnswerLost) for fault in ("hang", "reset", "drop-after-accept", "truncated")),
            *(Cell(fault, BadAnswer) for fault in ("empty", "html", "json-error", "wrong-type", "gzip-bomb")),
            asked("vanished", AnswerLost),
            # The file is kept for a day: what broke on the way to us is asked for again, at the vendor's pace.
            *(asked(fault, Unavailable, 10) for fault in ("500", "502", "503")),
            *(asked(fault, NetworkError, 10) for fault in ("truncated", "reset")),
            *(asked(fault, BadAnswer, 10) for fault in ("html", "json-error")),
            *(asked(fault, ProviderTimeout, 10) for fault in ("504", "hang", "drip")),
            asked("unauthorized", OurKeyRefused, 10),
            asked("rate-limit", RateLimited, 60),
            asked("rate-limit", RateLimited, 10, retry_after=2),
            # What came whole and is wrong would be the same the next time.
            *(asked(fault, BadAnswer) for fault in ("half-picture", "empty", "wrong-type", "huge", "picture-bomb")),
            asked("gzip-bomb", BadAnswer),
            asked("filtered", ContentRejected, at="output"),
            asked("filtered", ContentRejected, at="input"),
        ),
        "replace-background",
        {"images": [make_png(96, 64)]},
    ),
]  # fmt: skip
