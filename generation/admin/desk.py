"""The console's front page: how the desk stands now.

What moves is read as `/ws/console` reads it, so the figures mean the same before and after the first tick.
A fixed number of queries, whatever waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from config import subjects
from config.models import Approval, StaffAct
from generation.admin import charts
from generation.admin.names import provider_name
from generation.figures import CRITICAL_RATE, WARNING_LENGTH, WARNING_RATE
from generation.live import totals
from generation.models import AuditRun
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
    lanes, acts = Lane.objects.in_bulk(), list(StaffAct.objects.select_related("actor").order_by("-at")[:6])
    return {
        **context,
        "title": "Desk",
        "now": now,
        "tick": tick,
        "hour": charts.hour(tick["hour"]),
        "thresholds": {
            "warning": int(100 * WARNING_RATE),
            "critical": int(100 * CRITICAL_RATE),
            "waiting": WARNING_LENGTH,
        },
        "threads": sum(one["threads"] for one in tick["workers"] or []),
        "desk_lane": lanes.get(totals.DESK),
        "lanes": [
            LaneRow(one, provider_name(lanes[one["name"]].alias, request.user), lanes[one["name"]].paused_by)
            for one in tick["lanes"]
        ],
        "workers": _workers(tick, now),
        "week": [{**one, "date": date.fromisoformat(one["day"])} for one in tick["week"]],
        "audit": AuditRun.objects.order_by("-at").first(),
        "approvals": Approval.objects.filter(decided_at=None).count(),
        "acts": acts,
        "subjects": subjects.named(act.subject for act in acts),
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
