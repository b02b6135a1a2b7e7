"""What happened, as it was written down: attempts, events, assets, chores, audits. Read-only throughout."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.http import require_POST
from unfold.decorators import display

from config import spelling
from config.columns import figure
from config.staff import ReadOnlyAdmin, note
from generation import audit, queue, storage
from generation.admin.filters import LaneFilter
from generation.admin.names import OUTCOME_COLOURS
from generation.models import Asset, AssetKind, Attempt, AuditRun, Chore, Event
from generation.templatetags.desk import came_of, said, took, usd

RUN_AUDIT = "generation.run_audit"


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
    @figure
    def duration(self, row: Attempt) -> str:
        return took(row)

    @display(description="Cost")
    @figure
    def cost(self, row: Attempt) -> str:
        return usd(row.cost_usd)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("at", "what", "request", "item", "actor", "data_said")
    fields = ("at", "what", "request", "item", "actor", "data", "seq")
    readonly_fields = ("what",)
    list_filter = ("kind",)
    list_select_related = ("request", "item")
    search_fields = ("=request__public_id", "=item__public_id")
    search_help_text = "A request's or an item's id, in full"
    ordering = ("-pk",)

    @display(description="What", ordering="kind")
    def what(self, row: Event) -> str:
        return str(capfirst(row.get_kind_display().lower()))

    @display(description="Data")
    def data_said(self, row: Event) -> str:
        return said(row.data) or "–"


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
    fields = (
        *("picture", "kind", "owner", "request", "item", "step", "name", "key", "content_type", "size_bytes"),
        *("width", "height", "sha256", "created_at"),
    )
    readonly_fields = ("picture",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Asset]:
        small = Asset.objects.filter(item=OuterRef("item"), kind=AssetKind.THUMBNAIL)
        return super().get_queryset(request).annotate(thumbnail_key=Subquery(small.values("key")[:1]))

    @display(description="Preview")
    def preview(self, row: Any) -> SafeString | str:
        return _image(row.thumbnail_key, "console-thumbnail", f"Preview of {row.item}") if row.thumbnail_key else "–"

    @display(description="Picture")
    def picture(self, row: Asset) -> SafeString | str:
        return _image(row.key, "console-picture", str(row)) if row.content_type.startswith("image/") else "–"

    @display(description="Pixels")
    @figure
    def pixels(self, row: Asset) -> str:
        return f"{row.width} × {row.height}" if row.width else "–"

    @display(description="Size", ordering="size_bytes")
    @figure
    def size(self, row: Asset) -> str:
        return spelling.size(row.size_bytes)


def _image(key: str, css_class: str, words: str) -> SafeString:
    return format_html('<img src="{}" class="{}" alt="{}" loading="lazy">', storage.link(key, "/"), css_class, words)


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


@admin.register(AuditRun)
class AuditRunAdmin(ReadOnlyAdmin):
    empty_words = "Workers make an audit every ten minutes; the buttons above make one now."
    change_list_template = "admin/audits.html"
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

    def get_urls(self) -> list[URLPattern]:
        view = require_POST(self.admin_site.admin_view(self.run_view))
        return [path("run/", view, name="generation_auditrun_run"), *super().get_urls()]

    def run_view(self, request: HttpRequest) -> HttpResponse:
        """Check what changed at once; everything there is, as a worker's chore, because that may take minutes."""
        if not request.user.has_perm(RUN_AUDIT):
            raise PermissionDenied
        if request.POST.get("full"):
            Chore.objects.get_or_create(kind="audit", key="", done_at=None, defaults={"run_after": timezone.now()})
            queue.ring_after_commit(1)
            note(request, "audit", "desk", full=True)
            messages.success(request, "A worker checks everything now; the result comes to the top of this list.")
        else:
            faults = audit.run(full=False)
            note(request, "audit", "desk", faults=len(faults))
            told = f"{len(faults)} faults found." if faults else "Nothing is wrong with what changed."
            messages.add_message(request, messages.ERROR if faults else messages.SUCCESS, told)
        return redirect("admin:generation_auditrun_changelist")
