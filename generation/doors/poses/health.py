"""GET /health: whether this door works, for load balancers and people. Asks nobody who they are."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection
from django.db.utils import Error as DatabaseError
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.response import Response

from config.api import redis
from generation.doors.poses import figures, present
from generation.doors.poses.base import PoseView
from generation.doors.poses.record_answers import PoseHealth
from generation.lanes import closed_lanes
from providers import registry

VERSION, PHASE = "1.0.0", "production"


class HealthView(PoseView):
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(operation_id="pose_health", responses={200: PoseHealth, 503: PoseHealth})
    def get(self, request: Request) -> Response:
        """Whether this door works: 200 only when everything does."""
        checks = _checks()
        words = {check["status"] for check in checks.values()}
        status = "unhealthy" if "disconnected" in words else "degraded" if "unavailable" in words else "healthy"
        body = {
            "status": status,
            "timestamp": present.iso(timezone.now()),
            "app": "pose-generator",
            "version": VERSION,
            "checks": checks,
            "phase": PHASE,
        }
        return Response(body, status=200 if status == "healthy" else 503)


def _checks() -> dict[str, dict[str, Any]]:
    checks: dict[str, dict[str, Any]] = {"redis": {"status": "connected" if _has_redis() else "disconnected"}}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["queue"] = {"status": "active", "counts": figures.counts()}
        checks["controlNet"] = {"status": "available" if _has_control() else "unavailable"}
    except DatabaseError:
        return (
            checks
            | dict.fromkeys(("queue", "controlNet"), {"status": "unknown"})
            | {"database": {"status": "disconnected"}}
        )
    return checks | {"database": {"status": "connected"}}


def _has_redis() -> bool:
    try:
        redis.client().ping()
    except RedisError:
        return False
    return True


def _has_control() -> bool:
    """Is there an open lane in which poses are made from maps?"""
    closed = set(closed_lanes().values_list("name", flat=True))
    able = registry.candidates("pose-to-image", settings.POSE_PROVIDER_ORDER)
    return any(registry.lane_of(alias, "pose-to-image") not in closed for alias, _ in able)
