"""A story session: the name under which a client's story lies, and the request that is its current run."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from generation.models.request import Request


class StorySession(models.Model):
    """Made on first use; its name belongs to that person for good.

    directory: where its files lie, with a slash at the end. request: the current run, None until the first one.
    mirrored_round: the round of that run whose end is written to the store; None while it is still to be written.
    """

    session_id = models.CharField(max_length=128, unique=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    directory = models.CharField(max_length=700)
    request = models.OneToOneField(Request, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    mirrored_round = models.PositiveSmallIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["owner", "-created_at"], name="story_of_owner")]

    def __str__(self) -> str:
        return self.session_id
