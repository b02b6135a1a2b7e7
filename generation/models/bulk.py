"""A verb that staff use on thousands of items at once: what was chosen, and what came of each."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from generation.models.item import Item


class Bulk(models.Model):
    """One verb for many items. The choice is kept when it is asked about, so that what was shown is what is done.

    id: also the one-time key of the form. begun_at: None until somebody confirmed it; nothing happens before.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    verb = models.CharField(max_length=40)
    chosen = models.CharField(max_length=300, blank=True, default="", help_text="by which filters")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, blank=True, default="")
    values = models.JSONField(default=dict, help_text="the form's own fields")
    total = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    begun_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        verbose_name = "bulk verb"
        indexes = [models.Index(fields=["-created_at"], name="bulk_newest")]

    def __str__(self) -> str:
        return f"{self.verb} {self.total} items"


class BulkRow(models.Model):
    """One chosen item, and what came of it: counts as the verb tells them, or why it was refused."""

    id = models.BigAutoField(primary_key=True)
    bulk = models.ForeignKey(Bulk, on_delete=models.CASCADE, related_name="rows")
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(null=True, blank=True)
    done = models.PositiveIntegerField(default=0)
    missed = models.PositiveIntegerField(default=0)
    credits = models.IntegerField(default=0)
    refused = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["bulk", "item"], name="an_item_is_chosen_once")]
        indexes = [models.Index(fields=["bulk", "id"], name="bulk_left", condition=Q(at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.bulk_id} {self.item_id}"
