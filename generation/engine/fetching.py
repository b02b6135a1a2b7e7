"""Fetching: a parked call has ended, and its item is won back to go on as if the call had just returned.

Many may have asked about the same call; one of them fetches it, and the others leave it alone. Nobody asks about what
was fetched: whoever takes it back from a dead holder has it asked about again.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from generation import events, lanes, states
from generation.claim import Claim
from generation.engine import closing, judging, pace, stumbling
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone, end_attempt
from generation.engine.keeping import park
from generation.models import Attempt, Item, ItemStatus, Outcome, Stage, rows
from providers import registry
from providers.base import Call, Made, Pending, Ready
from providers.errors import ProviderError

log = logging.getLogger(__name__)

# While a round asks, nobody else polls its attempts; a crash in it delays them by this much.
ROUND_S = 60


@dataclass(frozen=True)
class Parked:
    """An attempt left at its vendor, with what is needed to ask about it. since: when it was accepted, monotonic."""

    attempt: Attempt
    item: Item
    since: float

    @property
    def kind(self) -> pace.Kind:
        return self.attempt.provider, self.attempt.operation, self.attempt.model

    @property
    def age_s(self) -> float:
        """How long it has been there."""
        return time.monotonic() - self.since

    @property
    def is_over(self) -> bool:
        """Has it been parked for as long as its step allows?"""
        return self.attempt.park_until is not None and self.attempt.park_until <= timezone.now()


def ended(one: Parked, answer: Made | Ready | ProviderError) -> Item | None:
    """Fetch the item back into RUNNING, once, and go on as if the call had just returned; return it as it stands then,
    None when it is somebody else's. A call that is given up while it is at its vendor is cancelled there, so that two
    are not paid for."""
    took_s = one.age_s
    is_still_there = isinstance(answer, ProviderError) and answer.ask_again is True
    claim = fetch(one, goes_on=isinstance(answer, Ready), gives_up=is_still_there)
    if claim is None:
        _record_late(one, answer)
        return None
    try:
        if isinstance(answer, ProviderError):
            raise answer
        if isinstance(answer, Ready):
            _next_call(one, claim, answer)
        else:
            pace.learn(one.kind, took_s)
            judging.take(claim, answer)
    except ProviderError as error:
        stumbling.stumble(claim, error)
    except Gone:
        log.info("the item was taken away", extra={"attempt": one.attempt.pk})
    except Exception as bug:
        log.exception("a bug after a poll", extra={"attempt": one.attempt.pk})
        stumbling.stumble(claim, stumbling.bug_of(bug))
    return claim.item


def _next_call(one: Parked, claim: Claim, ready: Ready) -> None:
    """Make the next call of a chain under the claim that was just won. Raises ProviderError or Gone.

    Nobody renews this claim's lease, so the call must end well inside it. When the vendor has no room for it the
    chain stays parked where it stands.
    """
    call = replace(call_of(one), resumes=ready.remote_id)
    call = replace(call, deadline_s=min(call.deadline_s, settings.LEASE_S / 2))
    connection.close()
    try:
        answer = registry.adapter(one.attempt.provider).run(call)
    except ProviderError as error:
        if error.costs_start or error.ours:
            raise
        lanes.note_failure(one.attempt.lane, error)
        answer = Pending(ready.remote_id, error.retry_after_s or 5.0)
    if isinstance(answer, Made):
        judging.take(claim, answer)
    else:
        park(claim, answer)


@survives_restart
def fetch(one: Parked, *, goes_on: bool = False, gives_up: bool = False) -> Claim | None:
    """Win a parked item back, once. goes_on: its attempt is about to send another call, as when it was claimed.
    gives_up: its call is to be stopped at the vendor."""
    with events.change(one.item.request_id) if gives_up else nullcontext() as change, transaction.atomic():
        item = states.fetch(one.item.pk, one.attempt.pk, fence=one.attempt.fence + 1, lease_s=settings.LEASE_S)
        if item is None:
            return None
        if goes_on:
            rows.update(Attempt, one.attempt.pk, to={"stage": Stage.SENT, "remote_id": ""})
        if change:
            closing.cancel_at_vendor_later(change, one.attempt.pk)
    return Claim(item, one.attempt.pk, item.fence)


def _record_late(one: Parked, answer: Made | Ready | ProviderError) -> None:
    """Close the attempt of an item that was taken away while parked; a refusal, or a chain that was not gone on
    with, proves that nothing was produced. That its time is up, or that asking failed, proves nothing.

    Another who asked at the same time, or before, may have fetched the item and be storing what came: the call is
    theirs. To end it here would have it made and paid for once more, should they die over it.
    """
    if isinstance(answer, Made):
        for file in answer.files:
            file.body.close()
    mine = Attempt.objects.filter(pk=one.attempt.pk, fence=one.attempt.fence)
    if not mine.exclude(item__status=ItemStatus.RUNNING, item__fence=F("fence")).exists():
        return
    if isinstance(answer, Made):
        end_attempt(one.attempt.pk, Outcome.LATE, None, timezone.now())
        Attempt.objects.filter(pk=one.attempt.pk).update(cost_usd=answer.cost_usd)
    elif isinstance(answer, ProviderError) and answer.ask_again:
        end_attempt(one.attempt.pk, Outcome.LATE, answer, timezone.now())
    else:
        error = answer if isinstance(answer, ProviderError) else None
        closing.end_without_result(one.attempt.pk, Outcome.LATE, error)


def cancel_at_vendor(attempt_id: int) -> bool:
    """Ask the vendor to stop a call that nobody waits for any more: its item was cancelled or has failed, or its time
    was up, which ended its attempt. True when it confirms that it stopped before producing."""
    attempt = Attempt.objects.get(pk=attempt_id)
    connection.close()
    if not attempt.remote_id or attempt.ended_at and attempt.outcome != Outcome.FAILED:
        return False
    confirmed = registry.adapter(attempt.provider).cancel(attempt.remote_id)
    if confirmed:
        closing.end_without_result(attempt_id, Outcome.LATE)
    return confirmed


def call_of(one: Parked) -> Call:
    plan = one.item.plan_of(one.attempt.step)
    return Call(
        operation=one.attempt.operation,
        model=one.attempt.model,
        inputs=plan.inputs,
        deadline_s=min(plan.timeout_s, ROUND_S),
        attempt_ref=str(one.attempt.pk),
    )
