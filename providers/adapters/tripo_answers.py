"""What Tripo says: its envelope, its error codes, how tasks end, and who signed a webhook. Knows no call."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from providers import errors, webhooks
from providers.errors import ProviderError
from providers.secrets import redact
from providers.transport import Answer

# More credits than any task can take: such a number would be damage.
MOST_CREDITS = 100_000

_TASK_ID = re.compile(r"[0-9a-fA-F-]{8,64}")

_BY_CODE: dict[int, type[errors._Decided]] = {
    2: errors.OurKeyRefused,
    1000: errors.Unavailable,
    1001: errors.Unavailable,
    1002: errors.OurKeyRefused,
    1003: errors.Refused,
    1004: errors.Refused,  # also a file token that has expired
    1005: errors.OurKeyRefused,
    1007: errors.RateLimited,
    2000: errors.RateLimited,  # as many tasks at work as the account allows
    2001: errors.Refused,  # no such task: as an input here, as a question in `_ask`
    2002: errors.ModelGone,
    2003: errors.Refused,
    2004: errors.Refused,
    2006: errors.Refused,
    2007: errors.Refused,
    2008: errors.ContentRejected,
    2010: errors.OurAccountEmpty,
    2013: errors.Misconfigured,
    2014: errors.Unavailable,
    2015: errors.ModelGone,
    2016: errors.ModelGone,
    2017: errors.ModelGone,
    2018: errors.Refused,
    2019: errors.Refused,
    2021: errors.Refused,
    2022: errors.Refused,
    4001: errors.Misconfigured,
}
# Of a task that has ended, 2018 says that it was too long in the vendor's queue.
_BY_TASK_CODE = {**_BY_CODE, 2018: errors.Unavailable}


def error_of(code: object) -> type[errors._Decided] | None:
    """The class that a code of the vendor's stands for, None for one without a meaning of its own."""
    return _BY_CODE.get(_number(code))


def data_of(answer: Answer) -> dict[str, Any]:
    """What a 200 carries. An error may hide behind one: a code, or the word for it. Raises ProviderError."""
    body = answer.json()
    body = body if isinstance(body, dict) else {"message": body}
    data, is_fine = body.get("data"), body.get("code") in (None, 0, "0") and body.get("status") != "error"
    if is_fine and isinstance(data, dict):
        return data
    kind = error_of(body.get("code")) or errors.BadAnswer
    raise kind(http_status=answer.status, detail=f"not the expected JSON: {redact(str(body), 200)}")


def task_id(value: object) -> str:
    """The id of a task, as it may stand in a path; "" when it is none."""
    return value if isinstance(value, str) and _TASK_ID.fullmatch(value) else ""


def failure(end: str, task: Mapping[str, Any]) -> ProviderError:
    """How a task ended that made nothing. The vendor takes no credits for such, so another try costs only time."""
    kind = errors.ContentRejected if end == "banned" else _BY_TASK_CODE.get(_number(task.get("error_code")))
    text = task.get("error_message") or task.get("error_msg") or ""
    return (kind or errors.Unavailable)(detail=redact(f"{end} {task.get('error_code')}: {text}"))


def model_link(task: Mapping[str, Any]) -> object:
    return _first(task, "model_url", "pbr_model_url", "pbr_model", "model", "base_model_url", "base_model")


def preview_link(task: Mapping[str, Any]) -> object:
    return _first(task, "rendered_image_url", "rendered_image")


def _first(task: Mapping[str, Any], *names: str) -> object:
    output = task.get("output")
    return next((output[name] for name in names if output.get(name)), None) if isinstance(output, dict) else None


def progress(task: Mapping[str, Any]) -> int | None:
    value = task.get("progress")
    return int(max(0, min(99, value))) if isinstance(value, int | float) and value == value else None


def credits(task: Mapping[str, Any]) -> Decimal | None:
    """What the task took, by the vendor's own count; None when it does not say."""
    try:
        found = Decimal(str(task.get("credits_consumed")))
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 <= found <= MOST_CREDITS else None


def signed_by(secret: str, signature: str, body: bytes) -> bool:
    """Is this the signature of a webhook's body, not long old? `t=<unix seconds>,v1=<hex>`, perhaps with several v1:
    HMAC-SHA256 with the whole secret over "<t>.<body>"."""
    parts = [part.strip().partition("=") for part in signature.split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    if not secret or not webhooks.is_recent(at):
        return False
    wanted = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(wanted.encode(), value.lower().encode()) for name, _, value in parts if name == "v1")


def task_of(body: bytes) -> str:
    """The id of the task that a signed webhook is about; "" when it is about our balance, or nothing that we know."""
    try:
        return task_id(json.loads(body)["data"]["task_id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _number(code: object) -> int:
    return int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal() and len(code) < 9) else -1
