"""Judging: a step that leaves a verdict instead of a file, and what follows a bad one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db.models import F

from generation import events, lanes, retry, states
from generation.claim import Claim, front_rank
from generation.engine import closing, parts
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone
from generation.engine.keeping import keep, late
from generation.engine.settling import carry_on, end_step
from generation.engine.stumbling import begins_again
from generation.models import Attempt, HoldReason, Item, ItemStatus, Outcome, Stage
from generation.plan import INTERNAL, WEIGHTS
from generation.steps import CHECKS, STEPS
from providers.base import Made

NOT_GOOD_ENOUGH = closing.Failure("CHECK_FAILED", "No result passed the checks.", retryable=False)


def take(claim: Claim, made: Made, *, carries_on: bool = False) -> Claim | None:
    """Take what a provider made: keep its file, or judge by its verdict when the step makes none.

    carries_on: a step of our own that follows a verdict is left in this holder's hands; it is returned, to be worked
    at once.
    """
    if STEPS[claim.item.step_name].kind is not None:
        keep(claim, made)
        return None
    lane = claim.item.lane
    try:
        following = _judge(claim, made, carries_on)
    except Gone:
        late(claim, made.cost_usd)
        return None
    lanes.note_success(lane)
    return following


@survives_restart
def _judge(claim: Claim, made: Made, carries_on: bool) -> Claim | None:
    """Write down a verdict, and go on, back for another pass, or fail when no pass is left. Raises Gone."""
    following: Attempt | None = None
    item, plan = claim.item, claim.item.step_plan
    left = {**made.extra, "starts": item.starts, "model": made.model}
    status = ItemStatus(item.status)
    is_good = all(CHECKS[name](made.extra) for name in plan.checks)
    try:
        with events.change(item.request_id) as change:
            if is_good:
                following = carry_on(change, claim, left) if carries_on else None
                if following is None:
                    status = end_step(change, item, claim.fence, left)
            elif plan.asks_again and item.starts < plan.retry.max_starts:
                _ask_again(change, item, claim.fence)
            elif item.pass_no + 1 < plan.passes:
                _go_back(change, item, claim.fence, left)
            else:
                held = closing.locked(change, item.pk)
                if held.fence != claim.fence or held.status != ItemStatus.RUNNING:
                    raise Gone
                parts.give_up(change, held, NOT_GOOD_ENOUGH)
            change.alter(
                Attempt,
                claim.attempt_id,
                stage=Stage.SETTLED,
                outcome=Outcome.MADE,
                said=dict(made.extra),
                cost_usd=made.cost_usd,
                ended_at=change.now,
            )
    except Gone:
        following = _carried_on_before(claim)
        if following is None:
            raise
    else:
        item.status = status
    return _in_hand(claim, left, following) if following else None


def _carried_on_before(claim: Claim) -> Attempt | None:
    """What this holder goes on with since a change whose confirmation was lost: its fence holds still."""
    item = claim.item
    mine = Attempt.objects.filter(item=item.pk, fence=claim.fence, step__gt=item.step, ended_at=None)
    return mine.filter(item__fence=F("fence"), item__status=ItemStatus.RUNNING).first()


def _in_hand(claim: Claim, left: dict[str, Any], attempt: Attempt) -> Claim:
    """The claim of the step that its holder goes on with."""
    item = claim.item
    item.results = {**item.results, item.step_name: left}
    item.step, item.pass_no, item.starts, item.candidate, item.lane = attempt.step, attempt.pass_no, 1, 0, INTERNAL
    item.weight = max(item.weight, WEIGHTS[item.priority])
    return replace(claim, attempt_id=attempt.pk)


def _ask_again(change: events.Change, item: Item, fence: int) -> None:
    """Have the same result judged once more. Raises Gone."""
    rank = front_rank(item.lane, item.weight)
    if not states.move(change, item.pk, states.REQUEUE, fence=fence, rank=rank, queued_at=change.now, lease_until=None):
        raise Gone


def _go_back(change: events.Change, item: Item, fence: int, left: dict[str, Any]) -> None:
    """Send an item back to make its result anew, one pass on, after the pause that any pass of its kind is given.

    It keeps its weight. Raises Gone.
    """
    target, candidate = begins_again(item)
    lane = lanes.lane_of(item.plan_of(target), candidate)
    wait_s = retry.pause_s(item.step_plan.retry, item.pass_no) if item.step_plan.failure_ends_pass else 0
    due: dict[str, Any] = {}
    if wait_s:
        due = {"hold_reason": HoldReason.RETRY, "run_after": change.now + timedelta(seconds=wait_s)}
    moved = states.move(
        change,
        item.pk,
        states.AGAIN_LATER if wait_s else states.AGAIN,
        fence=fence,
        told={"step": item.step_name, "pass": item.pass_no + 1},
        step=target,
        pass_no=item.pass_no + 1,
        candidate=candidate,
        starts=0,
        lane=lane,
        rank=front_rank(lane, item.weight),
        queued_at=change.now,
        results={**item.results, item.step_name: left},
        progress=item.progress_at(target),
        lease_until=None,
        **due,
    )
    if not moved:
        raise Gone
