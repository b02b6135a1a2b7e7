"""Who is speaking in this thread or task: the trace id of the call, and the ids its log lines carry.

The log formatter reads `trace_id` and `bound()`; whoever learns an id binds it. Must not know logging's
setup, Django's models or any app.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import MappingProxyType

from django.http import HttpRequest, HttpResponse

from config.api import meters

trace_id: ContextVar[str] = ContextVar("trace_id", default="")
_ids: ContextVar[MappingProxyType[str, str]] = ContextVar("ids", default=MappingProxyType({}))

logger = logging.getLogger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def bind(**ids: object) -> None:
    """Add ids (`request`, `item`, `user` …) to the log lines that follow in this context. None removes one."""
    merged = {**_ids.get(), **{name: str(value) for name, value in ids.items() if value is not None}}
    for name, value in ids.items():
        if value is None:
            merged.pop(name, None)
    _ids.set(MappingProxyType(merged))


def bound() -> MappingProxyType[str, str]:
    """The ids bound in this context."""
    return _ids.get()


@contextlib.contextmanager
def tracing(trace: str = "", **ids: object) -> Iterator[str]:
    """Give a piece of work outside HTTP (a worker's item, a socket's message) its own trace and ids."""
    trace = trace or uuid.uuid4().hex
    trace_token, ids_token = trace_id.set(trace), _ids.set(MappingProxyType({}))
    bind(**ids)
    try:
        yield trace
    finally:
        trace_id.reset(trace_token)
        _ids.reset(ids_token)


def incoming_trace(x_request_id: str, traceparent: str) -> str:
    """The caller's own trace id when it is sane, else a new one: it goes into logs and a header."""
    if _SANE_ID.fullmatch(x_request_id):
        return x_request_id
    if match := _TRACEPARENT.fullmatch(traceparent):
        return match.group(1)
    return uuid.uuid4().hex


class TraceMiddleware:
    """Trace, time and log each HTTP call. First in the list, so that every answer carries X-Request-ID."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        trace = incoming_trace(request.headers.get("X-Request-ID", ""), request.headers.get("traceparent", ""))
        with tracing(trace):
            began = time.perf_counter()
            response = self.get_response(request)
            seconds = time.perf_counter() - began
            response.headers["X-Request-ID"] = trace
            meters.observe(request, response.status_code, seconds)
            # The path alone: the query may hold a source system's `?token=`.
            logger.log(
                logging.DEBUG if request.path.startswith(("/health", "/metrics", "/static/")) else logging.INFO,
                "%s %s %s",
                request.method,
                request.path,
                response.status_code,
                extra={
                    "method": request.method,
                    "path": request.path,
                    "status": response.status_code,
                    "ms": round(seconds * 1000, 1),
                },
            )
        return response
