"""An item: one unit of work inside a request. Its row is its place in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from generation.models.request import Request
from generation.plan import StepPlan


class ItemStatus(models.TextChoices):
    QUEUED = "QUEUED", "queued"  # claimable but for its lane's room; stays while the lane is full or closed
    HELD = "HELD", "held"  # waits for something else: see hold_reason; due at run_after, or released
    RUNNING = "RUNNING", "running"  # a worker holds it under a lease; without renewal for LEASE_S it is taken back
    WAITING = "WAITING", "waiting"  # parked at an asynchronous vendor until its attempt's deadline
    SUCCEEDED = "SUCCEEDED", "succeeded"  # its result is stored; final
    FAILED = "FAILED", "failed"  # given up and refunded by rule; only staff reopen it
    CANCELLED = "CANCELLED", "cancelled"  # stopped on request; final


class HoldReason(models.TextChoices):
    RETRY = "retry", "waits before another try"
    BUNDLE = "bundle", "waits for its request's own cap"
    STAFF = "staff", "held by staff"


class Item(models.Model):
    """The current step, pass and candidate index into `steps`; `results` keeps what ended steps left behind.

    `charged`, `refunded` and `kept` are cumulative whole credits: refunded <= charged always, and a
    failed or cancelled item keeps no more than its rule allows.
    """

    Status = ItemStatus

    id = models.BigAutoField(primary_key=True)
    public_id = models.CharField(max_length=64, unique=True)
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="items")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    door = models.CharField(max_length=20)
    index = models.PositiveIntegerField(default=0)
    prompt = models.TextField(blank=True, default="")
    params = models.JSONField(default=dict)

    status = models.CharField(max_length=10, choices=ItemStatus.choices, default=ItemStatus.QUEUED)
    hold_reason = models.CharField(max_length=10, choices=HoldReason.choices, blank=True, default="")
    run_after = models.DateTimeField(null=True, blank=True)
    bundle = models.PositiveIntegerField(null=True, blank=True)

    # The place in the queue: lane, then weight descending, rank, id.
    lane = models.CharField(max_length=40)
    priority = models.CharField(max_length=10, default="normal", help_text="as the client asked")
    weight = models.SmallIntegerField(default=10)
    rank = models.BigIntegerField(default=0)
    queued_at = models.DateTimeField()

    steps = models.JSONField(default=list)
    step = models.PositiveSmallIntegerField(default=0)
    pass_no = models.PositiveSmallIntegerField(default=0)
    candidate = models.PositiveSmallIntegerField(default=0)
    results = models.JSONField(default=dict)

    fence = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    starts = models.PositiveSmallIntegerField(default=0, help_text="tries of this step and pass that count")
    losses = models.PositiveSmallIntegerField(default=0, help_text="paid calls whose answer is gone")
    adopts = models.BigIntegerField(null=True, blank=True, help_text="the attempt whose stored result is taken over")
    progress = models.PositiveSmallIntegerField(default=0)
    deadline_s = models.PositiveIntegerField(default=6 * 3600, help_text="allowed from the first start")
    deadline_at = models.DateTimeField(null=True, blank=True)

    price_key = models.CharField(max_length=64, blank=True, default="")
    price = models.PositiveIntegerField(default=0)
    charged = models.PositiveIntegerField(default=0)
    refunded = models.PositiveIntegerField(default=0)
    kept = models.PositiveIntegerField(default=0)
    parts = models.JSONField(
        default=dict, db_default=models.Value({}, models.JSONField()), help_text="part -> its credits within the price"
    )
    quota_day = models.DateField(null=True, blank=True)
    cancel_refund = models.CharField(max_length=10, default="confirmed")
    keep_codes = models.JSONField(default=list)

    error_code = models.CharField(max_length=40, blank=True, default="")
    error_message = models.CharField(max_length=300, blank=True, default="")
    error_retryable = models.BooleanField(default=False)
    quarantined_at = models.DateTimeField(null=True, blank=True)

    created_at = models.DateTimeField()
    first_started_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True, help_text="the latest start of a provider's call")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(refunded__lte=F("charged")), name="refunded_within_charged"),
            models.CheckConstraint(
                condition=~Q(status__in=["FAILED", "CANCELLED"]) | Q(charged__lte=F("refunded") + F("kept")),
                name="nothing_kept_beyond_the_rule",
            ),
            models.UniqueConstraint(fields=["request", "index"], name="one_item_per_index"),
        ]
        indexes = [
            models.Index(fields=["lane", "-weight", "rank", "id"], name="item_queue", condition=Q(status="QUEUED")),
            models.Index(
                fields=["owner", "lane", "weight", "rank"], name="item_fair_rank", condition=Q(status="QUEUED")
            ),
            models.Index(
                fields=["door", "-weight", "rank", "id"],
                name="item_waiting",
                condition=Q(status__in=["QUEUED", "HELD"]),
            ),
            models.Index(fields=["run_after"], name="item_due", condition=Q(status="HELD")),
            models.Index(fields=["lease_until"], name="item_lease", condition=Q(status="RUNNING")),
            models.Index(
                fields=["deadline_at"], name="item_deadline", condition=Q(status__in=["QUEUED", "HELD", "WAITING"])
            ),
            models.Index(fields=["door", "created_at"], name="item_of_door"),
            models.Index(
                fields=["door", "first_started_at"],
                name="item_first_started",
                condition=Q(first_started_at__isnull=False),
            ),
            models.Index(fields=["finished_at"], name="item_finished", condition=Q(finished_at__isnull=False)),
            models.Index(fields=["quarantined_at"], name="item_quarantined", condition=Q(quarantined_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_final(self) -> bool:
        return self.status in (ItemStatus.SUCCEEDED, ItemStatus.FAILED, ItemStatus.CANCELLED)

    @property
    def step_plan(self) -> StepPlan:
        return self.plan_of(self.step)

    @property
    def step_name(self) -> str:
        return str(self.steps[self.step]["name"])

    def plan_of(self, step: int) -> StepPlan:
        """The plan of a step, read once: what is planned never changes."""
        plans: dict[int, StepPlan] = self.__dict__.setdefault("_plans", {})
        if step not in plans:
            plans[step] = StepPlan.from_json(self.steps[step])
        return plans[step]

    def step_after(self, results: Mapping[str, Any]) -> int:
        """The step that follows the current one, which may have left these results; their number when none does.

        The steps of a part that failed are left out.
        """
        failed = [part for part in self.parts if "failed" in results.get(part, {})]
        left = range(self.step + 1, len(self.steps))
        return next((step for step in left if self.steps[step].get("part", "") not in failed), len(self.steps))

    @property
    def goes_on_with_us(self) -> bool:
        """Whether the step after this one is our own work, which asks no provider."""
        following = self.step_after(self.results)
        return following < len(self.steps) and not self.steps[following]["candidates"]

    def progress_at(self, step: int, within: int = 0) -> int:
        """Say how far an open item is at a step, 0..99: the shares of the steps before it, and a percentage of it."""
        shares = [plan["share"] for plan in self.steps]
        now = shares[step] * min(max(within, 0), 100) / 100
        return min(99, int(100 * (sum(shares[:step]) + now) / (sum(shares) or 1)))
