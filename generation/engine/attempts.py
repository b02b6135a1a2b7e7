"""Attempts: how far a paid call got. sent (by the claim itself) -> accepted -> received -> settled."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models.functions import Now

from generation.models import Attempt, Outcome
from providers import secrets
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
    return bool(Attempt.objects.filter(pk=attempt_id, ended_at__isnull=True).update(**fields))
