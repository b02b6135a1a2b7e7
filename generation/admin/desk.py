"""The console's front page: how the desk stands now.

What moves is read as `/ws/console` reads it, so the figures mean the same before and after the first tick;
the rest belongs to the day and is read anew at each load. A fixed number of queries, whatever waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.utils import timezone

from config.models import StaffAct
from credits.models import Entry, Kind
from generation.admin.names import provider_name
from generation.figures import figures
from generation.live import totals
from generation.models import Attempt, AuditRun, Outcome
from providers.models import Lane

WORKER_SILENT = timedelta(seconds=60)


@dataclass(frozen=True)
class LaneRow:
    """One lane: its figures as in a tick, and what a tick does not carry."""

    figures: dict[str, Any]
    provider: str
    paused_by: str


def badge(request: HttpRequest) -> list[str] | None:
    """Say on every page that no real provider is asked. Nothing in real mode."""
    return ["Simulated providers", "warning"] if settings.PROVIDERS_MODE == "simulated" else None


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the Desk's figures to the front page."""
    now, tick = timezone.now(), totals.read()
    oldest_s = tick["queue"]["oldest_waiting_s"]
    lanes = Lane.objects.in_bulk()
    return {
        **context,
        "title": "Desk",
        "now": now,
        "tick": tick,
        "oldest": now - timedelta(seconds=oldest_s) if oldest_s is not None else None,
        "desk_lane": lanes.get(totals.DESK),
        "lanes": [
            LaneRow(one, provider_name(lanes[one["name"]].alias, request.user), lanes[one["name"]].paused_by)
            for one in tick["lanes"]
        ],
        "workers": _workers(tick, now),
        "day": _last_24_hours(),
        "money": _money_today(now),
        "audit": AuditRun.objects.order_by("-at").first(),
        "acts": list(StaffAct.objects.select_related("actor").order_by("-at")[:6]),
    }


def _workers(tick: dict[str, Any], now: datetime) -> list[dict[str, Any]] | None:
    """Say of each worker when it was heard of; None when Redis cannot be asked, which says nothing of the work."""
    if tick["workers"] is None:
        return None
    heard = [
        {**one, "heard_at": datetime.fromisoformat(one["heartbeat"]) if one["heartbeat"] else None}
        for one in tick["workers"]
    ]
    return [{**one, "is_silent": not one["heard_at"] or now - one["heard_at"] > WORKER_SILENT} for one in heard]


def _last_24_hours() -> dict[str, Any]:
    day = figures()
    return {
        "completed": day.completed,
        "failure_percent": round(100 * day.failure_rate, 1),
        "health": day.system_status,
    }


def _money_today(now: datetime) -> dict[str, Any]:
    """Credits that came in and went back today, and beside them what providers asked, in USD. Two queries."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    sums = Entry.objects.filter(created_at__gte=midnight).aggregate(
        charged=Sum("amount", filter=Q(kind=Kind.CHARGE)), refunded=Sum("amount", filter=Q(kind=Kind.REFUND))
    )
    asked = Attempt.objects.filter(started_at__gte=midnight).aggregate(
        cost=Sum("cost_usd"), lost=Count("pk", filter=Q(outcome=Outcome.LOST))
    )
    return {
        "charged": -(sums["charged"] or 0),
        "refunded": sums["refunded"] or 0,
        "cost_usd": (asked["cost"] or Decimal(0)).quantize(Decimal("0.01")),
        "lost": asked["lost"],
    }
