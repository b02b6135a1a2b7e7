"""What machines ask: is it alive, is it ready, what are its figures; and what stands at `/`.

`/health` touches nothing. `/health/ready` asks every service, each within a limit. `/metrics` is for
staff and for a scraper that holds METRICS_TOKEN. No answer names a host, a path or a secret.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection, connections, transaction
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from config.api import redis
from config.api.auth import bearer_token
from config.api.errors import ApiError, read
from config.api.handlers import problem_response, read_only
from generation import queue
from generation.models import Attempt, Item, ItemStatus, Request

CHECK_S = 2.0
WORKER_SILENT_S = 120
SCRAPE_MS = 5000

# A check that hangs keeps its thread; with all of them hanging the answer is still 503 in time.
_checkers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="ready")


@read_only
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "healthy"})


@read_only
@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    """200 when every service answers, else 503; the checks run side by side."""
    began = time.monotonic()
    running = [(name, _checkers.submit(_closing_connections, check)) for name, check in CHECKS.items()]
    checks: dict[str, dict[str, Any]] = {}
    for name, future in running:
        try:
            fault = future.result(timeout=max(0.0, CHECK_S - (time.monotonic() - began)))
        except TimeoutError:
            future.cancel()
            fault = "does not answer in time"
        except Exception:  # whatever a service's client raises; its text may name a host
            fault = "does not answer"
        checks[name] = {"ok": not fault, **({"error": fault} if fault else {})}
    is_ready = all(check["ok"] for check in checks.values())
    body = {"status": "ready" if is_ready else "unavailable", "checks": checks}
    return JsonResponse(body, status=200 if is_ready else 503, headers={} if is_ready else {"Retry-After": "5"})


def check_database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def check_redis() -> str:
    redis.client().ping()
    return ""


def check_storage() -> str:
    """A bucket is asked for a key; a folder must be one that can be written to."""
    default_storage.exists("health-probe")
    folder = getattr(default_storage, "location", None) if settings.STORAGE_BACKEND == "local" else None
    while folder and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return "" if folder is None or os.access(folder, os.W_OK | os.X_OK) else "is not writable"


def check_workers() -> str:
    is_any = any(worker.is_alive(WORKER_SILENT_S) for worker in queue.workers())
    return "" if is_any else "no worker has been heard of lately"


CHECKS: dict[str, Callable[[], str]] = {
    "database": check_database,
    "redis": check_redis,
    "storage": check_storage,
    "workers": check_workers,
}


def _closing_connections(check: Callable[[], str]) -> str:
    try:
        return check()
    finally:
        connections.close_all()


@read_only
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text: the desk's figures from the database, and this process's own."""
    if not _may_read_metrics(request):
        return problem_response(request, read(ApiError(401, "NOT_AUTHENTICATED", "Access denied")))
    desk = CollectorRegistry()
    desk.register(Desk())
    return HttpResponse(generate_latest(desk) + generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


def _may_read_metrics(request: HttpRequest) -> bool:
    header = request.headers.get("Authorization", "")
    if header:
        try:
            token = bearer_token(header)
        except ApiError:
            return False
        return bool(settings.METRICS_TOKEN) and constant_time_compare(token or "", settings.METRICS_TOKEN)
    return request.user.is_active and request.user.is_staff


class Desk(Collector):
    """Figures that are the same whichever process is asked. Lanes carry aliases, never vendors' names."""

    def collect(self) -> Iterable[Metric]:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {SCRAPE_MS}")
            yield from self._database()
        yield from self._workers()

    def _database(self) -> Iterator[Metric]:
        open_states = [ItemStatus.QUEUED, ItemStatus.HELD, ItemStatus.RUNNING, ItemStatus.WAITING]
        open_items = dict(
            Item.objects.filter(status__in=open_states).values_list("status").annotate(count=Count("*")).order_by()
        )
        by_status = {str(status): open_items.get(status, 0) for status in open_states}
        yield _gauge("atelier_items_open", "Items not yet ended.", "status", by_status)
        since = timezone.now() - timedelta(hours=24)
        requests = dict(
            Request.objects.filter(created_at__gte=since).values_list("status").annotate(count=Count("*")).order_by()
        )
        yield _gauge("atelier_requests_24h", "Requests of the last 24 hours.", "status", requests)
        flying = dict(Attempt.objects.filter(ended_at=None).values_list("lane").annotate(count=Count("*")).order_by())
        yield _gauge("atelier_lane_in_flight", "Attempts not yet ended, by lane.", "lane", flying)

    def _workers(self) -> Iterator[Metric]:
        try:
            workers = queue.workers()
        except RedisError:
            return  # no figure is better than a wrong zero
        threads = {worker.name: worker.threads for worker in workers}
        yield _gauge("atelier_worker_threads", "Threads of each worker.", "worker", threads)
        busy = {worker.name: worker.busy for worker in workers}
        yield _gauge("atelier_worker_busy", "Threads at work.", "worker", busy)


def _gauge(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([str(value)], count)
    return family


@read_only
def front(request: HttpRequest) -> HttpResponse:
    """Programs get a word about the API, browsers their pages."""
    response: HttpResponse
    if request.get_preferred_type(["application/json", "text/html"]) == "text/html":
        response = HttpResponseRedirect("/app/")
    else:
        response = JsonResponse(
            {
                "message": "Atelier generation API",
                "version": settings.SPECTACULAR_SETTINGS["VERSION"],
                "endpoints": {
                    "docs": "/api/docs",
                    "schema": "/api/schema",
                    "token": "/api/auth/token",
                    "generate": "/generate/{operation}",
                    "status": "/tasks/{id}/status",
                    "images": "/api/images",
                    "models": "/api/models",
                    "assets": "/api/assets",
                    "submit": "/api/visual-generation/submit",
                    "credits": "/api/credits/balance",
                    "health": "/health",
                },
            }
        )
    patch_vary_headers(response, ["Accept"])
    return response
