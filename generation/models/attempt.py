"""An attempt: one try to make a step, and how far a paid call got."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from generation.models.item import Item


class Stage(models.TextChoices):
    SENT = "SENT", "sent"  # written with the claim: the call may have gone out
    ACCEPTED = "ACCEPTED", "accepted"  # the vendor gave a remote id: the call can be looked up
    RECEIVED = "RECEIVED", "received"  # the result arrived; key, size and sha256 say what is being stored
    SETTLED = "SETTLED", "settled"  # the file is stored and the step's end is committed


class Outcome(models.TextChoices):
    MADE = "made", "made"
    ADOPTED = "adopted", "adopted"  # a later attempt took over what this one had stored
    FAILED = "failed", "failed"  # the provider refused or broke; error_code says how
    LIMITED = "limited", "rate limited"  # no room at the vendor; costs no start
    PASSED_ON = "passed-on", "passed on"  # this one cannot; the next candidate may; costs no start
    LOST = "lost", "lost"  # the answer is gone and cannot be looked up
    LATE = "late", "late"  # it came after the item had been taken away; the file is not kept
    NOT_SENT = "not-sent", "not sent"  # taken away before the call went out


class Attempt(models.Model):
    """Open (in flight in its lane) until `ended_at` is set. Costs are the provider's, in USD."""

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="attempts")
    round = models.PositiveSmallIntegerField(default=0)
    step = models.PositiveSmallIntegerField()
    pass_no = models.PositiveSmallIntegerField(default=0)
    fence = models.BigIntegerField()
    lane = models.CharField(max_length=40)
    provider = models.CharField(max_length=20, help_text="alias")
    model = models.CharField(max_length=20, help_text="model key")
    operation = models.CharField(max_length=40)
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.SENT)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True, default="")

    remote_id = models.TextField(blank=True, default="")
    poll_at = models.DateTimeField(null=True, blank=True)
    park_until = models.DateTimeField(null=True, blank=True)
    progress = models.PositiveSmallIntegerField(default=0)

    key = models.CharField(max_length=1024, blank=True, default="")
    content_type = models.CharField(max_length=60, blank=True, default="")
    size_bytes = models.BigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    seed = models.BigIntegerField(null=True, blank=True)
    said = models.JSONField(null=True, blank=True, help_text="the verdict of a check")

    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    error_code = models.CharField(max_length=40, blank=True, default="")
    error_detail = models.TextField(blank=True, default="", help_text="for staff; holds no secret")
    started_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, outcome="") | Q(ended_at__isnull=False) & ~Q(outcome=""),
                name="an_ended_attempt_has_an_outcome",
            )
        ]
        indexes = [
            models.Index(fields=["lane"], name="attempt_in_flight", condition=Q(ended_at__isnull=True)),
            models.Index(
                fields=["poll_at"], name="attempt_parked", condition=Q(ended_at__isnull=True, stage="ACCEPTED")
            ),
            models.Index(fields=["lane", "-ended_at"], name="attempt_recent"),
            models.Index(fields=["-started_at"], name="attempt_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.provider}"
