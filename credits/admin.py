"""Credits for staff: accounts and the ledger to read, prices to set, and verbs that post entries."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from config.staff import AmountForm, Order, Outcome, ReadOnlyAdmin, ReasonForm, Refused, Verb, VerbAdmin, note
from credits import ledger
from credits.errors import InsufficientCredits
from credits.models import Account, Entry, Kind, Price

GRANT = "credits.grant_credits"
# Lines of the ledger on an account's own page.
SHOWN = 50
KIND_COLOURS = {
    Kind.CHARGE.label: "default",
    Kind.REFUND.label: "info",
    Kind.GRANT.label: "success",
    Kind.PURCHASE.label: "success",
    Kind.ADJUST.label: "warning",
}


class AdjustForm(ReasonForm):
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
            "Give this customer credits? They read the reason in their history.",
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
            "Put this balance right? The customer reads the reason in their history.",
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


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "account_owner", "kind_shown", "signed", "balance_after", "description", "actor")
    list_filter = ("kind",)
    list_select_related = ("account__owner",)
    search_fields = ("=account__owner__username", "=subject", "=reference")
    search_help_text = "A customer's name, a subject or a reference, in full"
    ordering = ("-pk",)

    @display(description="Customer")
    def account_owner(self, row: Entry) -> str:
        return row.account.owner.get_username()

    @display(description="Kind", label=KIND_COLOURS, ordering="kind")
    def kind_shown(self, row: Entry) -> str:
        return row.get_kind_display()

    @display(description="Credits", ordering="amount")
    def signed(self, row: Entry) -> str:
        return f"{row.amount:+d}"


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    """The one table here that is set by hand: what has been charged stays, the next quote reads the new price."""

    list_display = ("operation_key", "operation_name", "provider", "model", "credits_cost", "api_cost_usd", "is_active")
    list_filter = ("is_active",)
    search_fields = ("operation_key", "operation_name")
    fields = ("operation_key", "operation_name", "provider", "model", "credits_cost", "api_cost_usd", "is_active")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_price")

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:  # type: ignore[override]
        return request.user.has_perm("credits.change_price")

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> tuple[str, ...]:
        """A price that was quoted keeps what it is the price of; another combination is another row."""
        return ("operation_key", "provider", "model") if obj else ()

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        asked = {name: str(form.cleaned_data[name]) for name in form.changed_data}
        note(request, "set-price", f"price:{obj.pk}", **asked)
