"""Reads a JSON object, whatever the content type says, and refuses what later rooms could not hold."""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from config.api.errors import ApiError

DEEPEST = 32


class AnyJSONParser(BaseParser):
    """415 for what neither is JSON nor says so, 413 beyond the limit, 400 MALFORMED_JSON for what is no JSON object.

    A view may set `body_limit_bytes`, and `judges_all_text` when it stores no text that it has not looked at itself:
    then NUL and halves of surrogate pairs come through to it. What begins like an object is read as JSON under any
    name but a form's: curl calls it urlencoded when it is told no content type.
    """

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        media_type = (media_type or "").partition(";")[0].strip().lower()
        if media_type.startswith("multipart/"):
            raise UnsupportedMediaType(media_type)
        body = _read(stream, parser_context or {})
        if not (_says_json(media_type) or body.removeprefix(BOM_UTF8).lstrip().startswith(b"{")):
            raise UnsupportedMediaType(media_type)
        view = (parser_context or {}).get("view")
        return read_object(body, any_text=getattr(view, "judges_all_text", False))


def read_object(body: bytes, *, any_text: bool = False) -> dict[str, Any]:
    """Parse one JSON object. any_text: also what no row could hold. Raises ApiError 400 MALFORMED_JSON."""
    try:
        value = json.loads(body.removeprefix(BOM_UTF8).decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise _malformed("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise _malformed("The body must be a JSON object.")
    # An opening bracket per level is needed for depth, and an escape for what UTF-8 and PostgreSQL cannot hold,
    # so that most bodies are not walked at all.
    if body.count(b"[") + body.count(b"{") > DEEPEST and _is_deeper(value, DEEPEST):
        raise _malformed(f"The body is nested deeper than {DEEPEST} levels.")
    if not any_text and b"\\u" in body and not is_storable(value):
        raise _malformed("The body holds a character that no text may hold: NUL, or half of a surrogate pair.")
    return value


def _says_json(media_type: str) -> bool:
    return media_type in ("", "application/json", "text/json") or media_type.endswith("+json")


def _read(stream: IO[Any], context: Mapping[str, Any]) -> bytes:
    limit = getattr(context.get("view"), "body_limit_bytes", settings.API_BODY_LIMIT_BYTES)
    request = context.get("request")
    declared = request.META.get("CONTENT_LENGTH") if request is not None else None
    if declared and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def _is_deeper(value: Any, most: int) -> bool:
    level: list[Any] = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def is_storable(value: Any) -> bool:
    """Can a row hold all texts of a value? None holds NUL, or half of a surrogate pair."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    # An escaped backslash before u0000 is innocent text.
    return "\\u0000" not in text.replace("\\\\", "")


def _malformed(message: str) -> ApiError:
    return ApiError(400, "MALFORMED_JSON", message)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "INPUT_TOO_LARGE", f"The body is larger than {limit} bytes.")
