"""Prices: the one table here that is set by hand. What has been charged stays, the next quote reads the new price.

A change says why; the page shows what another price would have meant in the last week, and every earlier change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from config.models import StaffAct
from config.staff import ReadOnlyAdmin, note
from credits.models import Entry, Kind, Price

LOOKED_BACK = timedelta(days=7)
SHOWN = 50


class PriceForm(forms.ModelForm):
    reason = forms.CharField(
        max_length=300, widget=UnfoldAdminTextInputWidget, help_text="Why it is set so; kept beside the change."
    )

    class Meta:
        model = Price
        fields = "__all__"


@dataclass(frozen=True)
class Effect:
    """What the operation's charges of the last week would have been at another price, as near as they can say.

    They are counted by operation: prices for single providers or models share them.
    """

    charges: int
    charged: int
    price: int
    asked: int

    @property
    def would_be(self) -> int:
        return round(self.charged * self.asked / self.price) if self.price else 0

    @property
    def difference(self) -> int:
        return self.would_be - self.charged


def effect(price: Price, asked: int) -> Effect:
    """One query over a week of entries."""
    sums = Entry.objects.filter(
        kind=Kind.CHARGE, operation_key=price.operation_key, created_at__gte=timezone.now() - LOOKED_BACK
    ).aggregate(charges=Count("pk"), charged=Sum("amount", default=0))
    return Effect(sums["charges"], -sums["charged"], price.credits_cost, asked)


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    form = PriceForm
    list_display = ("operation_key", "operation_name", "provider", "model", "credits_cost", "api_cost_usd", "is_active")
    list_filter = ("is_active",)
    search_fields = ("operation_key", "operation_name")
    search_help_text = "A part of an operation's key or name"
    fields = (
        *("operation_key", "operation_name", "provider", "model", "credits_cost", "api_cost_usd", "is_active"),
        "reason",
    )
    change_form_outer_after_template = "admin/price.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_price")

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:  # type: ignore[override]
        return request.user.has_perm("credits.change_price")

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> tuple[str, ...]:
        """A price that was quoted keeps what it is the price of; another combination is another row."""
        return ("operation_key", "provider", "model") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        """Who may only look is not asked why."""
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return self.fields if may else self.fields[:-1]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context = {**(extra_context or {})}
        if isinstance(row, Price):
            asked = request.GET.get("asked", "")
            context |= {
                "effect": effect(row, int(asked[:6]) if asked.isdecimal() else row.credits_cost),
                "history": StaffAct.objects.filter(subject=f"price:{row.pk}").select_related("actor")[:SHOWN],
            }
        return super().change_view(request, object_id, form_url, context)

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        told: dict[str, Any] = {}
        for name in form.changed_data:
            if name != "reason":
                was = str(form.initial[name]) if name in form.initial else ""
                told[name] = f"{was} → {form.cleaned_data[name]}" if change else str(form.cleaned_data[name])
        note(request, "set-price", f"price:{obj.pk}", reason=form.cleaned_data["reason"], **told)
