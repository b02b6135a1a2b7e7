"""A request: one thing a client asked for, through one door, for one owner."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from generation.models.item import Item


class RequestStatus(models.TextChoices):
    QUEUED = "QUEUED", "queued"  # no item has begun; the first `begin` moves it on
    RUNNING = "RUNNING", "running"  # work has begun or was reopened; ends with the last open item
    COMPLETED = "COMPLETED", "completed"  # ended, and at least one item succeeded; staff may reopen
    FAILED = "FAILED", "failed"  # ended, nothing succeeded and something failed; staff may reopen
    CANCELLED = "CANCELLED", "cancelled"  # ended, every item was cancelled; final


class Request(models.Model):
    """`seq` numbers this request's events; raising it is the lock every change of the request takes.

    new_items: on the one that `engine.submit` returns, what it stored, in the order of the plan.
    place: there, when it was asked for: how many of the door's items wait, and the place of its only one.
    """

    new_items: list[Item]
    place: tuple[int, int]

    Status = RequestStatus

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    public_id = models.CharField(max_length=64, unique=True, null=True, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="generation_requests")
    door = models.CharField(max_length=20)
    group = models.CharField(max_length=255, blank=True, default="", help_text="the client's task, project or session")
    params = models.JSONField(default=dict)
    description = models.CharField(max_length=255, blank=True, default="")
    status = models.CharField(max_length=10, choices=RequestStatus.choices, default=RequestStatus.QUEUED)
    round = models.PositiveSmallIntegerField(default=0, help_text="one more for each reopening by staff")
    seq = models.BigIntegerField(default=0)
    mirrored_seq = models.BigIntegerField(
        null=True, blank=True, help_text="how far its side files are; empty when it has none"
    )
    max_open_bundles = models.PositiveSmallIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True, help_text="its owner had what it made removed")

    class Meta:
        permissions = [
            ("cancel_request", "Can cancel requests and items"),
            ("hold_request", "Can hold and release waiting items"),
            ("prioritise_request", "Can change the priority of waiting items"),
            ("refund_item", "Can refund items"),
            ("retry_request", "Can retry items and reopen requests"),
            ("run_audit", "Can run the audit"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["group"],
                condition=Q(door="stories", status__in=["QUEUED", "RUNNING"]),
                name="one_open_run_per_story",
                violation_error_message="This story is being drawn already.",
            ),
            models.UniqueConstraint(
                fields=["group"],
                condition=Q(door="poses", group__startswith="pose:", status__in=["QUEUED", "RUNNING"]),
                name="one_open_background_per_pose",
                violation_error_message="The background of this pose is being changed already.",
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-created_at"], name="request_of_owner"),
            models.Index(fields=["owner", "group"], name="request_of_group"),
            models.Index(fields=["-created_at"], name="request_newest"),
        ]

    def __str__(self) -> str:
        return self.public_id or str(self.id)
