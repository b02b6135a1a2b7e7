"""Story sessions for staff: whose they are, where their files lie, and the run that is current."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from config.staff import ReadOnlyAdmin
from config.times import when
from generation.admin.names import REQUEST_COLOURS
from generation.models import Item, ItemStatus, StorySession


@admin.register(StorySession)
class StorySessionAdmin(ReadOnlyAdmin):
    empty_words = "A story appears here with its first picture that is asked for."
    list_display = ("session_id", "owner", "state", "asked_for", "run", "created_at")
    list_select_related = ("owner", "request")
    search_fields = ("=session_id", "=owner__username")
    search_help_text = "A session's id or a customer's name, in full"
    ordering = ("-pk",)
    fields = ("session_id", "owner", "state", "run", "pictures", "directory", "mirrored", "created_at")
    readonly_fields = ("state", "run", "pictures", "mirrored")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("owner", "request")

    @display(description="State", label={**REQUEST_COLOURS, "not begun": "default"})
    def state(self, row: StorySession) -> str:
        return row.request.get_status_display() if row.request else "not begun"

    @display(description="Asked for")
    def asked_for(self, row: StorySession) -> Any:
        return when(row.request.created_at) if row.request else None

    @display(description="Current run")
    def run(self, row: StorySession) -> SafeString | str:
        if row.request is None:
            return "–"
        address = reverse("admin:generation_request_change", args=[row.request.pk])
        return format_html('<a href="{}">{}</a>', address, f"round {row.request.round}, open its story")

    @display(description="Pictures")
    def pictures(self, row: StorySession) -> str:
        """Asked on the session's own page alone."""
        if row.request is None:
            return "–"
        states = list(Item.objects.filter(request=row.request).values_list("status", flat=True))
        done, failed = states.count(ItemStatus.SUCCEEDED), states.count(ItemStatus.FAILED)
        return f"{done} of {len(states)} made" + (f", {failed} failed" if failed else "")

    @display(description="Written to the store")
    def mirrored(self, row: StorySession) -> str:
        return "not yet" if row.mirrored_round is None else f"the end of round {row.mirrored_round}"
