"""Lanes in the light of what happened in them: pauses, cool-downs, breakers, and where waiting items may go.

The lane rows belong to `providers`; the attempts that a breaker judges by are ours. Both meet here.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from generation.claim import fair_rank
from generation.models import Attempt, Item, ItemStatus, Outcome, rows
from generation.plan import INTERNAL, Candidate, StepPlan
from providers import breaker, registry
from providers.errors import ProviderError
from providers.models import Lane

MOVE_BATCH = 500
# Outcomes that say nothing about a provider's health.
NEUTRAL = (Outcome.LATE, Outcome.NOT_SENT, Outcome.ADOPTED)
# A refused prompt or picture says nothing of it either, nor does our own store; a refused key or an empty account
# says all.
OTHERS_CODES = ("CONTENT_REJECTED", "INVALID_INPUT", "RATE_LIMITED", "STORAGE_ERROR")
OUR_CODES = ("PROVIDER_AUTH", "PROVIDER_CREDIT")
OURS = "our key, account or setting was refused"


def lane_of(plan: StepPlan, candidate: int) -> str:
    """Name the lane in which a step runs with its n-th candidate; `internal` for our own image work."""
    if not plan.candidates:
        return INTERNAL
    return registry.lane_of(plan.candidates[candidate].provider, plan.operation)


def next_open_candidate(plan: StepPlan, after: int) -> int | None:
    """Return the index of the first later candidate whose lane is open, if there is one. One query."""
    later = [(index, lane_of(plan, index)) for index in range(after + 1, len(plan.candidates))]
    closed = set(closed_lanes().values_list("name", flat=True)) if later else set()
    return next((index for index, lane in later if lane not in closed and _available(plan.candidates[index])), None)


def _available(candidate: Candidate) -> bool:
    return registry.is_available(candidate.provider)


def closed_lanes() -> QuerySet[Lane]:
    """Lanes that lead nowhere for now: paused, or with an open breaker. A cool-down is over too soon to count."""
    return Lane.objects.filter(Q(paused=True) | Q(breaker="open")).exclude(name="desk")


def note_failure(lane: str, error: ProviderError) -> None:
    """Let a failed call be felt by everybody: cool the lane down, or open its breaker. Outside the item's change."""
    now = timezone.now()
    if not error.costs_start and not error.ours:
        until = now + timedelta(seconds=min(max(error.retry_after_s or 1.0, 1.0), 300.0))
        Lane.objects.filter(Q(cooldown_until__isnull=True) | Q(cooldown_until__lt=until), name=lane).update(
            cooldown_until=until, cooldown_reason="the provider asked us to slow down"
        )
        return
    if reason := OURS if error.ours else breaker.reason(_recent(lane), now):
        Lane.objects.filter(name=lane, breaker="closed").update(
            breaker="open", breaker_reason=reason, opened_at=now, probe_at=breaker.next_probe(now)
        )


def note_success(lane: str) -> None:
    """Close an open breaker after a probe that worked. One query."""
    closed = {"breaker": "closed", "breaker_reason": "", "opened_at": None, "probe_at": None}
    rows.update(Lane, lane, to=closed, given={"breaker": "open"})


def _recent(lane: str) -> list[breaker.Recent]:
    """Read the calls that a lane's breaker judges by. One query."""
    since = timezone.now() - timedelta(seconds=breaker.WINDOW_S)
    ended = Attempt.objects.filter(lane=lane, ended_at__gte=since).exclude(outcome__in=NEUTRAL)
    return [
        breaker.Recent(at, failed=outcome != Outcome.MADE and code not in OTHERS_CODES, ours=code in OUR_CODES)
        for at, outcome, code in ended.values_list("ended_at", "outcome", "error_code")
        if at
    ]


def pause(name: str, *, actor: str, reason: str = "") -> bool:
    """Let nothing more begin in a lane, or with `desk` in any. Calls that run go on. False when it already was."""
    return bool(Lane.objects.filter(name=name, paused=False).update(paused=True, paused_by=actor, paused_reason=reason))


def resume(name: str) -> bool:
    """Open a paused lane again, and give its breaker and cool-down a fresh start. False when it was not paused."""
    return bool(
        Lane.objects.filter(name=name, paused=True).update(
            paused=False, paused_by="", paused_reason="", cooldown_until=None, probe_at=None
        )
    )


def probe_now(name: str) -> bool:
    """Let the next waiting item through an open breaker at once, alone. False when the breaker is closed."""
    return bool(Lane.objects.filter(name=name, breaker="open").update(probe_at=None, cooldown_until=None))


def set_cap(name: str, cap: int | None) -> None:
    """Let so many calls fly at a time; None: as many as come. Those in flight beyond a lower cap go on."""
    rows.update(Lane, name, to={"cap": cap, "updated_at": timezone.now()})


_HAS_ANOTHER = RawSQL(
    "jsonb_array_length(steps -> step::int -> 'candidates') > candidate + 1", (), output_field=BooleanField()
)


def evacuate() -> int:
    """Move waiting items out of closed lanes to their next open candidate, in batches; the rest wait on.

    Those on their last candidate are not looked at: a batch of them would hide all who stand behind.

    The price that was charged stays. Returns how many moved.
    """
    moved = 0
    for lane in closed_lanes():
        with transaction.atomic():
            waiting = Item.objects.filter(lane=lane.name, status=ItemStatus.QUEUED, adopts__isnull=True)
            waiting = waiting.filter(_HAS_ANOTHER).order_by("-weight", "rank", "id")
            for item in waiting.select_for_update(skip_locked=True)[:MOVE_BATCH]:
                index = next_open_candidate(item.step_plan, item.candidate)
                if index is not None:
                    target = lane_of(item.step_plan, index)
                    rank = fair_rank(target, item.weight, item.owner_id)
                    moved += Item.objects.filter(pk=item.pk).update(lane=target, candidate=index, rank=rank)
    return moved
