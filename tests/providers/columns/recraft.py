"""Recraft: one blocking call, the picture behind a link or in base64 in JSON."""

from __future__ import annotations

from typing import Any

from providers.adapters.recraft import Recraft
from providers.base import Provider
from providers.errors import (
    AnswerLost,
    BadAnswer,
    ContentRejected,
    ModelGone,
    NetworkError,
    OurAccountEmpty,
    OurKeyRefused,
    Refused,
    Unavailable,
)
from tests.providers.columns import BUSY, DOWN, LOST, REFUSED, SPOILED, Cell, Column


def by(response_format: str) -> Any:
    def adapter(settings: Any) -> Provider:
        settings.RECRAFT = {**settings.RECRAFT, "RESPONSE_FORMAT": response_format, "WINDOW": ()}
        return Recraft()

    return adapter


# Little of its errors is documented: each is read as JSON and as plain text, and the empty account by three statuses.
COMMON = (
    *BUSY, *DOWN, *REFUSED,
    Cell("bad-input", Refused, {"status": 413}),
    Cell("bad-input", Refused, {"as_text": True}),
    Cell("500", Unavailable, {"as_text": True}),
    Cell("loading", Unavailable),
    Cell("unauthorized", OurKeyRefused),
    Cell("forbidden", OurKeyRefused),
    Cell("no-credit", OurAccountEmpty),
    Cell("no-credit", OurAccountEmpty, {"status": 400}),
    Cell("no-credit", OurAccountEmpty, {"status": 403}),
    Cell("no-credit", OurAccountEmpty, {"status": 400, "as_text": True}),
    Cell("model-gone", ModelGone),
    Cell("model-gone", ModelGone, {"status": 410}),
    Cell("filtered", ContentRejected),
    Cell("filtered", ContentRejected, {"at": "input"}),
    Cell("filtered", ContentRejected, {"status": 403, "as_text": True}),
    Cell("short-count", BadAnswer),
)  # fmt: skip
# What strikes the answer strikes no file, although both go by the same name.
ANSWER = {"operation": "generations"}
FILE = {"operation": "download", "times": 9}
LINK = (
    *(Cell(cell.fault, cell.kind, {**cell.params, **ANSWER}, cell.wait_s) for cell in LOST),
    Cell("empty", BadAnswer),
    Cell("html", BadAnswer),
    Cell("json-error", BadAnswer),
    Cell("gzip-bomb", BadAnswer, {"size": 50_000_000}),
    Cell("huge", BadAnswer, {"size": 5_000_000}),
    Cell("half-picture", BadAnswer),
    Cell("wrong-type", BadAnswer),
    Cell("picture-bomb", BadAnswer),
    Cell("empty", BadAnswer, FILE),
    Cell("expired-link", AnswerLost),
    Cell("private-link", BadAnswer),
    Cell("private-link", BadAnswer, {"url": "https://2130706433/a.png"}),
    Cell("redirect-link", BadAnswer),
    # The link is kept and asked again: what was made is paid for.
    Cell("drip", NetworkError, FILE, ask_again=True),
    Cell("truncated", NetworkError, FILE, ask_again=True),
    Cell("503", NetworkError, FILE, ask_again=True),
)
COLUMNS = [
    Column("recraft link", "recraft", by("url"), (*COMMON, *LINK)),
    Column("recraft base64", "recraft", by("b64_json"), (*COMMON, *LOST, *SPOILED, Cell("bad-base64", BadAnswer))),
]
