"""Attempts: how far a paid call got. sent (with the claim) -> accepted -> received -> settled."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from generation.models import Attempt, Outcome, Stage
from providers import registry, secrets
from providers.disguise import disguise
from providers.errors import ProviderError

DETAIL_CHARS = 2000


class Gone(Exception):
    """The fence no longer holds: the item was cancelled, or its lease ended and another has it."""


def end_attempt(attempt_id: int, outcome: Outcome, error: ProviderError | None, now: datetime | Now) -> bool:
    """Close an open attempt with what came of it. False when it had been closed before. One query."""
    fields: dict[str, Any] = {"outcome": outcome, "ended_at": now, "poll_at": None}
    if error:
        # A vendor's own text may stand in it: neither a key nor a vendor's name gets into a row, whoever raised this.
        detail = disguise(secrets.redact(error.detail, DETAIL_CHARS))
        fields |= {"error_code": error.code, "error_detail": detail[:DETAIL_CHARS]}
        fields["outcome"] = Outcome.LOST if error.is_loss else outcome
    ended = bool(Attempt.objects.filter(pk=attempt_id, ended_at__isnull=True).update(**fields))
    if ended and fields["outcome"] == Outcome.LOST:
        count_as_spent(Attempt.objects.filter(pk=attempt_id))
    return ended


def count_as_spent(attempts: QuerySet[Attempt]) -> None:
    """Write what lost calls probably cost: their vendors have made and billed them, and nobody will say how much.

    One query, and one for each kind of call. What is known already stays, and what comes late after all replaces it.
    """
    silent = attempts.filter(outcome=Outcome.LOST, cost_usd=0, stage__in=[Stage.SENT, Stage.ACCEPTED])
    for provider, operation, model in set(silent.values_list("provider", "operation", "model")):
        if registry.can(provider, operation):
            cost_usd = registry.adapter(provider).estimate(operation, model)
            silent.filter(provider=provider, operation=operation, model=model).update(cost_usd=cost_usd)
