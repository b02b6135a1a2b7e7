"""The ledger for staff: every line, filters, and all that match as a file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from config import subjects
from config.columns import figure
from config.filters import DaysFilter
from config.staff import ReadOnlyAdmin, note
from credits import export
from credits.models import Entry, Kind

EXPORT = "credits.export_entries"
KIND_COLOURS = {
    Kind.CHARGE.label: "default",
    Kind.REFUND.label: "info",
    Kind.GRANT.label: "success",
    Kind.PURCHASE.label: "success",
    Kind.ADJUST.label: "warning",
}


class ByStaffFilter(admin.SimpleListFilter):
    title = "by"
    parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("staff", "staff"), ("desk", "the desk itself")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "staff":
            return queryset.exclude(actor="")
        return queryset.filter(actor="") if self.value() == "desk" else queryset


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    empty_words = "The first charge, grant or purchase will stand here."
    list_display = ("created_at", "account_owner", "kind_shown", "signed", "balance_after", "description", "actor")
    list_filter = ("kind", ByStaffFilter, ("created_at", DaysFilter))
    list_filter_submit = True
    list_select_related = ("account__owner",)
    search_fields = ("=account__owner__username", "=subject", "=reference")
    search_help_text = "A customer's name, a subject or a reference, in full"
    ordering = ("-pk",)
    change_list_template = "admin/entries.html"
    fields = (
        *("created_at", "account", "kind", "amount", "balance_after", "description", "about", "operation_key"),
        *("cost_usd", "actor", "seq", "reference", "metadata"),
    )
    readonly_fields = ("about",)

    @display(description="About")
    def about(self, row: Entry) -> str:
        return subjects.linked(row.subject) if row.subject else "–"

    @display(description="Customer")
    def account_owner(self, row: Entry) -> str:
        return row.account.owner.get_username()

    @display(description="Kind", label=KIND_COLOURS, ordering="kind")
    def kind_shown(self, row: Entry) -> str:
        return row.get_kind_display()

    @display(description="Credits", ordering="amount")
    @figure
    def signed(self, row: Entry) -> str:
        return f"{row.amount:+d}"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="credits_entry_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        query = request.GET.copy()
        query.pop("p", None)
        address = f"{reverse('admin:credits_entry_export')}?{query.urlencode()}"
        context = {"export": address if request.user.has_perm(EXPORT) else "", **(extra_context or {})}
        return super().changelist_view(request, context)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream what the filters match, and write down who took it."""
        if not request.user.has_perm(EXPORT):
            raise PermissionDenied
        entries: QuerySet[Entry] = self.get_changelist_instance(request).get_queryset(request)
        note(request, "export", "ledger", filters=request.GET.urlencode() or "none")
        return export.answer(entries, f"ledger-{datetime.now(UTC):%Y-%m-%d-%H%M}.csv")
