"""Lanes and providers for staff: pause, resume, cap and probe are verbs; breaker and cool-down tell their reason.

The list is of lanes; two pages beside it are of providers, whose lanes they show with their verbs. It stands here
and not beside the lane's table, because providers know no work: what waits and flies in a lane, and the verbs that
change it, are the engine's.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, Count, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.decorators import display

from config.columns import figure
from config.staff import Order, Outcome, ReasonForm, Switch, Verb, VerbAdmin
from generation import engine
from generation.admin import providers
from generation.admin.names import SEE_NAMES
from generation.models import Attempt, Item, ItemStatus
from providers import registry, secrets
from providers.models import Lane

PAUSE, CHANGE, VIEW = "providers.pause_provider", "providers.change_lane", "providers.view_lane"


class CapForm(ReasonForm):
    cap = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10_000,
        label="Most calls in flight",
        widget=forms.NumberInput(attrs={"class": "console-number", "inputmode": "numeric"}),
        help_text="Those in flight beyond a lower cap go on. To stop all, pause.",
    )
    no_cap = forms.BooleanField(required=False, widget=Switch, label="No cap")
    field_order = ("cap", "no_cap", "reason")

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if "cap" in values and (values["cap"] is None) != values["no_cap"]:
            self.add_error("cap", "Say how many, or that there is no cap.")
        return values


def pause(lane: Lane, order: Order) -> Outcome:
    done = engine.pause(lane.name, actor=order.by, reason=order.reason)
    return Outcome(done=int(done), missed=int(not done))


def resume(lane: Lane, order: Order) -> Outcome:
    done = engine.resume(lane.name)
    return Outcome(done=int(done), missed=int(not done))


def set_cap(lane: Lane, order: Order) -> Outcome:
    engine.set_cap(lane.name, order.values["cap"])
    order.values["was"] = "no cap" if lane.cap is None else lane.cap
    return Outcome(done=1)


def probe(lane: Lane, order: Order) -> Outcome:
    done = engine.probe(lane.name)
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
        Verb(
            "probe",
            "Probe now",
            "network_ping",
            "Let the next waiting item through the open breaker at once? When it works, the lane flows again.",
            PAUSE,
            probe,
            "probed with the next item",
            "had no open breaker",
            applies=lambda lane: lane.breaker == "open" and not lane.paused,
        ),
        Verb(
            "cap",
            "Set cap",
            "speed",
            "Change how many calls may be in flight here, for all workers together?",
            CHANGE,
            set_cap,
            "cap set",
            form=CapForm,
            applies=lambda lane: lane.name != "desk",
            is_for_many=False,
        ),
    )
    list_display = ("name", "who", "state", "why", "flying", "waiting", "cap")
    fields = ("who", "state", "why", "flying", "waiting", "cap", "updated_at")
    readonly_fields = ("who", "state", "why", "flying", "waiting", "updated_at")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("providers/", view(self.providers_view), name="providers_lane_providers"),
            path("providers/<slug:alias>/", view(self.provider_view), name="providers_lane_provider"),
            *super().get_urls(),
        ]

    def providers_view(self, request: HttpRequest) -> TemplateResponse:
        lanes = self._lanes(request)
        context = {"title": "Providers", **providers.overview(lanes, request.user)}
        return self._show(request, "admin/providers.html", context)

    def provider_view(self, request: HttpRequest, alias: str) -> TemplateResponse:
        lanes = self._lanes(request)
        try:
            context = providers.page(alias, lanes, request.user)
        except KeyError:
            raise Http404("no such provider") from None
        for lane in context["provider"].lanes:
            lane.verbs = [verb for verb in self.allowed(request) if verb.applies(lane)]
        title = {"title": context["provider"].name, "verb_base": self._address("")}
        return self._show(request, "admin/provider.html", {**title, **context})

    def _lanes(self, request: HttpRequest) -> list[Any]:
        """Every lane, its state spelled beside it. One query."""
        if not request.user.has_perm(VIEW):
            raise PermissionDenied
        lanes: list[Any] = list(self.get_queryset(request))
        for lane in lanes:
            lane.state_word, lane.reason = self.state(lane), self.why(lane)
        return lanes

    def _show(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **context})

    def describe(self, row: Any) -> str:
        return f"{row.name}: {self.flying(row)} in flight, {self.state(row)}"

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
    @figure
    def flying(self, row: Any) -> str:
        return f"{row.in_flight} of {row.cap}" if row.cap is not None else str(row.in_flight)

    @display(description="Waiting")
    @figure
    def waiting(self, row: Any) -> int:
        return int(row.queued)


def _count(rows: QuerySet) -> Coalesce:
    per_lane = rows.order_by().values("lane").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(per_lane), 0)


def _is_cooling(lane: Lane) -> bool:
    return lane.cooldown_until is not None and lane.cooldown_until > timezone.now()


def _in(moment: Any) -> str:
    left_s = int((moment - timezone.now()).total_seconds()) if moment else 0
    return f"in {left_s} s" if left_s > 0 else "now"
