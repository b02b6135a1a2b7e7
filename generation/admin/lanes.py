"""Lanes for staff: caps are set by hand; pause and resume are verbs; breaker and cool-down tell their reason.

It stands here and not beside the lane's table, because providers know no work: what waits and flies in a
lane, and the verbs that pause it, are the engine's.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, Count, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from config.staff import Order, Outcome, Verb, VerbAdmin, note
from generation import engine
from generation.admin.names import SEE_NAMES
from generation.models import Attempt, Item, ItemStatus
from providers import registry, secrets
from providers.models import Lane

PAUSE = "providers.pause_provider"


def pause(lane: Lane, order: Order) -> Outcome:
    done = engine.pause(lane.name, actor=order.by, reason=order.reason)
    return Outcome(done=int(done), missed=int(not done))


def resume(lane: Lane, order: Order) -> Outcome:
    done = engine.resume(lane.name)
    return Outcome(done=int(done), missed=int(not done))


@admin.register(Lane)
class LaneAdmin(VerbAdmin):
    verbs = (
        Verb(
            "pause",
            "Pause",
            "pause",
            "Let nothing more begin here? What runs goes on; what waits moves to an open provider or waits.",
            PAUSE,
            pause,
            "paused",
            "was paused already",
            applies=lambda lane: not lane.paused,
            is_dangerous=True,
        ),
        Verb(
            "resume",
            "Resume",
            "play_arrow",
            "Let work begin here again?",
            PAUSE,
            resume,
            "resumed",
            "was not paused",
            applies=lambda lane: lane.paused,
        ),
    )
    list_display = ("name", "who", "state", "why", "flying", "waiting", "cap")
    fields = ("who", "state", "why", "flying", "waiting", "cap", "updated_at")
    readonly_fields = ("who", "state", "why", "flying", "waiting", "updated_at")

    def has_change_permission(self, request: HttpRequest, obj: Lane | None = None) -> bool:  # type: ignore[override]
        return request.user.has_perm("providers.change_lane")

    def get_readonly_fields(self, request: HttpRequest, obj: Lane | None = None) -> tuple[str, ...]:
        """The desk's own row is a switch and holds no work, so a cap would mean nothing."""
        return (*self.readonly_fields, "cap") if obj and obj.name == "desk" else self.readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lane]:
        flying = Attempt.objects.filter(lane=OuterRef("name"), ended_at=None)
        waiting = Item.objects.filter(lane=OuterRef("name"), status=ItemStatus.QUEUED)
        sees_names = Value(request.user.has_perm(SEE_NAMES), BooleanField())
        lanes = super().get_queryset(request)
        return lanes.annotate(in_flight=_count(flying), queued=_count(waiting), sees_names=sees_names)

    @display(description="Provider")
    def who(self, row: Any) -> str:
        if row.name == "desk":
            return "the whole desk"
        if row.alias in ("", registry.INTERNAL):
            return "our own image work"
        name = registry.real_name(row.alias)
        shown = f"{name} ({row.alias})" if row.sees_names else row.alias
        return shown + ("" if secrets.has_key(name) else ", no key")

    @display(
        description="State",
        label={"flowing": "success", "paused": "warning", "breaker open": "danger", "cooling": "info"},
    )
    def state(self, row: Lane) -> str:
        if row.paused:
            return "paused"
        if row.breaker == "open":
            return "breaker open"
        return "cooling" if _is_cooling(row) else "flowing"

    @display(description="Why")
    def why(self, row: Lane) -> str:
        if row.paused:
            return f"{row.paused_reason or 'no reason given'} – {row.paused_by}"
        if row.breaker == "open":
            return f"{row.breaker_reason}; next probe {_in(row.probe_at)}"
        return f"{row.cooldown_reason}; over {_in(row.cooldown_until)}" if _is_cooling(row) else "–"

    @display(description="In flight")
    def flying(self, row: Any) -> str:
        return f"{row.in_flight} of {row.cap}" if row.cap is not None else str(row.in_flight)

    @display(description="Waiting")
    def waiting(self, row: Any) -> int:
        return int(row.queued)

    def save_model(self, request: HttpRequest, obj: Lane, form: Any, change: bool) -> None:
        """Write the cap alone: the rest of the row belongs to the engine and may have moved on meanwhile."""
        if "cap" in form.changed_data:
            Lane.objects.filter(pk=obj.pk).update(cap=obj.cap, updated_at=timezone.now())
            note(request, "set-cap", self.subject_of(obj), cap=obj.cap, was=form.initial["cap"])


def _count(rows: QuerySet) -> Coalesce:
    per_lane = rows.order_by().values("lane").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(per_lane), 0)


def _is_cooling(lane: Lane) -> bool:
    return lane.cooldown_until is not None and lane.cooldown_until > timezone.now()


def _in(moment: Any) -> str:
    left_s = int((moment - timezone.now()).total_seconds()) if moment else 0
    return f"in {left_s} s" if left_s > 0 else "now"
