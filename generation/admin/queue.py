"""The queue as it stands: what runs, what waits and in which order, what is held, and why each is where it is.

One page of rows and a number of queries that grows with neither the queue nor the filters. Waiting items are shown
lane by lane in the order of claims, because that is how they are taken; each part is read by an index of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.db import connection
from django.db.models import Count, QuerySet
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from config.models import User
from generation.live.totals import DESK, span
from generation.models import Attempt, HoldReason, Item, ItemStatus
from generation.plan import INTERNAL, WEIGHTS
from providers.models import Lane

PAGE = 50
# Counted and paged as far as this; a filter finds more than paging does.
MOST_COUNTED = 10_000
# Places are told as far as this in each lane.
MOST_PLACES = 1000

STATES = {
    "running": "runs",
    "waiting": "is at a provider",
    "queued": "is queued",
    "held": "is held",
}
AGES = {"1": "a minute", "10": "ten minutes", "60": "an hour", "1440": "a day"}

_PLACES = """
SELECT id, place FROM providers_lane l CROSS JOIN LATERAL (
    SELECT id, row_number() OVER (ORDER BY weight DESC, rank, id) AS place FROM (
        SELECT id, weight, rank FROM generation_item i WHERE i.lane = l.name AND i.status = 'QUEUED'
        ORDER BY weight DESC, rank, id LIMIT %(most)s) AS nearest) AS placed
WHERE l.name = ANY(%(lanes)s) AND id = ANY(%(ids)s)
"""
_SHOWN = (
    *("id", "public_id", "request_id", "owner", "door", "prompt", "status", "hold_reason", "run_after", "lane"),
    *("priority", "weight", "rank", "queued_at", "step", "starts", "progress", "error_code", "created_at"),
    *("started_at", "owner__username", "request__public_id"),
)


class QueueFilter(forms.Form):
    """What of the queue to show. Nothing chosen: everything that is open."""

    state = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    door = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    lane = forms.ChoiceField(required=False, label="Provider", widget=UnfoldAdminSelectWidget)
    age = forms.ChoiceField(required=False, label="Older than", widget=UnfoldAdminSelectWidget)
    owner = forms.CharField(required=False, label="Customer", max_length=150, widget=UnfoldAdminTextInputWidget)

    def __init__(self, data: Any, lanes: list[str]) -> None:
        super().__init__(data)
        choices = {"state": STATES.items(), "door": [(one, one) for one in settings.DOORS], "age": AGES.items()}
        for name, known in {**choices, "lane": [(one, one) for one in lanes]}.items():
            self.fields[name].choices = [("", "any"), *known]  # type: ignore[attr-defined]

    def chosen(self) -> dict[str, str]:
        """What was chosen; a choice that does not exist counts as none."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def said(self) -> str:
        return ", ".join(f"{self.fields[name].label or name}: {value}" for name, value in self.chosen().items())


@dataclass(frozen=True)
class Row:
    item: Item
    why: str
    since: Any
    provider: str


@dataclass(frozen=True)
class Queue:
    """A page of the queue. total: how many match, counted as far as MOST_COUNTED."""

    rows: list[Row]
    lanes: list[Lane]
    total: int
    page: int
    pages: int

    @property
    def is_more(self) -> bool:
        return self.total >= MOST_COUNTED


def matching(chosen: dict[str, str]) -> list[QuerySet[Item]]:
    """The parts of the queue that match, each in its order: what is in hand, what is queued, what is held."""
    found = Item.objects.all()
    if "owner" in chosen:
        found = found.filter(owner__in=list(User.objects.filter(username=chosen["owner"])))
    if "door" in chosen:
        found = found.filter(door=chosen["door"])
    if "lane" in chosen:
        found = found.filter(lane=chosen["lane"])
    if "age" in chosen:
        found = found.filter(created_at__lt=timezone.now() - timedelta(minutes=int(chosen["age"])))
    parts = {
        "running": found.filter(status=ItemStatus.RUNNING).order_by("pk"),
        "waiting": found.filter(status=ItemStatus.WAITING).order_by("pk"),
        "queued": found.filter(status=ItemStatus.QUEUED).order_by("lane", "-weight", "rank", "pk"),
        "held": found.filter(status=ItemStatus.HELD).order_by("run_after", "pk"),
    }
    return [part for name, part in parts.items() if chosen.get("state", name) == name]


def read(chosen: dict[str, str], page: int) -> Queue:
    """Read one page. Queries: one or two for each part, one each for lanes, what is in flight and places."""
    parts = matching(chosen)
    counts = [part.order_by()[:MOST_COUNTED].count() for part in parts]
    total = min(sum(counts), MOST_COUNTED)
    pages = max(1, -(-total // PAGE))
    page = min(max(page, 1), pages)
    items: list[Item] = []
    first = (page - 1) * PAGE
    for part, count in zip(parts, counts, strict=True):
        begin, room = max(first, 0), PAGE - len(items)
        items += part.select_related("owner", "request").only(*_SHOWN)[begin : begin + room] if room else []
        first -= count
    lanes = {lane.name: lane for lane in Lane.objects.all()}
    return Queue(_rows(items, lanes), list(lanes.values()), total, page, pages)


def _rows(items: list[Item], lanes: dict[str, Lane]) -> list[Row]:
    in_flight = dict(Attempt.objects.filter(ended_at=None).values_list("lane").annotate(count=Count("pk")).order_by())
    queued = [item for item in items if item.status == ItemStatus.QUEUED]
    with connection.cursor() as cursor:
        lanes_asked, ids = list({one.lane for one in queued}), [one.pk for one in queued]
        cursor.execute(_PLACES, {"lanes": lanes_asked, "ids": ids, "most": MOST_PLACES})
        places = dict(cursor.fetchall())
    return [
        Row(
            item,
            why(item, lanes, in_flight.get(item.lane, 0), places.get(item.pk)),
            item.started_at if item.status in (ItemStatus.RUNNING, ItemStatus.WAITING) else item.queued_at,
            lanes[item.lane].alias if item.lane in lanes and item.lane != INTERNAL else INTERNAL,
        )
        for item in items
    ]


def why(item: Item, lanes: dict[str, Lane], in_flight: int, place: int | None) -> str:
    """Say why an open item stands where it stands."""
    if item.status == ItemStatus.RUNNING:
        return f"a worker has it: step {item.step + 1}, start {item.starts}"
    if item.status == ItemStatus.WAITING:
        return f"the provider works on it: {item.progress} %"
    if item.status == ItemStatus.HELD:
        return _why_held(item)
    return "; ".join(filter(None, (_what_stops(lanes, item.lane, in_flight), _place(item, place))))


def _why_held(item: Item) -> str:
    if item.hold_reason == HoldReason.RETRY and item.run_after:
        left = (item.run_after - timezone.now()).total_seconds()
        after = f" after {item.error_code}" if item.error_code else ""
        return (f"tries again in {span(left)}" if left > 0 else "tries again now") + after
    return item.get_hold_reason_display()


def _what_stops(lanes: dict[str, Lane], name: str, in_flight: int) -> str:
    desk, lane = lanes.get(DESK), lanes.get(name)
    if desk and desk.paused:
        return "the whole desk is paused"
    if lane is None:
        return ""
    if lane.paused:
        return "its provider is paused" + (f": {lane.paused_reason}" if lane.paused_reason else "")
    if lane.breaker == "open":
        return "its provider's breaker is open"
    if lane.cooldown_until and (left := (lane.cooldown_until - timezone.now()).total_seconds()) > 0:
        return f"its provider cools down for {span(left)}"
    return f"its provider's cap of {lane.cap} is full" if lane.cap is not None and in_flight >= lane.cap else ""


def _place(item: Item, place: int | None) -> str:
    """The place in its lane, and what gave it: weight by priority, rank by fair share."""
    where = f"place {place}" if place else f"beyond place {MOST_PLACES}"
    moved = "" if item.weight == WEIGHTS.get(item.priority) else f", counted as weight {item.weight}"
    return f"{where}: {item.priority}{moved}, fair-share rank {item.rank}"
