"""An event: something changed, when, by whom. Numbered per request, never changed."""

from __future__ import annotations

from django.db import models

from generation.models.item import Item
from generation.models.request import Request


class EventKind(models.TextChoices):
    # of a request
    SUBMITTED = "submitted"
    REQUEST_STARTED = "request-started"
    REQUEST_COMPLETED = "request-completed"
    REQUEST_FAILED = "request-failed"
    REQUEST_CANCELLED = "request-cancelled"
    REOPENED = "reopened"
    MIRRORED = "mirrored"  # its end is written to its side files
    # of an item
    QUEUED = "queued"
    STARTED = "started"
    PROGRESS = "progress"
    PARKED = "parked"
    STEP = "step"
    RETRYING = "retrying"
    HELD = "held"
    RELEASED = "released"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class Event(models.Model):
    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="events")
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="events", null=True, blank=True)
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=20, choices=EventKind.choices)
    at = models.DateTimeField()
    actor = models.CharField(max_length=150, blank=True, default="", help_text="empty: the desk itself")
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "seq"], name="one_event_per_number")]
        indexes = [models.Index(fields=["at"], name="event_age")]

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"
