"""The desk's totals at one moment, for the console's page and its ticks. A few short queries, each by an index.

What needs more counting (the last hour, today, the week) is `generation.live.pulse`.

Lanes and items carry aliases and keys only. Redis being away leaves `workers` null, nothing else.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis.exceptions import RedisError

from generation import queue
from generation.live import pulse
from generation.live.spelling import iso
from generation.models import AuditRun, ItemStatus
from generation.plan import WEIGHTS
from providers import registry
from providers.models import Lane

DESK = "desk"

# Three partial indexes; one IN over all open states would read the whole table.
_OPEN = """
SELECT status, priority, lane, count(*), min(queued_at) FILTER (WHERE status = 'QUEUED') FROM (
    SELECT status, priority, lane, queued_at FROM generation_item WHERE status IN ('QUEUED', 'HELD')
    UNION ALL SELECT status, priority, lane, queued_at FROM generation_item WHERE status = 'RUNNING'
    UNION ALL SELECT status, priority, lane, queued_at FROM generation_item WHERE status = 'WAITING'
) AS open GROUP BY 1, 2, 3
"""
_IN_FLIGHT = "SELECT lane, count(*) FROM generation_attempt WHERE ended_at IS NULL GROUP BY lane"
_LAST_MINUTE = """
SELECT kind, count(*) FROM generation_event
WHERE at >= now() - interval '1 minute' AND kind IN ('succeeded', 'failed', 'cancelled') GROUP BY kind
"""


def read() -> dict[str, Any]:
    """Read the totals: JSON values only. Five queries and those of the pulse, and one look at Redis."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        waiting = cursor.fetchall()
        cursor.execute(_IN_FLIGHT)
        in_flight: dict[str, int] = dict(cursor.fetchall())
        cursor.execute(_LAST_MINUTE)
        ended: dict[str, int] = dict(cursor.fetchall())
    lanes = {lane.name: lane for lane in Lane.objects.all()}
    desk = lanes.pop(DESK, None)
    oldest = min((since for *_, since in waiting if since), default=None)
    told = [_lane(lane, _waiting_in(waiting, lane.name), in_flight.get(lane.name, 0), now) for lane in lanes.values()]
    longest = max((lane["waiting"] for lane in told), default=0)
    return {
        "at": iso(now),
        "mode": settings.PROVIDERS_MODE,
        "desk": {"paused": bool(desk and desk.paused), "reason": desk.paused_reason if desk else ""},
        "queue": _queue(waiting, oldest, now),
        "lanes": [{**lane, "waiting_share": _percent(lane["waiting"], longest)} for lane in told],
        "workers": _workers(),
        "last_minute": {kind: ended.get(kind, 0) for kind in ("succeeded", "failed", "cancelled")},
        "audit": _audit(),
        **pulse.read(),
    }


def _queue(waiting: list[Any], oldest: datetime | None, now: datetime) -> dict[str, Any]:
    by_status, by_priority = Counter[str](), Counter[str]()
    for status, priority, _, count, _ in waiting:
        by_status[status] += count
        if status in (ItemStatus.QUEUED, ItemStatus.HELD):
            by_priority[priority] += count
    waits = by_status[ItemStatus.QUEUED] + by_status[ItemStatus.HELD]
    return {
        "waiting": waits,
        "in_progress": by_status.total() - waits,
        "by_status": {
            status.lower(): by_status[status]
            for status in (ItemStatus.QUEUED, ItemStatus.HELD, ItemStatus.RUNNING, ItemStatus.WAITING)
        },
        "by_priority": {priority: by_priority[priority] for priority in WEIGHTS},
        "priority_share": {
            priority: _percent(by_priority[priority], max(by_priority.values(), default=0)) for priority in WEIGHTS
        },
        "oldest_waiting_s": round((now - oldest).total_seconds(), 1) if oldest else None,
        "oldest_waiting": span((now - oldest).total_seconds()) if oldest else "none",
    }


def span(seconds: float) -> str:
    """Spell a length of time for people: `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _percent(part: int, whole: int) -> int:
    return min(100, round(100 * part / whole)) if whole else 0


def _waiting_in(waiting: list[Any], lane: str) -> int:
    return sum(count for status, _, where, count, _ in waiting if where == lane and status in ("QUEUED", "HELD"))


def _lane(lane: Lane, waiting: int, in_flight: int, now: datetime) -> dict[str, Any]:
    is_cooling = lane.cooldown_until is not None and lane.cooldown_until > now
    state = "paused" if lane.paused else "open" if lane.breaker == "open" else "cooling" if is_cooling else "flowing"
    if lane.alias not in ("", registry.INTERNAL) and not registry.is_available(lane.alias):
        state = "no key"
    return {
        "name": lane.name,
        "waiting": waiting,
        "in_flight": in_flight,
        "cap": lane.cap,
        "load": _percent(in_flight, lane.cap) if lane.cap else None,
        # `open` is the breaker's word: nothing goes through but a probe. `no key`: the provider is off.
        "state": state,
        "reason": {"paused": lane.paused_reason, "open": lane.breaker_reason, "cooling": lane.cooldown_reason}.get(
            state, ""
        ),
    }


def _workers() -> list[dict[str, Any]] | None:
    try:
        found = queue.workers()
    except RedisError:
        return None
    return [
        {"name": one.name, "threads": one.threads, "busy": one.busy, "heartbeat": iso(_aware(one.last_heartbeat))}
        for one in found
    ]


def _aware(at: datetime | None) -> datetime | None:
    return timezone.make_aware(at) if at and timezone.is_naive(at) else at


def _audit() -> dict[str, Any] | None:
    last = AuditRun.objects.order_by("-at").first()
    return {"at": iso(last.at), "full": last.full, "faults": len(last.faults)} if last else None
