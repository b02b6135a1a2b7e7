"""The people and the tables that belong to no app: personal tokens, answers kept for repeats, staff's acts and
what waits for a second one's yes.

The user model cannot be changed once tables exist, so it lives in an app of its own from the start.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone


class User(AbstractUser):
    """Somebody with an account. `issuer` and `subject` are empty for people who signed up here.

    `storage_id` names the person in storage keys (`users/{storage_id}/…`): the primary key as text
    for our own people, the outside token's subject for others.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    issuer = models.CharField(max_length=255, blank=True, default="")
    subject = models.CharField(max_length=255, blank=True, default="")
    storage_id = models.CharField(max_length=255, unique=True, blank=True)

    _password: str | None  # Django's own: what set_password was given, until it is saved
    _has_new_password = False

    class Meta(AbstractUser.Meta):
        swappable = "AUTH_USER_MODEL"
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "subject"], condition=~Q(subject=""), name="one_user_per_outside_identity"
            )
        ]

    def set_unusable_password(self) -> None:
        super().set_unusable_password()
        self._has_new_password = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. Every token dies with the password that it was got with, and personal ones are no exception.

        A stored password that is only hashed anew, by a newer Django at a sign-in, is the same password.
        """
        if not self.storage_id:
            self.storage_id = str(self.pk)
        ends_tokens = not self._state.adding and (self._has_new_password or self._password is not None)
        with transaction.atomic():
            super().save(*args, **kwargs)
            if ends_tokens:
                now = timezone.now()
                self.personal_tokens.filter(revoked_at=None).update(revoked_at=now, revoked_by="a new password")
        self._has_new_password = False


class PersonalToken(models.Model):
    """What a person's own program signs in with: see `config.api.personal`. Never removed, only revoked.

    digest: SHA-256 of the token, which is stored nowhere. ending: its last characters, to tell it from others.
    """

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="personal_tokens")
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True)
    ending = models.CharField(max_length=4)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: does not end by itself")
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute")
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        default_permissions = ("view",)
        permissions = [("revoke_personaltoken", "Can revoke somebody's personal token")]
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True, revoked_by="") | (Q(revoked_at__isnull=False) & ~Q(revoked_by="")),
                name="a_revocation_has_a_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} …{self.ending}"


class Idempotency(models.Model):
    """The stored answer to one charging POST, replayed when the same key comes again within a day."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the canonical body")
    status = models.SmallIntegerField()
    body = models.TextField(help_text="JSON as it was answered, its fields in their order")
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
        return f"{self.verb} by {self.actor}"


class Approval(models.Model):
    """A verb that moves more credits than one member of staff may alone: it waits for another one's yes or no.

    model, row: what it is about, by `app.model` and primary key. values: the form's own fields.
    """

    verb = models.CharField(max_length=40)
    model = models.CharField(max_length=80)
    row = models.CharField(max_length=40)
    subject = models.CharField(max_length=120, db_index=True)
    described = models.CharField(max_length=500)
    credits = models.IntegerField(help_text="that would move, as it was asked")
    values = models.JSONField(default=dict)
    reason = models.CharField(max_length=500)
    form_key = models.CharField(max_length=36)
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    is_approved = models.BooleanField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("decide_approval", "Can approve or decline what others asked for")]
        constraints = [
            models.UniqueConstraint(fields=["form_key", "subject", "verb"], name="a_form_asks_once"),
            models.CheckConstraint(
                condition=Q(decided_at__isnull=True, decided_by__isnull=True, is_approved__isnull=True)
                | Q(decided_at__isnull=False, decided_by__isnull=False, is_approved__isnull=False),
                name="a_decision_has_a_name",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=models.F("asked_by")),
                name="nobody_decides_their_own",
            ),
        ]
        indexes = [
            models.Index(fields=["-asked_at"], name="approval_open", condition=Q(decided_at__isnull=True)),
            models.Index(fields=["-asked_at"], name="approval_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.described}"
