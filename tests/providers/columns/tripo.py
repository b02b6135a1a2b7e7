"""Tripo: tasks that park, models behind links; and a chain of two, where the first is free."""

from __future__ import annotations

from typing import Any

from providers.adapters.tripo import Tripo
from providers.base import Provider
from providers.errors import (
    AnswerLost,
    BadAnswer,
    ContentRejected,
    ModelGone,
    NetworkError,
    OurAccountEmpty,
    ProviderTimeout,
    RateLimited,
    Refused,
    Unavailable,
)
from providers.simulator import models
from tests.providers.columns import (
    ASKED,
    BUSY,
    DOWN,
    FILTERED,
    GONE,
    LINKED,
    OURS,
    PARKED,
    REFUSED,
    SPOILED,
    Cell,
    Column,
)  # fmt: skip


def adapter(settings: Any) -> Provider:
    settings.TRIPO = {**settings.TRIPO, "MODEL_BYTES": 2_000_000}
    return Tripo()


COLUMNS = [
    Column(
        "tripo",
        "tripo",
        adapter,
        (
            *BUSY, *DOWN, *OURS, *GONE, *REFUSED, *FILTERED, *SPOILED, *ASKED,
            *(cell for cell in LINKED if cell.fault != "expired-link"),  # one is made good by asking again
            Cell("expired-link", AnswerLost, {"times": 2}),
            Cell("expired-link", AnswerLost, {"times": 2, "status": 403}),
            Cell("rate-limit", RateLimited, {"code": 1007, "retry_after": 9}, (9, 9)),
            Cell("loading", Unavailable),
            Cell("insufficient_quota", OurAccountEmpty),
            Cell("bad-input", Refused, {"code": 2003}),
            Cell("bad-input", Refused, {"code": 2022}),
            Cell("bad-input", ModelGone, {"code": 2015}),
            Cell("bad-input", Unavailable, {"code": 2014, "status": 500}),
            Cell("filtered", ContentRejected, {"at": "output"}),
            Cell("failed", Unavailable),
            Cell("failed", ContentRejected, {"error_code": 2008}),
            Cell("failed", Unavailable, {"error_code": 2018}),
            Cell("failed", Refused, {"error_code": 2004}),
            Cell("failed", Unavailable, {"error_code": 0}),
            Cell("failed", Unavailable, {"status": "cancelled"}),
            Cell("failed", Unavailable, {"status": "expired"}),
            Cell("failed", ContentRejected, {"status": "banned"}),
            *PARKED,
        ),
        operation="text-to-model",
    ),
    Column(
        "tripo import, texture",
        "tripo",
        adapter,
        (
            Cell("rate-limit", RateLimited, {"operation": "upload", "retry_after": 4}, (4, 4)),
            Cell("rate-limit", RateLimited, {"operation": "submit", "retry_after": 4}, (4, 4)),
            Cell("503", Unavailable, {"operation": "upload", "retry_after": 3}, (3, 3)),
            Cell("hang", ProviderTimeout, {"operation": "upload"}),
            Cell("reset", NetworkError, {"operation": "upload"}),
            Cell("html", BadAnswer, {"operation": "upload"}),
            Cell("json-error", BadAnswer, {"operation": "upload"}),
            Cell("bad-input", Refused, {"operation": "upload", "code": 2004}),
            # An import whose answer is lost is no loss: it was free.
            Cell("hang", ProviderTimeout, {"operation": "import"}, ask_again=True),
            Cell("reset", NetworkError, {"operation": "import"}, ask_again=True),
            Cell("bad-input", Refused, {"operation": "import", "code": 2004}),
            Cell("failed", Refused, {"operation": "status", "error_code": 2004}),
            Cell("503", Unavailable, {"operation": "status"}, ask_again=True),
            Cell("vanished", AnswerLost),
            Cell("bad-input", Refused, {"code": 2007}),
            Cell("hang", AnswerLost),
            Cell("drop-after-accept", AnswerLost),
            Cell("expired-link", AnswerLost, {"times": 2}),
        ),
        operation="refine-model",
        inputs={"model": models.glb(1)},
    ),
]  # fmt: skip
