"""Credits as the API shows them. The one place that turns kinds into the words of the source systems.

Ids are text. Vendors never appear; dollars only as the `operation_cost_usd` that the source table had.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from credits.models import Entry, Kind, Price, Tier

TRANSACTION_TYPES = ["usage", "purchase", "grant", "refund"]
POSE_TYPES = ["usage", "purchase", "bonus", "refund"]
_WORDS = {
    Kind.CHARGE: ("usage", "usage"),
    Kind.PURCHASE: ("purchase", "purchase"),
    Kind.GRANT: ("grant", "bonus"),
    Kind.REFUND: ("refund", "refund"),
}


def words_of(entry: Entry) -> tuple[str, str]:
    """Name an entry as `transaction_type` and as the pose client's `type`.

    Neither system knew adjustments: one that takes reads as usage, one that gives as a grant.
    """
    if entry.kind == Kind.ADJUST:
        return _WORDS[Kind.CHARGE if entry.amount < 0 else Kind.GRANT]
    return _WORDS[Kind(entry.kind)]


class BalanceData(serializers.Serializer[Any]):
    balance = serializers.IntegerField()


class Balance(serializers.Serializer[Any]):
    """Wrapped for one kind of client, flat for the other."""

    success = serializers.BooleanField(default=True)
    data = BalanceData(source="*")  # type: ignore[assignment]  # the wire's word; DRF keeps fields apart
    balance = serializers.IntegerField()
    credits_balance = serializers.IntegerField(source="balance")
    subscription_tier = serializers.ChoiceField(choices=Tier.choices, source="tier")
    total_credits_purchased = serializers.IntegerField(source="total_purchased")
    total_credits_earned = serializers.IntegerField(source="total_earned")


class Transaction(serializers.Serializer[Any]):
    """A row of `credit_transactions`, and after it the same values under the pose client's names.

    What an entry is about comes from its metadata where the poster wrote it, else from its subject.
    """

    id = serializers.CharField()
    user_id = serializers.CharField(source="account_id")
    transaction_type = serializers.SerializerMethodField()
    credits_amount = serializers.IntegerField(source="amount", help_text="Negative when credits were taken")
    operation_type = serializers.SerializerMethodField(help_text="The operation key")
    operation_cost_usd = serializers.FloatField(source="cost_usd", allow_null=True)
    task_id = serializers.SerializerMethodField()
    request_id = serializers.SerializerMethodField()
    description = serializers.CharField()
    metadata = serializers.DictField()
    balance_after = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    amount = serializers.IntegerField()
    balance = serializers.IntegerField(source="balance_after")
    type = serializers.SerializerMethodField()
    referenceId = serializers.SerializerMethodField()
    referenceType = serializers.SerializerMethodField()
    createdAt = serializers.DateTimeField(source="created_at")

    @extend_schema_field(serializers.ChoiceField(choices=TRANSACTION_TYPES))
    def get_transaction_type(self, entry: Entry) -> str:
        return words_of(entry)[0]

    @extend_schema_field(serializers.ChoiceField(choices=POSE_TYPES))
    def get_type(self, entry: Entry) -> str:
        return words_of(entry)[1]

    def get_operation_type(self, entry: Entry) -> str | None:
        return entry.operation_key or None

    def get_task_id(self, entry: Entry) -> str | None:
        return _text(entry.metadata.get("task_id"))

    def get_request_id(self, entry: Entry) -> str | None:
        kind, _, subject_id = entry.subject.partition(":")
        return _text(entry.metadata.get("request_id")) or (subject_id if kind == "request" else None)

    def get_referenceId(self, entry: Entry) -> str | None:
        return _text(entry.metadata.get("reference_id")) or entry.subject.partition(":")[2] or None

    def get_referenceType(self, entry: Entry) -> str | None:
        return _text(entry.metadata.get("reference_type")) or entry.subject.partition(":")[0] or None


class OperationPrice(serializers.Serializer[Any]):
    operation_key = serializers.CharField()
    operation_name = serializers.CharField()
    provider = serializers.SerializerMethodField(help_text="Alias; null: whichever provider")
    model = serializers.SerializerMethodField(help_text="Model key; null: whichever model")
    credits_cost = serializers.IntegerField()

    def get_provider(self, price: Price) -> str | None:
        return price.provider or None

    def get_model(self, price: Price) -> str | None:
        return price.model or None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
