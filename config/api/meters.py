"""Counts and latencies of HTTP calls for /metrics. Each web process counts its own calls."""

from __future__ import annotations

from django.http import HttpRequest
from prometheus_client import Histogram

HTTP_SECONDS = Histogram(
    "atelier_http_request_seconds",
    "HTTP calls answered by this process, and how long they took.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe(request: HttpRequest, status: int, seconds: float) -> None:
    """Count one answer. Labels come from closed sets, so that a stranger's paths cannot fill the memory."""
    match = request.resolver_match
    route = match.route if match is not None else "unmatched"
    method = request.method if request.method in _METHODS else "OTHER"
    HTTP_SECONDS.labels(method, route, f"{status // 100}xx").observe(seconds)
