"""Chores: small durable tasks beside items; and the periodic metrics rows."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Chore(models.Model):
    """Something that must happen once: a mirror file, a bulk verb, the daily prune. Gone when done, unless kept."""

    kind = models.CharField(max_length=40)
    key = models.CharField(max_length=200, blank=True, default="")
    args = models.JSONField(default=dict)
    run_after = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.BigIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    done_at = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "key"], condition=Q(done_at__isnull=True), name="one_open_chore_per_key"
            )
        ]
        indexes = [models.Index(fields=["run_after"], name="chore_due", condition=Q(done_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class MetricsRow(models.Model):
    """The desk's figures at one moment, kept each METRICS_COLLECTION_INTERVAL."""

    at = models.DateTimeField(db_index=True)
    requests_total = models.PositiveIntegerField()
    requests_completed = models.PositiveIntegerField()
    requests_failed = models.PositiveIntegerField()
    average_generation_s = models.FloatField()
    queue_length = models.PositiveIntegerField()
    active_requests = models.PositiveIntegerField()

    class Meta:
        get_latest_by = "at"


class AuditRun(models.Model):
    """One pass of the audit and the faults it found."""

    at = models.DateTimeField(db_index=True)
    full = models.BooleanField(default=False)
    faults = models.JSONField(default=list)
    duration_ms = models.PositiveIntegerField(default=0)

    class Meta:
        get_latest_by = "at"

    def __str__(self) -> str:
        return "clean" if not self.faults else f"{len(self.faults)} faults"


class SweepBeat(models.Model):
    """When anybody last swept, in one row: a long silence was an outage, in which nobody could renew a lease."""

    at = models.DateTimeField()
    anew_at = models.DateTimeField(null=True, help_text="when all leases last began anew, after such a silence")
