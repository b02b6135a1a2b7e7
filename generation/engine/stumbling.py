"""Stumbling: what follows an error. The next candidate, a wait, another try, or the end with a refund."""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile
from typing import Any

from generation import events, images, lanes, meshes, retry, states, storage
from generation.claim import Claim, fair_rank
from generation.engine import closing, parts
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone, end_attempt
from generation.engine.settling import end_step
from generation.models import Attempt, HoldReason, Item, ItemStatus, Outcome, Stage
from generation.plan import INTERNAL
from generation.retry import Verdict
from providers.errors import AnswerLost, ProviderError, Refused

# Outcomes that end a row of failures, and those that make one; the others say nothing.
WORKED = (Outcome.MADE, Outcome.ADOPTED)
BROKEN = (Outcome.FAILED, Outcome.LOST)

GENERIC_MESSAGE = "The generation failed."


@survives_restart
def stumble(claim: Claim, error: ProviderError) -> None:
    """Decide what follows an error: the next candidate, a wait, another try, or the end with a refund."""
    try:
        with events.change(claim.item.request_id) as change:
            item = closing.locked(change, claim.item.pk)
            if item.fence != claim.fence or item.status not in (ItemStatus.RUNNING, ItemStatus.WAITING):
                raise Gone
            if not Attempt.objects.filter(pk=claim.attempt_id, ended_at=None).exists():
                raise Gone  # it was judged already, and its holder goes on under the same fence
            _after_error(change, item, claim.attempt_id, error)
    except Gone:
        closing.end_without_result(claim.attempt_id, Outcome.LATE, error)
    if claim.item.lane != INTERNAL:
        lanes.note_failure(claim.item.lane, error)


def _after_error(change: events.Change, item: Item, attempt_id: int, error: ProviderError) -> None:
    plan = item.step_plan
    losses = item.losses + error.is_loss
    following = lanes.next_open_candidate(plan, item.candidate)
    tries = _tries(change, item, attempt_id, error)
    decision = retry.decide(plan.retry, error, tries, has_next_candidate=following is not None)
    end_attempt(attempt_id, _outcome(decision, error), error, change.now)
    if losses >= retry.MAX_LOSSES or decision.verdict is Verdict.GIVE_UP:
        why = closing.Failure(error.code, str(error), retry.is_retryable(plan.retry, error), error.refundable)
        Item.objects.filter(pk=item.pk).update(losses=losses)
        if plan.required:
            parts.give_up(change, item, why, quarantine=losses >= retry.MAX_LOSSES)
        else:
            end_step(change, item, item.fence, {})
    elif decision.verdict is Verdict.NEXT_CANDIDATE and following is not None:
        _requeue(change, item, following, starts=item.starts - 1)
    elif decision.verdict is Verdict.WAIT and error.ours:
        _requeue(change, item, item.candidate, starts=item.starts - 1)
    elif decision.verdict is Verdict.NEXT_PASS:
        step, candidate = _next_pass(item, following if decision.moves_on else None)
        _hold(change, item, error, decision, step, candidate, pass_no=item.pass_no + 1, starts=0, losses=losses)
    else:
        candidate = following if decision.moves_on and following is not None else item.candidate
        starts = item.starts - (decision.verdict is Verdict.WAIT)
        _hold(change, item, error, decision, item.step, candidate, starts=starts, losses=losses)


def _outcome(decision: retry.Decision, error: ProviderError) -> Outcome:
    if decision.verdict is Verdict.NEXT_CANDIDATE:
        return Outcome.PASSED_ON
    return Outcome.LIMITED if decision.verdict is Verdict.WAIT or retry.is_wait(error) else Outcome.FAILED


def _tries(change: events.Change, item: Item, attempt_id: int, error: ProviderError) -> retry.Tries:
    """Count what the attempts of an item's step say. One query, two where failures lead to another candidate."""
    plan = item.step_plan
    before = Attempt.objects.filter(item=item, round=change.round, step=item.step).exclude(pk=attempt_id)
    in_a_row = 0
    if plan.retry.next_candidate_after is not None:
        candidate = plan.candidates[item.candidate]
        on_this = before.filter(provider=candidate.provider, model=candidate.model, ended_at__isnull=False)
        ended = [Outcome(one) for one in on_this.order_by("-pk").values_list("outcome", flat=True)]
        in_a_row = sum(one in BROKEN for one in takewhile(lambda one: one not in WORKED, ended))
    return retry.Tries(
        starts=item.starts,
        waits=before.filter(pass_no=item.pass_no, outcome=Outcome.LIMITED).count(),
        most_waits=plan.rate_limit_starts,
        failures_in_a_row=in_a_row + (not retry.is_wait(error)),
        passes=item.pass_no,
        passes_left=plan.passes - item.pass_no - 1 if plan.failure_ends_pass else None,
    )


def _next_pass(item: Item, following: int | None) -> tuple[int, int]:
    """The step and the candidate with which the next pass begins."""
    plan = item.step_plan
    if not plan.again_from:
        return item.step, item.candidate if following is None else following
    return begins_again(item)


def begins_again(item: Item) -> tuple[int, int]:
    """The step that a step which checks sends back to, and its candidate: the first, or the one that it came to after
    failures of those before."""
    step = [one["name"] for one in item.steps].index(item.step_plan.again_from)
    plan, left = item.plan_of(step), item.results.get(item.step_plan.again_from, {})
    return step, left.get("candidate", 0) if plan.retry.next_candidate_after is not None else 0


def _hold(
    change: events.Change,
    item: Item,
    error: ProviderError,
    decision: retry.Decision,
    step: int,
    candidate: int,
    **fields: Any,
) -> None:
    """Let a locked item wait before it is tried again, at a step and with one of its candidates."""
    weight = item.step_plan.retry.weight_after_error
    states.move(
        change,
        item.pk,
        states.RETRY,
        told={
            "code": error.code,
            "wait_s": round(decision.wait_s, 3),
            **({"pass": fields["pass_no"]} if "pass_no" in fields else {}),
        },
        hold_reason=HoldReason.RETRY,
        run_after=change.now + timedelta(seconds=decision.wait_s),
        weight=item.weight if decision.verdict is Verdict.WAIT or weight is None else weight,
        step=step,
        candidate=candidate,
        lane=lanes.lane_of(item.plan_of(step), candidate),
        started_at=None,
        progress=item.progress_at(step),
        lease_until=None,
        **fields,
    )


def _requeue(change: events.Change, item: Item, candidate: int, **fields: Any) -> None:
    """Put a locked item back into the lane of one of its candidates, ranked anew."""
    lane = lanes.lane_of(item.step_plan, candidate)
    states.move(
        change,
        item.pk,
        states.REQUEUE,
        candidate=candidate,
        lane=lane,
        rank=fair_rank(lane, item.weight, item.owner_id),
        queued_at=change.now,
        lease_until=None,
        **fields,
    )


def bug_of(bug: Exception) -> ProviderError:
    """Dress an exception of our own as an error; its text goes to staff only.

    A store that cannot be used may be usable soon, and nothing was asked for or lost. What cannot be read will not
    be read later. Anything else is a bug, an error without a class.
    """
    detail = f"{type(bug).__name__}: {bug}"
    if isinstance(bug, storage.StorageError):
        return ProviderError("STORAGE_ERROR", "The files cannot be reached at present.", retryable=True, detail=detail)
    if isinstance(bug, images.BadPicture | meshes.BadModel):
        return Refused("The input could not be processed.", detail=detail)
    return ProviderError("UNKNOWN_ERROR", GENERIC_MESSAGE, retryable=False, unclassified=True, detail=detail)


@survives_restart
def lose(item: Item, fence: int, attempt: Attempt) -> None:
    """Count an attempt's call as a loss, if this fence still holds the item; ask the vendor again where it can be."""
    with events.change(item.request_id) as change:
        item = closing.locked(change, item.pk)
        if item.fence != fence or item.status != ItemStatus.RUNNING:
            return
        if attempt.remote_id:
            _park_again(change, item, attempt)
        else:
            lose_locked(change, item, attempt)


def _park_again(change: events.Change, item: Item, attempt: Attempt) -> None:
    """Look up a call whose result came and was not stored: the vendor has it still, and it is paid for."""
    lane = lanes.lane_of(item.step_plan, item.candidate)
    states.move(change, item.pk, states.PARK, fence=item.fence, lane=lane, adopts=None, lease_until=None)
    Attempt.objects.filter(pk=attempt.pk).update(
        stage=Stage.ACCEPTED, outcome="", ended_at=None, fence=item.fence, poll_at=change.now
    )


def lose_locked(change: events.Change, item: Item, attempt: Attempt) -> None:
    """Count the call of an attempt as a loss whose answer nobody can find; the policy goes on from there."""
    if item.adopts:
        item.lane, item.adopts = lanes.lane_of(item.step_plan, item.candidate), None
        Item.objects.filter(pk=item.pk).update(lane=item.lane, adopts=None)
    _after_error(change, item, attempt.pk, AnswerLost(detail="the worker died"))
