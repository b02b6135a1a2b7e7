"""Lane: where steps of one provider wait and run. The log of calls is generation's attempts."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Breaker(models.TextChoices):
    CLOSED = "closed", "closed"  # work flows
    OPEN = "open", "open"  # work waits; one probe is let through each 15 s


class Lane(models.Model):
    """A cap, a pause switch, a cool-down and a breaker, shared by all workers.

    `desk` is the pause switch of the whole desk and holds no work; `internal` is our own image work.
    cap: most calls in flight, None is no cap. cooldown_until: a 429 of the vendor cools the lane for
    everybody. probe_at: when the next single item may be let through an open breaker.
    """

    name = models.CharField(max_length=40, primary_key=True)
    alias = models.CharField(max_length=20, blank=True, default="")
    operation = models.CharField(max_length=40, blank=True, default="", help_text="empty: all of the provider's")
    cap = models.PositiveIntegerField(null=True, blank=True, help_text="most calls in flight; empty: no cap")

    paused = models.BooleanField(default=False)
    paused_by = models.CharField(max_length=150, blank=True, default="")
    paused_reason = models.CharField(max_length=500, blank=True, default="")

    cooldown_until = models.DateTimeField(null=True, blank=True)
    cooldown_reason = models.CharField(max_length=200, blank=True, default="")

    breaker = models.CharField(max_length=8, choices=Breaker.choices, default=Breaker.CLOSED)
    breaker_reason = models.CharField(max_length=200, blank=True, default="")
    opened_at = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True)

    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        permissions = [
            ("pause_provider", "Can pause and resume lanes and the desk"),
            ("see_provider_names", "Can see the real names of providers"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(breaker__in=["closed", "open"]), name="lane_breaker_is_known"),
            models.CheckConstraint(
                condition=Q(breaker="closed") | Q(opened_at__isnull=False), name="lane_open_since_when"
            ),
        ]

    def __str__(self) -> str:
        return self.name
