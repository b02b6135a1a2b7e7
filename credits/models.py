"""Accounts, the ledger's lines, prices and the unlimited tier's days.

Promise: an account's balance is the sum of its entries, at every commit, whatever SQL was written.
The constraints here and the triggers of migration 0002 keep it; `credits.ledger` is the one writer
and gives the polite messages. Must not know requests, items or providers: an entry's reference and
subject are opaque text.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q


class Tier(models.TextChoices):
    """What the customer subscribes to; sold elsewhere, stored and shown here."""

    FREE = "free"
    HOBBYIST = "hobbyist"
    CREATOR = "creator"
    STUDIO = "studio"


class Kind(models.TextChoices):
    """Why credits moved. The sign of the amount follows from it; only an adjustment has either."""

    CHARGE = "charge"  # -  a request was accepted
    REFUND = "refund"  # +  something charged was not delivered, or staff gave it back
    GRANT = "grant"  # +  given, at signup or by staff
    PURCHASE = "purchase"  # +  paid for
    ADJUST = "adjust"  # ±  staff put something right


class Account(models.Model):
    """A customer's credits. `balance` and `seq` mirror the last entry and move only together with one."""

    owner = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, primary_key=True, related_name="account"
    )
    balance = models.BigIntegerField(default=0)
    seq = models.BigIntegerField(default=0, help_text="Number of the last entry, and so their count")
    tier = models.CharField(max_length=16, choices=Tier.choices, default=Tier.FREE)
    total_purchased = models.BigIntegerField(default=0)
    total_earned = models.BigIntegerField(default=0, help_text="Everything granted, the signup grant included")
    unlimited_active = models.BooleanField(default=False)
    unlimited_daily_quota = models.PositiveIntegerField(default=100)
    unlimited_expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: does not expire")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("grant_credits", "Can grant and adjust credits"),
            ("refund_credits", "Can give charged credits back"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0), name="balance_is_never_negative"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="tier_is_known"),
        ]

    def __str__(self) -> str:
        return str(self.owner)


class Entry(models.Model):
    """One line of the ledger. Refused to be changed or removed by the database itself.

    `reference`, unique with the kind, makes a posting happen once; `subject` (`request:<id>`,
    `item:<id>`) is what receipts sum by. `metadata` is what the caller wants the customer to see
    beside the line: `request_id`, `task_id`, `reference_id`, `reference_type`.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="entries")
    seq = models.BigIntegerField(help_text="1, 2, 3 … within the account, without a gap")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    amount = models.BigIntegerField(help_text="Credits; negative when they leave the account")
    balance_after = models.BigIntegerField()
    reference = models.CharField(max_length=200)
    subject = models.CharField(max_length=200, blank=True, default="")
    operation_key = models.CharField(max_length=80, blank=True, default="")
    cost_usd = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="List price of the calls, for information"
    )
    description = models.CharField(max_length=500)
    actor = models.CharField(max_length=200, blank=True, default="", help_text="The staff member, when it was one")
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        permissions = [("export_entries", "Can export the ledger")]
        verbose_name_plural = "entries"
        indexes = [
            models.Index(fields=["subject"], name="entry_by_subject", condition=~Q(subject="")),
            # Lines only ever arrive in time order, so a block range says as much as a tree and costs nothing.
            BrinIndex(fields=["created_at"], name="entry_by_time", autosummarize=True),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "seq"], name="one_entry_per_number"),
            models.UniqueConstraint(fields=["kind", "reference"], name="a_posting_happens_once"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="numbers_start_at_one"),
            models.CheckConstraint(condition=Q(balance_after__gte=0), name="no_line_below_zero"),
            models.CheckConstraint(condition=~Q(reference=""), name="every_line_has_a_reference"),
            models.CheckConstraint(
                condition=Q(kind=Kind.CHARGE, amount__lt=0)
                | Q(kind__in=[Kind.REFUND, Kind.GRANT, Kind.PURCHASE], amount__gt=0)
                | (Q(kind=Kind.ADJUST) & ~Q(amount=0)),
                name="sign_follows_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount:+d}"


class Price(models.Model):
    """What one unit of an operation costs, for everybody or for one provider alias or model key."""

    operation_key = models.CharField(max_length=80)
    operation_name = models.CharField(max_length=120)
    provider = models.CharField(max_length=40, blank=True, default="", help_text="Alias; empty: whichever provider")
    model = models.CharField(max_length=40, blank=True, default="", help_text="Model key; empty: whichever model")
    credits_cost = models.PositiveIntegerField()
    api_cost_usd = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="What the provider asks; staff only"
    )
    is_active = models.BooleanField(default=True, help_text="An operation without an active price is refused")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["operation_key", "provider", "model"]
        constraints = [
            models.UniqueConstraint(fields=["operation_key", "provider", "model"], name="one_price_per_combination"),
        ]

    def __str__(self) -> str:
        return " ".join(word for word in (self.operation_key, self.provider, self.model) if word)


class QuotaDay(models.Model):
    """Units of the unlimited tier used by an account on one UTC date."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="quota_days")
    day = models.DateField()
    used = models.IntegerField()
    quota = models.IntegerField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["account", "day"], name="one_quota_per_day"),
            models.CheckConstraint(condition=Q(used__gte=0, used__lte=F("quota")), name="used_lies_within_quota"),
        ]

    def __str__(self) -> str:
        return f"{self.used} of {self.quota} on {self.day}"
