"""Requests and items: the two rooms in which staff look after a customer's work."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import display

from config.columns import figure, link
from config.models import User
from config.staff import Verb, VerbAdmin
from config.times import when_in_full
from generation.admin import story
from generation.admin.filters import DoorFilter, LaneFilter, PriorityFilter, QuarantineFilter
from generation.admin.names import ITEM_COLOURS, REQUEST_COLOURS, SEE_NAMES, provider_name
from generation.admin.queue_pages import QueuePages
from generation.admin.verbs import ITEM_VERBS, REQUEST_VERBS
from generation.models import HoldReason, Item, ItemStatus, Request
from generation.templatetags.desk import state_label
from providers.models import Lane

_sums = (
    Item.objects.filter(request=OuterRef("pk"))
    .order_by()
    .values("request")
    .annotate(
        sums=JSONObject(
            total=Count("pk"),
            done=Count("pk", filter=Q(status=ItemStatus.SUCCEEDED)),
            failed=Count("pk", filter=Q(status=ItemStatus.FAILED)),
            charged=Sum("charged"),
            refunded=Sum("refunded"),
        )
    )
    .values("sums")
)
_lane_now = Lane.objects.filter(name=OuterRef("lane")).values(now=JSONObject(paused="paused", breaker="breaker"))


class StoryAdmin(VerbAdmin):
    """A room whose rows have a page that tells their whole story."""

    change_form_outer_after_template = "admin/story.html"

    def story_of(self, row: Any, base_url: str) -> story.Story:
        raise NotImplementedError

    def facts_of(self, row: Any) -> dict[str, Any]:
        """What stands on top of the page: name -> value."""
        raise NotImplementedError

    def item_verbs(self, request: HttpRequest) -> list[Verb]:
        """Verbs to offer beside each item: none where the page's own verbs are about it."""
        return []

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the story says it all, and there is nothing to edit."""
        return []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context = {**(extra_context or {})}
        if row is not None and self.has_view_permission(request, row):
            told = self.story_of(row, request.build_absolute_uri("/"))
            for one in told.items:
                one.verbs = [verb for verb in self.item_verbs(request) if verb.applies(one.item)]
            names = {attempt.provider for one in told.items for attempt in one.attempts}
            context |= {
                "story": told,
                "facts": self.facts_of(row),
                "names": {alias: provider_name(alias, request.user) for alias in names},
                "sees_details": request.user.has_perm(SEE_NAMES),
            }
        return super().change_view(request, object_id, form_url, context)


@admin.register(Request)
class RequestAdmin(StoryAdmin):
    verbs = REQUEST_VERBS
    list_display = ("shown_id", "state", "what", "owner", "items_done", "credits", "created_at", "finished_at")
    list_display_links = ("shown_id",)
    list_filter = ("status", DoorFilter)
    search_fields = ("public_id",)
    search_help_text = "The id of a request or an item, or a customer's name, in full"
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Request]:
        # A subquery, because a join would group the whole table before the page is cut from it.
        return super().get_queryset(request).select_related("owner").annotate(sums=Subquery(_sums))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Find by exact names only, each looked up by its own index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q(public_id=term) | Q(owner__in=list(User.objects.filter(username=term)))
        found |= Q(pk__in=list(Item.objects.filter(public_id=term).values_list("request_id", flat=True)))
        with suppress(ValueError):
            found |= Q(pk=UUID(term))
        return queryset.filter(found), False

    def story_of(self, row: Request, base_url: str) -> story.Story:
        return story.of_request(row, base_url)

    def item_verbs(self, request: HttpRequest) -> list[Verb]:
        return [verb for verb in ITEM_VERBS if request.user.has_perm(verb.permission)]

    def facts_of(self, row: Any) -> dict[str, Any]:
        return {
            "State": state_label(row.get_status_display()),
            "Customer": link(row.owner),
            "What": row.description,
            "Items done": self.items_done(row),
            "Credits": self.credits(row),
            "Door": row.door,
            "Group": row.group,
            "Round": row.round or "",
            "Asked for": when_in_full(row.created_at),
            "Started": when_in_full(row.started_at),
            "Ended": when_in_full(row.finished_at),
        }

    def describe(self, row: Any) -> str:
        return f"{row} · {row.owner} · {row.description} · charged {self.credits(row)}"

    @display(description="Request", ordering="created_at")
    def shown_id(self, row: Request) -> str:
        return str(row)

    @display(description="State", label=REQUEST_COLOURS, ordering="status")
    def state(self, row: Request) -> str:
        return row.get_status_display()

    @display(description="What")
    def what(self, row: Request) -> str:
        return row.description or row.door

    @display(description="Done")
    @figure
    def items_done(self, row: Any) -> str:
        sums = row.sums or {"total": 0, "done": 0, "failed": 0}
        return f"{sums['done']} of {sums['total']}" + (f", {sums['failed']} failed" if sums["failed"] else "")

    @display(description="Credits")
    @figure
    def credits(self, row: Any) -> str:
        sums = row.sums or {"charged": 0, "refunded": 0}
        return f"{sums['charged']}" + (f", {sums['refunded']} given back" if sums["refunded"] else "")


@admin.register(Item)
class ItemAdmin(QueuePages, StoryAdmin):
    """All items there ever were. What is open has a page of its own: the queue."""

    verbs = ITEM_VERBS
    list_display = ("public_id", "state", "why", "urgency", "lane_shown", "owner", "percent", "created_at")
    list_filter = ("status", DoorFilter, LaneFilter, PriorityFilter, "hold_reason", QuarantineFilter)
    search_fields = ("public_id",)
    search_help_text = "The id of an item or a request, or a customer's name, in full"
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Item]:
        rows = super().get_queryset(request).select_related("owner", "request")
        return rows.annotate(lane_now=Subquery(_lane_now))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q(public_id=term) | Q(owner__in=list(User.objects.filter(username=term)))
        found |= Q(request__in=list(Request.objects.filter(public_id=term).values_list("pk", flat=True)))
        with suppress(ValueError):
            found |= Q(request=UUID(term))
        return queryset.filter(found), False

    def story_of(self, row: Item, base_url: str) -> story.Story:
        return story.of_item(row, base_url)

    def facts_of(self, row: Any) -> dict[str, Any]:
        return {
            "State": state_label(row.get_status_display()),
            "Why here": "" if row.is_final else self.why(row),
            "Customer": link(row.owner),
            "Request": link(row.request),
            "Priority": self.urgency(row),
            "Lane": row.lane,
            "Starts": row.starts,
            "Losses": row.losses or "",
            "Fence": row.fence,
            "Credits": _credits(row),
            "Error": f"{row.error_code} {row.error_message}".strip(),
            "Quarantined": when_in_full(row.quarantined_at),
            "Queued": when_in_full(row.queued_at),
            "Ended": when_in_full(row.finished_at),
        }

    def describe(self, row: Item) -> str:
        return f"{row} · {row.owner} · charged {row.charged}, given back {row.refunded}"

    @display(description="State", label=ITEM_COLOURS, ordering="status")
    def state(self, row: Item) -> str:
        return row.get_status_display()

    @display(description="Why here")
    def why(self, row: Any) -> str:
        return _why(row, row.lane_now or {})

    @display(description="Priority", ordering="weight")
    def urgency(self, row: Item) -> str:
        return f"{row.priority} ({row.weight})"

    @display(description="Lane", ordering="lane")
    def lane_shown(self, row: Item) -> str:
        return row.lane

    @display(description="Progress")
    @figure
    def percent(self, row: Item) -> str:
        return f"{row.progress} %"


def _credits(item: Item) -> str:
    more = {"given back": item.refunded, "kept by its door's rule": item.kept}
    return ", ".join([str(item.charged), *(f"{count} {words}" for words, count in more.items() if count)])


def _why(item: Item, lane: dict[str, Any]) -> str:
    """Say why an item stands where it stands."""
    if item.status == ItemStatus.HELD:
        if item.hold_reason == HoldReason.RETRY and item.run_after:
            left_s = max(0, int((item.run_after - timezone.now()).total_seconds()))
            return f"tries again in {left_s} s" + (f" after {item.error_code}" if item.error_code else "")
        return item.get_hold_reason_display()
    if item.status == ItemStatus.QUEUED:
        if lane.get("paused"):
            return "its lane is paused"
        if lane.get("breaker") == "open":
            return "its lane's breaker is open"
        return f"step {item.step + 1} of {len(item.steps)}, rank {item.rank}"
    if item.status == ItemStatus.FAILED:
        return ("quarantine: " if item.quarantined_at else "") + (item.error_code or "failed")
    return "–" if item.is_final else f"step {item.step + 1} of {len(item.steps)}"
