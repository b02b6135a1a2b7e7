"""The people and the two tables that belong to no app: answers kept for repeats, and staff's acts.

The user model cannot be changed once tables exist, so it lives in an app of its own from the start.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q


class User(AbstractUser):
    """Somebody with an account. `issuer` and `subject` are empty for people who signed up here.

    `storage_id` names the person in storage keys (`users/{storage_id}/…`): the primary key as text
    for our own people, the outside token's subject for others.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    issuer = models.CharField(max_length=255, blank=True, default="")
    subject = models.CharField(max_length=255, blank=True, default="")
    storage_id = models.CharField(max_length=255, unique=True, blank=True)

    class Meta(AbstractUser.Meta):
        swappable = "AUTH_USER_MODEL"
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "subject"], condition=~Q(subject=""), name="one_user_per_outside_identity"
            )
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.storage_id:
            self.storage_id = str(self.pk)
        super().save(*args, **kwargs)


class Idempotency(models.Model):
    """The stored answer to one charging POST, replayed when the same key comes again within a day."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the canonical body")
    status = models.SmallIntegerField()
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        verbose_name_plural = "idempotency"
        constraints = [
            models.UniqueConstraint(fields=["owner", "method", "path", "key"], name="one_answer_per_idempotency_key")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class StaffAct(models.Model):
    """One verb used by staff: who, when, on what, why, and what came of it. Never changed."""

    actor = models.ForeignKey(User, on_delete=models.PROTECT, related_name="acts")
    verb = models.CharField(max_length=40)
    subject = models.CharField(max_length=120, db_index=True)
    reason = models.CharField(max_length=500, blank=True)
    outcome = models.JSONField(default=dict)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"
