"""Hugging Face: picture bytes back (hf-inference), or a queue with links (fal-ai)."""

from __future__ import annotations

from typing import Any

from providers.adapters.huggingface import HuggingFace
from providers.base import Provider
from providers.errors import AnswerLost, BadAnswer, ContentRejected, ProviderTimeout, Refused, Unavailable
from tests.providers.columns import (
    ASKED,
    BUSY,
    DOWN,
    FILTERED,
    GONE,
    LINKED,
    LOST,
    OURS,
    REFUSED,
    SPOILED,
    Cell,
    Column,
)  # fmt: skip
from tests.providers.make import make_png

LOADING = Cell("loading", Unavailable, {"estimated_time": 20.0}, (20, 20))
POLICY = Cell("filtered", ContentRejected, {"code": "content_policy_violation", "status": 422})


def by(route: str) -> Any:
    def adapter(settings: Any) -> Provider:
        settings.HUGGINGFACE = {**settings.HUGGINGFACE, "ROUTE": route}
        return HuggingFace()

    return adapter


COLUMNS = [
    Column(
        "hf-inference edits",
        "huggingface",
        by("hf-inference"),
        (*BUSY, *DOWN, *OURS, *GONE, *REFUSED, *FILTERED, *LOST, *SPOILED, LOADING, POLICY),
        operation="image-to-image",
        inputs={"images": [make_png()]},
    ),
    Column(
        "fal-ai queue edits",
        "huggingface",
        by("fal-ai"),
        (*BUSY, *DOWN, *OURS, *GONE, *REFUSED, *FILTERED, *SPOILED, *LINKED, *ASKED, LOADING, POLICY),
        operation="image-to-image",
        inputs={"images": [make_png()]},
    ),
    Column(
        "hf-inference",
        "huggingface",
        by("hf-inference"),
        (*BUSY, *DOWN, *OURS, *GONE, *REFUSED, *FILTERED, *LOST, *SPOILED, LOADING, POLICY),
    ),
    Column(
        "fal-ai queue",
        "huggingface",
        by("fal-ai"),
        (
            *BUSY, *DOWN, *OURS, *GONE, *REFUSED, *FILTERED, *SPOILED, *LINKED, *ASKED, LOADING, POLICY,
            Cell("filtered", ContentRejected),
            Cell("filtered", ContentRejected, {"details": True, "at": "output"}),
            Cell("short-count", BadAnswer),
            Cell("hang", AnswerLost),
            Cell("reset", AnswerLost),
            Cell("drop-after-accept", AnswerLost),
            Cell("hang", ProviderTimeout, {"operation": "result"}, ask_again=True),
            Cell("bad-input", Refused, {"operation": "result", "status": 422}),
        ),
    ),
]  # fmt: skip
