"""Bulk verbs for staff: one that asks for confirmation, one page of progress with the result of each item."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from config.staff import ReadOnlyAdmin
from generation.admin import bulk
from generation.models import Bulk

PAGE = 100
RESULTS = {
    "": ("all", Q()),
    "done": ("changed", Q(done__gt=0)),
    "missed": ("another hand was first", Q(missed__gt=0, done=0)),
    "refused": ("refused", ~Q(refused="")),
    "open": ("still to do", Q(at=None)),
}


@admin.register(Bulk)
class BulkAdmin(ReadOnlyAdmin):
    empty_words = "A verb on everything that matches, asked for on the queue page, is followed here."
    list_display = ("created_at", "actor", "verb", "total", "chosen", "state", "reason")
    list_filter = ("verb",)
    list_select_related = ("actor",)
    ordering = ("-created_at",)

    @display(description="State", label={"done": "success", "works": "info", "was not confirmed": "default"})
    def state(self, row: Bulk) -> str:
        return "done" if row.ended_at else "works" if row.begun_at else "was not confirmed"

    def get_urls(self) -> list[URLPattern]:
        ask = self.admin_site.admin_view(self.ask_view)
        return [path("<uuid:pk>/ask/", ask, name="generation_bulk_ask"), *super().get_urls()]

    def ask_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Ask on GET, begin on POST. Only whoever chose may say yes."""
        row = get_object_or_404(Bulk, pk=pk, actor=request.user)
        verb = bulk.VERBS[row.verb]
        if not request.user.has_perm(verb.permission):
            raise PermissionDenied
        if row.begun_at:
            return redirect("admin:generation_bulk_change", row.pk)
        form = verb.form(request.POST if request.method == "POST" else None, initial={"form_key": row.pk})
        if request.method == "POST" and form.is_valid():
            values = {name: value for name, value in form.cleaned_data.items() if name not in ("reason", "form_key")}
            bulk.begin(row.pk, reason=form.cleaned_data["reason"], values=values)
            return redirect("admin:generation_bulk_change", row.pk)
        first = row.rows.select_related("item").order_by("pk")[:10]
        more = row.total - 10
        described = [f"{row.total} items: {row.chosen}", *(str(one.item) for one in first)]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": verb.label,
            "verb": verb,
            "rows": [],
            "described": described + ([f"… and {more} more"] if more > 0 else []),
            "form": form,
            "action": reverse("admin:generation_bulk_ask", args=[row.pk]),
            "way_back": reverse("admin:generation_item_queue"),
        }
        return TemplateResponse(request, "admin/verb.html", context, status=422 if form.is_bound else 200)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Progress and results. `part=rows` asks for them alone, as the page does to stay live."""
        row = self.get_object(request, object_id)
        if not isinstance(row, Bulk) or not self.has_view_permission(request, row):
            return super().change_view(request, object_id, form_url, extra_context)
        result = request.GET.get("result", "") if request.GET.get("result") in RESULTS else ""
        pages = Paginator(self._results(row, result), PAGE)
        context = {
            "bulk": row,
            "label": bulk.VERBS[row.verb].label,
            "progress": bulk.progress(row),
            "page": pages.get_page(request.GET.get("page")),
            "results": {name: words for name, (words, _) in RESULTS.items()},
            "result": result,
        }
        if request.GET.get("part") == "rows":
            return TemplateResponse(request, "admin/bulk_rows.html", context)
        context |= {**self.admin_site.each_context(request), "opts": self.opts, "title": f"{context['label']} in bulk"}
        return TemplateResponse(request, "admin/bulk.html", context)

    def _results(self, row: Bulk, result: str) -> QuerySet[Any]:
        return row.rows.filter(RESULTS[result][1]).select_related("item").order_by("pk")
