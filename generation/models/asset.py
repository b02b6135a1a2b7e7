"""An asset: one stored file."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from generation.models.item import Item
from generation.models.request import Request


class AssetKind(models.TextChoices):
    IMAGE = "image"
    STAGE = "stage"  # a picture that only a later step goes on with: a figure cut out, an empty scene
    MODEL = "model"
    PREVIEW = "preview"  # a model as its vendor rendered it
    THUMBNAIL = "thumbnail"
    EXPORT = "export"
    MASK = "mask"
    POSE_MAP = "pose-map"
    INPUT = "input"
    REPORT = "report"


class Asset(models.Model):
    """step, name: which step of its item left it, and which of that step's several files it is."""

    Kind = AssetKind

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="assets", null=True, blank=True)
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="assets", null=True, blank=True)
    kind = models.CharField(max_length=10, choices=AssetKind.choices)
    step = models.CharField(max_length=40, blank=True, default="")
    name = models.CharField(max_length=60, blank=True, default="", db_default="")
    key = models.CharField(max_length=1024, unique=True)
    content_type = models.CharField(max_length=60)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["owner", "-created_at"], name="asset_of_owner"),
            models.Index(fields=["-created_at"], name="asset_newest"),
        ]

    def __str__(self) -> str:
        return self.key.rsplit("/", 1)[-1]
