"""Replicate: predictions that park, results behind links."""

from __future__ import annotations

from providers.adapters.replicate import Replicate
from providers.errors import (
    AnswerLost,
    BadAnswer,
    ContentRejected,
    ModelGone,
    RateLimited,
    Refused,
    Unavailable,
)
from tests.providers.columns import (
    ASKED,
    BUSY,
    DOWN,
    FILTERED,
    LINKED,
    OURS,
    PARKED,
    REFUSED,
    SPOILED,
    Cell,
    Column,
)  # fmt: skip

COLUMNS = [
    Column(
        "replicate",
        "replicate",
        lambda settings: Replicate(),
        (
            *DOWN, *OURS, *REFUSED, *FILTERED, *SPOILED, *LINKED, *ASKED,
            *(cell for cell in BUSY if cell.wait_s != (0, 0)),
            Cell("rate-limit", RateLimited, {"retry_after": "soon"}, (30, 30)),  # its text says when
            Cell("rate-limit", RateLimited, {}, (30, 30)),
            Cell("rate-limit", RateLimited, {"message": "Request was throttled."}),
            Cell("model-gone", ModelGone, {"status": 404}),
            Cell("model-gone", ModelGone, {"status": 410}),
            Cell("model-gone", ModelGone, {"status": 422}),
            Cell("filtered", ContentRejected, {"at": "output"}),
            Cell("failed", ContentRejected, {"error": "NSFW content detected. Try running it again."}),
            Cell("failed", Unavailable, {"error": "Prediction failed. (E1000)"}),
            Cell("failed", Refused, {"error": "CUDA out of memory. (E1001)"}),
            Cell("failed", BadAnswer, {"error": "list index out of range"}),
            Cell("aborted", Unavailable),
            Cell("data-removed", AnswerLost),
            *PARKED,
        ),
    ),
]  # fmt: skip
