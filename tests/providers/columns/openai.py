"""OpenAI: one blocking call, the picture in base64 in JSON."""

from __future__ import annotations

from providers.adapters.openai import OpenAI
from providers.errors import BadAnswer, ContentRejected, OurAccountEmpty, Unavailable
from tests.providers.columns import BUSY, DOWN, FILTERED, GONE, LOST, OURS, REFUSED, SPOILED, Cell, Column
from tests.providers.make import make_png

EDITS = {"images": [make_png()], "mask": make_png()}

COLUMNS = [
    Column(
        "openai edits",
        "openai",
        lambda settings: OpenAI(),
        (*BUSY, *DOWN, *OURS, *GONE, *REFUSED, *FILTERED, *LOST, *SPOILED),
        operation="image-inpaint",
        inputs=EDITS,
    ),
    Column(
        "openai",
        "openai",
        lambda settings: OpenAI(),
        (
            *BUSY, *DOWN, *OURS, *GONE, *REFUSED, *FILTERED, *LOST, *SPOILED,
            Cell("loading", Unavailable, {"estimated_time": 20.0}),
            Cell("insufficient_quota", OurAccountEmpty),
            Cell("credit_balance_exhausted", OurAccountEmpty),
            Cell("billing_hard_limit", OurAccountEmpty),
            Cell("filtered", ContentRejected),
            Cell("filtered", ContentRejected, {"details": True, "at": "output"}),
            Cell("filtered", ContentRejected, {"code": "content_policy_violation", "status": 422}),
            Cell("short-count", BadAnswer),
            Cell("bad-base64", BadAnswer),
        ),
    ),
]  # fmt: skip
