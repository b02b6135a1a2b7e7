"""What happened, as it was written down: attempts, events, assets, chores, audits. Read-only throughout."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from config.staff import Order, ReadOnlyAdmin, Verb, VerbAdmin
from config.staff import Outcome as VerbOutcome
from generation import audit, storage
from generation.admin.filters import LaneFilter
from generation.admin.names import OUTCOME_COLOURS
from generation.models import Asset, AssetKind, Attempt, AuditRun, Chore, Event
from generation.templatetags.desk import came_of, said, took, usd


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = (
        "item",
        "provider",
        "model",
        "operation",
        "came_of_it",
        "duration",
        "cost",
        "error_code",
        "started_at",
    )
    list_filter = ("outcome", LaneFilter, "stage")
    list_select_related = ("item",)
    search_fields = ("=item__public_id",)
    search_help_text = "An item's id, in full"
    ordering = ("-started_at",)

    @display(description="Outcome", label=OUTCOME_COLOURS)
    def came_of_it(self, row: Attempt) -> str:
        return came_of(row)

    @display(description="Took")
    def duration(self, row: Attempt) -> str:
        return took(row)

    @display(description="Cost")
    def cost(self, row: Attempt) -> str:
        return usd(row.cost_usd)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("at", "kind", "request", "item", "actor", "data_said")
    list_filter = ("kind",)
    list_select_related = ("request", "item")
    search_fields = ("=request__public_id", "=item__public_id")
    search_help_text = "A request's or an item's id, in full"
    ordering = ("-pk",)

    @display(description="Data")
    def data_said(self, row: Event) -> str:
        return said(row.data)


@admin.register(Asset)
class AssetAdmin(ReadOnlyAdmin):
    """Each picture by its own thumbnail: the stored file is read by the browser, not by this page."""

    list_display = ("preview", "kind", "item", "owner", "pixels", "size", "created_at")
    list_display_links = ("preview", "kind")
    list_filter = ("kind",)
    list_select_related = ("item", "owner")
    search_fields = ("=item__public_id", "=owner__username")
    search_help_text = "An item's id or a customer's name, in full"
    ordering = ("-created_at",)
    readonly_fields = ("picture",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Asset]:
        small = Asset.objects.filter(item=OuterRef("item"), kind=AssetKind.THUMBNAIL)
        return super().get_queryset(request).annotate(thumbnail_key=Subquery(small.values("key")[:1]))

    @display(description="Preview")
    def preview(self, row: Any) -> SafeString | str:
        return _image(row.thumbnail_key, "console-thumbnail") if row.thumbnail_key else "–"

    @display(description="Picture")
    def picture(self, row: Asset) -> SafeString | str:
        return _image(row.key, "console-picture") if row.content_type.startswith("image/") else "–"

    @display(description="Pixels")
    def pixels(self, row: Asset) -> str:
        return f"{row.width} × {row.height}" if row.width else "–"

    @display(description="Size", ordering="size_bytes")
    def size(self, row: Asset) -> str:
        return f"{row.size_bytes / 1024:.0f} KB"


def _image(key: str, css_class: str) -> SafeString:
    return format_html('<img src="{}" class="{}" alt="" loading="lazy">', storage.link(key, "/"), css_class)


@admin.register(Chore)
class ChoreAdmin(ReadOnlyAdmin):
    list_display = ("kind", "key", "state", "tries", "run_after", "created_at", "done_at")
    list_filter = ("kind",)
    ordering = ("-pk",)

    @display(
        description="State", label={"done": "success", "failed": "danger", "running": "info", "waiting": "default"}
    )
    def state(self, row: Chore) -> str:
        if row.done_at:
            return "failed" if row.error else "done"
        return "running" if row.lease_until else "waiting"


def _audit_now(row: AuditRun, order: Order) -> VerbOutcome:
    audit.run(full=False)
    return VerbOutcome(done=1)


@admin.register(AuditRun)
class AuditRunAdmin(VerbAdmin):
    verbs = (
        Verb(
            "audit",
            "Audit again",
            "fact_check",
            "Check now what changed since the last audit?",
            "generation.run_audit",
            _audit_now,
            "audit made; its result is on top of the list",
        ),
    )
    list_display = ("at", "result", "full", "duration_ms")
    list_filter = ("full",)
    ordering = ("-at",)
    fields = ("at", "result", "full", "duration_ms", "found")
    readonly_fields = ("result", "found")

    @display(description="Result", label={"clean": "success"})
    def result(self, row: AuditRun) -> str:
        return str(row)

    @display(description="Faults")
    def found(self, row: AuditRun) -> str:
        faults: list[dict[str, Any]] = row.faults
        return "\n".join(f"{fault['rule']}: {fault['subject']} {fault['text']}" for fault in faults) or "none"
