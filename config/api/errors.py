"""Every refusal of the API in one shape: problem+json with a stable code, a text, a trace id, and all field faults.

    ApiError            a room's own refusal: status, code, text, faults, headers, extra keys
    api_status …        the same by attributes, for rooms that may not know this one (credits)
    DRF, Django         their exceptions, given our codes
    database, Redis     out of reach: 503 with Retry-After
    anything else       a bug: logged once, 500 without a word about why

A view may choose `validation_status` (422 instead of 400) and `validation_message(faults) -> str | None`.
Must not know any app.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import psycopg
from django import db
from django.core import exceptions as django_errors
from django.http import Http404, HttpRequest
from rest_framework import exceptions as drf
from rest_framework.exceptions import APIException, ErrorDetail
from rest_framework.response import Response
from rest_framework.settings import api_settings

from config.api import addresses, redis, refusals
from config.api.trace import trace_id

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
OUT_OF_REACH = (db.OperationalError, db.InterfaceError, psycopg.OperationalError, *redis.DOWN)


@dataclass(frozen=True)
class FieldFault:
    """One thing wrong with one field. `field` is its path: `requests[3].prompt`."""

    field: str
    message: str
    code: str = "INVALID"

    def as_json(self) -> dict[str, str]:
        # express-validator's words beside ours, for the clients that read those.
        return {
            "field": self.field,
            "path": self.field,
            "message": self.message,
            "msg": self.message,
            "code": self.code,
        }


class ApiError(APIException):
    """A refusal. `extra` keys stand beside `code` in the body. `counted`: already counted against its address."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        errors: list[FieldFault] | None = None,
        headers: Mapping[str, str] | None = None,
        counted: bool = False,
        **extra: Any,
    ) -> None:
        super().__init__(detail=message, code=code)
        self.status_code = status
        self.code = code
        self.message = message
        self.errors = errors or []
        self.headers = dict(headers or {})
        self.counted = counted
        self.extra = extra


@dataclass(frozen=True)
class Problem:
    status: int
    code: str
    message: str
    errors: list[FieldFault] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def body(self, path: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.message,
            "error": self.message,
            "message": self.message,
            "code": self.code,
            "trace_id": trace_id.get(),
            "instance": path,
            **self.extra,
        }
        if self.errors:
            body["errors"] = [fault.as_json() for fault in self.errors]
        return body


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's hook: the answer to anything that a view raised."""
    request = context["request"]
    problem = read(error, context.get("view"))
    if is_guess(problem) and not getattr(error, "counted", False):
        problem = _limited(problem, request)
    if problem.status >= 500:
        log(error, problem)
    return answer(problem, request.path)


def answer(problem: Problem, path: str) -> Response:
    response = Response(problem.body(path), status=problem.status, headers=problem.headers, content_type=CONTENT_TYPE)
    # Django would log each refusal again, without its ids.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def log(error: BaseException, problem: Problem) -> None:
    """Say once why an answer was 5xx: with a traceback when it is our bug, in one line when a service is away."""
    if problem.code == "INTERNAL_ERROR":
        logger.error("unexpected error", exc_info=error)
    else:
        logger.warning("answered %s: %s", problem.status, type(error).__name__, extra={"code": problem.code})


def read(error: BaseException, view: object = None) -> Problem:
    """Say what an exception means to the caller. Pure."""
    if isinstance(error, ApiError):
        headers = {"WWW-Authenticate": "Bearer", **error.headers} if error.status_code == 401 else error.headers
        return Problem(error.status_code, error.code, error.message, error.errors, headers, error.extra)
    if hasattr(error, "api_status"):
        return Problem(error.api_status, error.api_code, str(error), extra=getattr(error, "api_extra", {}))  # type: ignore[attr-defined]
    if isinstance(error, drf.ValidationError):
        return _validation(error, view)
    if isinstance(error, drf.NotAuthenticated):
        return Problem(401, "NOT_AUTHENTICATED", "Access denied", headers={"WWW-Authenticate": "Bearer"})
    if isinstance(error, drf.AuthenticationFailed):
        return Problem(401, "TOKEN_INVALID", "Invalid token", headers={"WWW-Authenticate": "Bearer"})
    if isinstance(error, drf.PermissionDenied | django_errors.PermissionDenied):
        return Problem(403, "PERMISSION_DENIED", "You may not do this.")
    if isinstance(error, drf.NotFound | Http404):
        # Django's own text names models; only a text that a view chose may pass.
        return Problem(404, "NOT_FOUND", str(error.detail) if isinstance(error, drf.NotFound) else "Not found.")
    if isinstance(error, drf.MethodNotAllowed):
        return Problem(405, "METHOD_NOT_ALLOWED", str(error.detail))
    if isinstance(error, drf.UnsupportedMediaType):
        return Problem(415, "UNSUPPORTED_MEDIA_TYPE", "Send the body as JSON.")
    if isinstance(error, django_errors.RequestDataTooBig):
        return Problem(413, "INPUT_TOO_LARGE", "The body is too large.")
    if isinstance(error, drf.Throttled):
        return rate_limited(error.wait or 1)  # type: ignore[attr-defined]
    if isinstance(error, drf.ParseError):
        return Problem(400, "MALFORMED_JSON", str(error.detail))
    if isinstance(error, django_errors.BadRequest | django_errors.SuspiciousOperation):
        return Problem(400, "BAD_REQUEST", "The call cannot be read.")
    if isinstance(error, OUT_OF_REACH):
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return Problem(503, "SERVICE_UNAVAILABLE", "The service is unavailable for a moment.", headers=headers)
    if isinstance(error, APIException):
        code = str(error.default_code).upper()
        return Problem(error.status_code, code, str(error.detail))
    return Problem(500, "INTERNAL_ERROR", "Internal server error")


def rate_limited(wait_s: float) -> Problem:
    headers = {"Retry-After": str(max(1, int(-(-wait_s // 1))))}
    return Problem(429, "RATE_LIMIT_EXCEEDED", "Too many requests", headers=headers)


def is_guess(problem: Problem) -> bool:
    """Say whether a refusal costs its address a place: a wrong credential does, a missing one is nobody's guess.

    Nor is one that has expired: it was right once, and whoever brings it has to hear that it is time for another.
    """
    return problem.status == 401 and problem.code not in ("NOT_AUTHENTICATED", "TOKEN_EXPIRED")


def _limited(problem: Problem, request: Any) -> Problem:
    """A refused token costs its address a place in the window; beyond the window it hears 429.

    After the verification, never before: a good token behind the same address keeps working.
    """
    window = refusals.count(addresses.of_request(getattr(request, "_request", request)))
    return problem if window.retry_after_s is None else rate_limited(window.retry_after_s)


def _validation(error: drf.ValidationError, view: object) -> Problem:
    faults = list(field_faults(error.detail))
    own_text = getattr(view, "validation_message", None)
    message = (own_text(faults) if own_text else None) or summary(faults)
    return Problem(getattr(view, "validation_status", 400), "VALIDATION_ERROR", message, faults)


def summary(faults: list[FieldFault]) -> str:
    count = len({fault.field for fault in faults})
    return "1 field is invalid." if count == 1 else f"{count} fields are invalid."


def field_faults(detail: Any, path: str = "") -> Iterator[FieldFault]:
    """Flatten DRF's nested errors; a fault of a whole object carries the object's path, the body's is `body`."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            if key == api_settings.NON_FIELD_ERRORS_KEY:
                yield from field_faults(inner, path)
            elif isinstance(key, int):
                yield from field_faults(inner, f"{path}[{key}]")
            else:
                yield from field_faults(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            is_text = isinstance(inner, str)
            yield from field_faults(inner, path if is_text else f"{path}[{index}]")
    else:
        code = detail.code if isinstance(detail, ErrorDetail) else "invalid"
        yield FieldFault(path or "body", str(detail), str(code).upper())


# Paths that no page lies under.
PAGE_PATHS = ("/app/", "/admin/")
API_PATHS = ("/api/", "/generate/", "/generation/", "/tasks/", "/health", "/metrics")


def is_api(request: HttpRequest) -> bool:
    """True when the caller reads JSON: an API path, or an Accept header that does not ask for HTML.

    Scripts of our own pages ask for anything and mean a page; elsewhere it is programs that ask so.
    """
    if request.path.startswith(PAGE_PATHS):
        return not request.accepts("text/html")
    return (
        request.path.startswith(API_PATHS)
        or request.get_preferred_type(["application/json", "text/html"]) != "text/html"
    )
