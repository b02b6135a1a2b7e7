"""OpenRouter: a picture is judged; whatever is no verdict is asked again, and never a loss."""

from __future__ import annotations

from providers.adapters.openrouter import OpenRouter
from providers.errors import (
    BadAnswer,
    ModelGone,
    NetworkError,
    OurAccountEmpty,
    OurKeyRefused,
    ProviderTimeout,
    RateLimited,
    Unavailable,
)
from tests.providers.columns import BUSY, DOWN, Cell, Column
from tests.providers.make import make_png

COLUMNS = [
    Column(
        "openrouter",
        "openrouter",
        lambda settings: OpenRouter(),
        (
            *(Cell(cell.fault, cell.kind, cell.params, cell.wait_s, ask_again=True) for cell in (*BUSY, *DOWN)),
            Cell("502", Unavailable, {"html": True}, ask_again=True),
            Cell("loading", Unavailable, ask_again=True),
            Cell("unauthorized", OurKeyRefused, ask_again=True),
            Cell("forbidden", OurKeyRefused, ask_again=True),
            Cell("no-credit", OurAccountEmpty, ask_again=True),
            Cell("model-gone", ModelGone, {"status": 404}),
            Cell("model-gone", ModelGone, {"status": 400}),
            Cell("model-gone", ModelGone, {"status": 410}),
            Cell("bad-input", Unavailable, {"status": 400}, ask_again=True),
            Cell("bad-input", Unavailable, {"status": 413}, ask_again=True),
            Cell("bad-input", Unavailable, {"status": 422}, ask_again=True),
            Cell("bad-input", Unavailable, {"status": 412}, ask_again=True),
            Cell("filtered", Unavailable, {"at": "input"}, ask_again=True),
            Cell("filtered", Unavailable, {"at": "input", "status": 400}, ask_again=True),
            Cell("filtered", Unavailable),
            Cell("filtered", Unavailable, {"finish_reason": "stop"}),
            Cell("hang", ProviderTimeout, ask_again=True),
            Cell("slow", ProviderTimeout, {"delay_s": 30}, ask_again=True),
            Cell("drip", ProviderTimeout, ask_again=True),
            Cell("truncated", NetworkError, ask_again=True),
            Cell("reset", NetworkError, ask_again=True),
            Cell("drop-after-accept", NetworkError, ask_again=True),
            Cell("empty", Unavailable),
            Cell("html", Unavailable),
            Cell("json-error", Unavailable),
            Cell("huge", BadAnswer, {"size": 5_000_000}),
            Cell("gzip-bomb", BadAnswer, {"size": 50_000_000}),
            Cell("short-count", Unavailable),
            Cell("verdict", Unavailable, {"content": "I see a lighthouse."}),
            Cell("verdict", Unavailable, {"content": ""}),
            Cell("verdict", Unavailable, {"content": None}),
            Cell("verdict", Unavailable, {"content": "[false, false]"}),
            Cell("verdict", Unavailable, {"content": '{"has_text": false, "has_an'}),
            Cell("verdict", Unavailable, {"finish_reason": "length"}),
            Cell("verdict", Unavailable, {"choice_error": True}),
            Cell("error-in-200", RateLimited, {"status": 429}),
            Cell("error-in-200", OurAccountEmpty, {"status": 402}),
        ),
        operation="verify-image",
        inputs={"images": [make_png(256, 256)]},
    ),
]
