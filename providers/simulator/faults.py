"""The names of faults, and how a good reply is spoiled. What a vendor itself would say is its protocol's."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from providers.simulator.wire import Reply

# name -> what happens, with its parameters. `operation`, `match` and `times` go with every fault.
NAMES: dict[str, str] = {
    "rate-limit": "429; retry_after: text as it shall be sent, or 'date' (20 s ahead)",
    "500": "server error",
    "502": "bad gateway, as HTML",
    "503": "overloaded; retry_after",
    "504": "gateway timeout",
    "loading": "503 with estimated_time (default 20.0)",
    "unauthorized": "401: the key is not accepted",
    "no-credit": "the account is empty, in the vendor's usual words",
    "insufficient_quota": "429, billing",
    "credit_balance_exhausted": "429, billing",
    "billing_hard_limit": "400, billing",
    "forbidden": "403",
    "model-gone": "the model is removed; status: 404 (default), 410 or 400",
    "bad-input": "the request is refused; status: 400 (default) or 422",
    "filtered": "refused by the filter; details: true|false; code; at: input|output",
    "slow": "the usual answer after delay_s (default 10)",
    "hang": "no answer until the client gives up",
    "drip": "the answer, a byte each interval_s (default 0.5)",
    "truncated": "half of the body, then the connection closes",
    "half-picture": "a whole answer with half a picture in it",
    "empty": "200 with an empty body",
    "wrong-type": "200 with a GIF under the usual content type",
    "html": "200 with an HTML page",
    "json-error": "200 with {'error': …}",
    "huge": "size bytes (default 100 MB) without end in sight",
    "gzip-bomb": "a small gzip body that grows to size bytes (default 200 MB)",
    "picture-bomb": "a small PNG of 20,000 x 20,000 pixels",
    "short-count": "fewer pictures than asked for",
    "bad-base64": "damaged base64",
    "reset": "the connection is reset once the request is read",
    "drop-after-accept": "the call is accepted and done, its answer never sent",
    "expired-link": "the result's link answers 404; status",
    "private-link": "the result's link leads to a private address; url",
    "redirect-link": "the result's link redirects to url",
    "vanished": "the vendor no longer knows the call",
    "failed": "the run itself fails; error: its text",
    "stuck": "the run never begins",
    "aborted": "the run was given up before it began",
    "data-removed": "the result is gone, and the vendor says so",
    "verdict": "the judge says has_text, has_annotations, confidence; or content, finish_reason, refusal as given;"
    " choice_error, no_usage",
    "error-in-200": "200 with the vendor's own error of that status in it",
    "progress-backwards": "progress as in percents (default [80, 20, 250])",
    "webhook-duplicate": "every webhook is sent twice",
    "webhook-early": "a webhook comes before there is anything to tell",
    "webhook-forged": "a webhook with a stranger's signature",
    "webhook-late": "a webhook that was signed an hour ago",
    "webhook-never": "no webhook comes",
}

# At an asynchronous vendor a fault without `operation` strikes the stage where it belongs.
STAGES = {
    **dict.fromkeys(
        ("truncated", "half-picture", "wrong-type", "huge", "picture-bomb", "drip", "expired-link", "redirect-link"),
        "download",
    ),
    **dict.fromkeys(("filtered", "short-count", "private-link", "failed", "data-removed"), "result"),
    **dict.fromkeys(("vanished", "progress-backwards"), "status"),
}

HTML = b"<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


@dataclass
class Fault:
    """One scripted misbehaviour, used up after `times` calls."""

    provider: str
    name: str
    times: int = 1
    operation: str = ""
    match: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    used: int = 0

    def strikes(self, provider: str, operation: str, prompt: str, *, linked: bool = False) -> bool:
        """Does it meet this call? linked: what befalls a file waits for the download."""
        if self.used >= self.times or self.provider != provider or self.match not in prompt:
            return False
        if self.operation:
            return self.operation == operation
        if linked and self._stage == "download":
            return False
        staged = operation in ("upload", "import", "submit", "status", "result", "cancel", "download")
        stage = "submit" if self.name == "filtered" and self.params.get("at") == "input" else self._stage
        return not staged or operation == stage

    @property
    def _stage(self) -> str:
        return STAGES.get(self.name, "submit")


def retry_headers(fault: Fault) -> dict[str, str]:
    wanted = fault.params.get("retry_after")
    if wanted is None:
        return {}
    if wanted == "date":
        wanted = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    return {"retry-after": str(wanted)}


def spoil(reply: Reply, fault: Fault) -> Reply:
    """Make of a good reply what the fault says; faults of a vendor's own words pass through."""
    size = int(fault.params.get("size") or 0)
    match fault.name:
        case "hang":
            return Reply(hang=True)
        case "reset" | "drop-after-accept":
            return Reply(reset=True)
        case "drip":
            reply.drip_s = float(fault.params.get("interval_s", 0.5))
        case "truncated":
            reply.break_after = len(reply.body) // 2 if isinstance(reply.body, bytes) else 0
        case "empty":
            return Reply(content_type=reply.content_type)
        case "wrong-type":
            return Reply(body=GIF, content_type=reply.content_type)
        case "html":
            return Reply(body=HTML, content_type="text/html; charset=utf-8")
        case "json-error":
            return Reply(body=json.dumps({"error": "Internal error, please retry"}).encode())
        case "huge":
            size = size or 100_000_000
            return Reply(body=_filler(reply, size), length=size, content_type=reply.content_type)
        case "gzip-bomb":
            body = _gzip_bomb(size or 200_000_000)
            return Reply(body=body, content_type=reply.content_type, headers={"content-encoding": "gzip"})
    return reply


def _filler(reply: Reply, size: int) -> Iterator[bytes]:
    start = reply.body[:200] if isinstance(reply.body, bytes) else b""
    yield start
    left, piece = size - len(start), b"A" * 65536
    while left > 0:
        yield piece[:left]
        left -= len(piece)


def _gzip_bomb(size: int) -> bytes:
    """Many small gzip members in a row: a valid stream that costs nothing to make."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = packer.compress(b" " * 1_000_000) + packer.flush()
    return member * (size // 1_000_000)
