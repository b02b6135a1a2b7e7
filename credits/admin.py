"""Credits for staff: accounts, their newest lines, and the verbs that post entries.

The ledger's own page is `credits.entry_admin`, prices have `credits.price_admin`.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from config.staff import CUSTOMERS, AmountForm, Order, Outcome, ReasonForm, Refused, Verb, VerbAdmin
from credits import ledger
from credits.entry_admin import EntryAdmin as EntryAdmin
from credits.errors import InsufficientCredits
from credits.models import Account, Entry
from credits.price_admin import PriceAdmin as PriceAdmin

GRANT = "credits.grant_credits"
# Lines of the ledger on an account's own page.
SHOWN = 50


class AdjustForm(ReasonForm):
    read_by = CUSTOMERS
    credits = forms.IntegerField(
        min_value=-1_000_000,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Negative takes credits away; the balance never falls below zero.",
    )
    field_order = ("credits", "reason")

    def clean_credits(self) -> int:
        credits: int = self.cleaned_data["credits"]
        if not credits:
            raise forms.ValidationError("An adjustment moves at least one credit.")
        return credits


def grant(account: Account, order: Order) -> Outcome:
    amount: int = order.values["credits"]
    posted = ledger.grant(
        account.pk, amount, reference=_reference(account, order), description=order.reason, actor=order.by
    )
    return Outcome(done=int(posted is not None), missed=int(posted is None), credits=amount if posted else 0)


def adjust(account: Account, order: Order) -> Outcome:
    amount: int = order.values["credits"]
    try:
        posted = ledger.adjust(
            account.pk, amount, reference=_reference(account, order), description=order.reason, actor=order.by
        )
    except InsufficientCredits:
        raise Refused(f"The balance would fall below zero: the account has {account.balance} credits.") from None
    return Outcome(done=int(posted is not None), missed=int(posted is None), credits=amount if posted else 0)


def _reference(account: Account, order: Order) -> str:
    """One form may name several accounts, and moves each once."""
    return f"staff:{order.form_key}:{account.pk}"


@admin.register(Account)
class AccountAdmin(VerbAdmin):
    verbs = (
        Verb(
            "grant",
            "Grant credits",
            "redeem",
            "Give this customer credits?",
            GRANT,
            grant,
            "account credited",
            "was credited before",
            credits="credits granted",
            form=AmountForm,
            weighs=lambda account, order: int(order.values["credits"]),
        ),
        Verb(
            "adjust",
            "Adjust",
            "balance",
            "Put this balance right?",
            GRANT,
            adjust,
            "account adjusted",
            "was adjusted before",
            credits="credits moved",
            form=AdjustForm,
            weighs=lambda account, order: int(order.values["credits"]),
            is_for_many=False,
            is_dangerous=True,
        ),
    )
    list_display = ("owner", "balance", "tier", "total_purchased", "total_earned", "updated_at")
    list_filter = ("tier", "unlimited_active")
    list_select_related = ("owner",)
    search_fields = ("owner__username", "=owner__email")
    search_help_text = "A customer's name or e-mail address"
    ordering = ("-created_at",)
    fields = (
        "owner",
        "balance",
        "tier",
        "total_purchased",
        "total_earned",
        "unlimited_active",
        "unlimited_daily_quota",
        "unlimited_expires_at",
    )
    change_form_outer_after_template = "admin/ledger.html"

    def describe(self, row: Account) -> str:
        return f"{row.owner} · {row.balance} credits"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        entries = Entry.objects.filter(account=self.get_object(request, object_id)).order_by("-seq")[:SHOWN]
        return super().change_view(request, object_id, form_url, {"entries": entries, **(extra_context or {})})
