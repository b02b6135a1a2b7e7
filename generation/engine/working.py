"""Work: one claimed item through one step.

    work      claim -> begin -> call -> keep | park | stumble
    keep      check -> received -> store -> settle: the next step, or SUCCEEDED

The database connection goes back to the pool around the provider's call and around the store. Every
write after the claim carries its fence; when the fence no longer holds the item is somebody else's,
and what comes is only recorded.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Coalesce, Now

from generation import events, images, lanes, queue, retry, states, storage
from generation.claim import Claim, fair_rank, front_rank
from generation.engine import closing
from generation.engine.again import survives_restart
from generation.models import Asset, Attempt, EventKind, HoldReason, Item, ItemStatus, Outcome, Stage
from generation.plan import INTERNAL, WEIGHTS, StepPlan
from generation.retry import Verdict
from generation.steps import STEPS
from providers import registry
from providers.base import Call, Made, Pending
from providers.errors import AnswerLost, BadAnswer, ProviderError

log = logging.getLogger(__name__)

GENERIC_MESSAGE = "The generation failed."


class Gone(Exception):
    """The fence no longer holds: the item was cancelled, or its lease ended and another has it."""


@dataclass(frozen=True)
class Result:
    """What a step made, checked and ready to be stored. None where a step that is not required failed."""

    picture: images.Picture
    cost_usd: Decimal = Decimal(0)
    seed: int | None = None
    model: str = ""


def work(claim: Claim) -> None:
    """Do one claimed step, whatever comes of it; raises only what a restart of the database outlasts."""
    try:
        if claim.item.adopts:
            adopt(claim)
        elif claim.item.lane == INTERNAL:
            _work_ourselves(claim)
        else:
            _ask_provider(claim)
    except Gone:
        log.info("the item was taken away", extra={"item": claim.item.public_id, "attempt": claim.attempt_id})


def _ask_provider(claim: Claim) -> None:
    plan = claim.item.step_plan
    try:
        begin(claim)
    except Gone:
        _not_sent(claim)
        return
    try:
        answer = _call(claim, plan)
        if isinstance(answer, Made):
            keep(claim, checked(answer, claim.attempt_id))
        else:
            park(claim, answer)
    except ProviderError as error:
        stumble(claim, error)
    except Gone:
        raise
    except Exception as bug:
        log.exception("a bug in a step", extra={"item": claim.item.public_id, "attempt": claim.attempt_id})
        stumble(claim, bug_of(bug))


@survives_restart
def begin(claim: Claim) -> None:
    """Write down that a call goes out now, and move the request on when it is the first. Raises Gone.

    A crash between the claim and this is mended by the next claim's begin.
    """
    item = claim.item
    with events.change(item.request_id) as change:
        states.move_request(change, states.START, started_at=change.now)
        began = Item.objects.filter(pk=item.pk, fence=claim.fence, status=ItemStatus.RUNNING).update(
            started_at=change.now,
            first_started_at=Coalesce(F("first_started_at"), change.now),
            deadline_at=Coalesce(F("deadline_at"), change.now + timedelta(seconds=item.deadline_s)),
        )
        if not began:
            raise Gone
        change.record(EventKind.STARTED, item.pk, start=item.starts)


def _call(claim: Claim, plan: StepPlan) -> Made | Pending:
    candidate = plan.candidates[claim.item.candidate]
    call = Call(
        operation=plan.operation,
        model=candidate.model,
        inputs=_inputs(claim.item, plan.inputs),
        deadline_s=plan.timeout_s,
        attempt_ref=str(claim.attempt_id),
    )
    connection.close()  # back to the pool: nobody holds one while a provider works
    return registry.adapter(candidate.provider).run(call)


def _inputs(item: Item, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Read the pictures that inputs name by storage key, or as `step:NAME` for an earlier step's result."""

    def read(name: str) -> bytes:
        return storage.read(item.results[name[5:]]["key"] if name.startswith("step:") else name)

    read_in: dict[str, Any] = {}
    if inputs.get("images"):
        read_in["images"] = [read(name) for name in inputs["images"]]
    if inputs.get("mask"):
        read_in["mask"] = read(inputs["mask"])
    return {**inputs, **read_in}


def checked(made: Made, attempt_id: int) -> Result:
    """Judge what a provider sent: one picture that decodes. Raises BadAnswer after writing down what it cost."""
    try:
        if not made.files:
            raise images.BadPicture("no file in the answer")
        picture = images.check(made.files[0].body)
    except images.BadPicture as fault:
        Attempt.objects.filter(pk=attempt_id).update(cost_usd=made.cost_usd)
        raise BadAnswer(detail=str(fault)) from None
    finally:
        for file in made.files:
            file.body.close()
    return Result(picture, made.cost_usd, made.seed, made.model)


def keep(claim: Claim, result: Result) -> None:
    """Store a result and settle its step. Store before the move: a crash between leaves an orphan, no false success."""
    key = storage.work_key(claim.item, _name(claim), claim.fence, result.picture.extension)
    if not _received(claim, key, result):
        _late(claim, result.cost_usd)
        return
    connection.close()
    try:
        storage.save(key, result.picture.body)
    except storage.StorageError as error:
        raise AnswerLost(GENERIC_MESSAGE, code="STORAGE_ERROR", detail=str(error)) from error
    try:
        _settle(claim, key, result)
    except Gone:
        _late(claim, result.cost_usd, key)


def _name(claim: Claim) -> str:
    return str(claim.item.steps[claim.item.step]["name"])


@survives_restart
def _received(claim: Claim, key: str, result: Result) -> bool:
    """Write down what is about to be stored, so that it can be adopted if we die before settling. One query."""
    holds = Item.objects.filter(pk=OuterRef("item_id"), fence=claim.fence, status=ItemStatus.RUNNING)
    rows = Attempt.objects.filter(Exists(holds), pk=claim.attempt_id, ended_at__isnull=True)
    return bool(
        rows.update(
            stage=Stage.RECEIVED,
            key=key,
            content_type=result.picture.content_type,
            size_bytes=result.picture.size_bytes,
            sha256=result.picture.sha256,
            seed=result.seed,
            cost_usd=result.cost_usd,
            received_at=Now(),
        )
    )


@survives_restart
def _settle(claim: Claim, key: str, result: Result | None, *, error: str = "") -> None:
    """End a step: its asset, its attempt, and the next step or the item's success. Raises Gone.

    result: None for a step that is not required and failed; `error` says why, for staff.
    """
    item = claim.item
    with events.change(item.request_id) as change:
        left = {"key": key, "starts": item.starts, "seed": result.seed, "model": result.model} if result else {}
        end_step(change, item, claim.fence, left)
        if result:
            _add_asset(item, _name(claim), key, result.picture, change.now)
        Attempt.objects.filter(pk=claim.attempt_id).update(
            stage=Stage.SETTLED if result else F("stage"),
            outcome=Outcome.MADE if result else Outcome.FAILED,
            error_detail=error,
            ended_at=change.now,
        )
    if result and item.lane != INTERNAL:
        lanes.note_success(item.lane)


def end_step(change: events.Change, item: Item, fence: int, left: dict[str, Any]) -> None:
    """Move an item past its current step, which leaves `left` behind: into the next one, or to success. Raises Gone."""
    name = item.steps[item.step]["name"]
    results = {**item.results, name: left}
    if item.step + 1 == len(item.steps):
        moved = states.move(
            change,
            item.pk,
            states.SUCCEED,
            fence=fence,
            results=results,
            progress=100,
            finished_at=change.now,
            lease_until=None,
        )
        if not moved:
            raise Gone
        closing.item_ended(change, item)
        return
    # At the front of the next lane: what is half made is finished first.
    lane = lanes.lane_of(plan_of(item, item.step + 1), 0)
    weight = max(item.weight, WEIGHTS[item.priority])
    moved = states.move(
        change,
        item.pk,
        states.ADVANCE,
        fence=fence,
        told={"step": name},
        step=item.step + 1,
        pass_no=0,
        candidate=0,
        starts=0,
        adopts=None,
        lane=lane,
        weight=weight,
        rank=front_rank(lane, weight),
        queued_at=change.now,
        results=results,
        progress=progress_of(item, item.step + 1),
        lease_until=None,
    )
    if not moved:
        raise Gone
    queue.ring_after_commit(1)


def _add_asset(item: Item, step: str, key: str, picture: images.Picture, now: datetime) -> None:
    Asset.objects.create(
        owner_id=item.owner_id,
        request_id=item.request_id,
        item=item,
        kind=STEPS[step].kind,
        step=step,
        key=key,
        content_type=picture.content_type,
        size_bytes=picture.size_bytes,
        sha256=picture.sha256,
        width=picture.width,
        height=picture.height,
        created_at=now,
    )


def plan_of(item: Item, step: int) -> StepPlan:
    return StepPlan.from_json(item.steps[step])


def progress_of(item: Item, step: int, within: int = 0) -> int:
    """Say how far an open item is, 0..99: the shares of its ended steps, and the provider's percentage of this one."""
    shares = [plan["share"] for plan in item.steps]
    now = shares[step] * min(max(within, 0), 100) / 100 if step < len(shares) else 0
    return min(99, int(100 * (sum(shares[:step]) + now) / (sum(shares) or 1)))


@survives_restart
def park(claim: Claim, pending: Pending) -> None:
    """Leave a call at its vendor and free the thread. The remote id is all it takes to find it again."""
    item, plan = claim.item, claim.item.step_plan
    with contextlib.suppress(Gone), events.change(item.request_id) as change:
        Attempt.objects.filter(pk=claim.attempt_id, ended_at__isnull=True).update(
            stage=Stage.ACCEPTED,
            remote_id=pending.remote_id,
            accepted_at=change.now,
            poll_at=change.now + timedelta(seconds=pending.poll_after_s),
            park_until=change.now + timedelta(seconds=plan.park_s),
        )
        states.move(
            change,
            item.pk,
            states.PARK,
            fence=claim.fence,
            lease_until=None,
            progress=progress_of(item, item.step, pending.progress or 0),
        )
        # Not moved: cancelled meanwhile. The remote id is kept all the same, so that the vendor's cancel can follow.


@survives_restart
def stumble(claim: Claim, error: ProviderError) -> None:
    """Decide what follows an error: the next candidate, a wait, another try, or the end with a refund."""
    try:
        with events.change(claim.item.request_id) as change:
            item = closing.locked(change, claim.item.pk)
            if item.fence != claim.fence or item.status not in (ItemStatus.RUNNING, ItemStatus.WAITING):
                raise Gone
            _after_error(change, item, claim.attempt_id, error)
    except Gone:
        _late_error(claim, error)
    if claim.item.lane != INTERNAL:
        lanes.note_failure(claim.item.lane, error)


def _after_error(change: events.Change, item: Item, attempt_id: int, error: ProviderError) -> None:
    plan = item.step_plan
    losses = item.losses + error.is_loss
    following = lanes.next_open_candidate(plan, item.candidate)
    waits = Attempt.objects.filter(item=item, round=change.round, step=item.step, outcome=Outcome.LIMITED).count()
    decision = retry.decide(
        plan.retry, error, starts=item.starts, waits=waits, has_next_candidate=following is not None
    )
    end_attempt(attempt_id, _OUTCOMES.get(decision.verdict, Outcome.FAILED), error, change.now)
    if losses >= retry.MAX_LOSSES or decision.verdict is Verdict.GIVE_UP:
        why = closing.Failure(error.code, str(error), retry.is_retryable(plan.retry, error), error.refundable)
        Item.objects.filter(pk=item.pk).update(losses=losses)
        if plan.required:
            closing.fail(change, item, why, quarantine=losses >= retry.MAX_LOSSES)
        else:
            end_step(change, item, item.fence, {})
    elif decision.verdict is Verdict.NEXT_CANDIDATE and following is not None:
        _requeue(change, item, following, starts=item.starts - 1)
    elif decision.verdict is Verdict.WAIT and error.ours:
        _requeue(change, item, item.candidate, starts=item.starts - 1)
    else:
        is_wait = decision.verdict is Verdict.WAIT
        states.move(
            change,
            item.pk,
            states.RETRY,
            told={"code": error.code, "wait_s": round(decision.wait_s, 3)},
            hold_reason=HoldReason.RETRY,
            run_after=change.now + timedelta(seconds=decision.wait_s),
            starts=item.starts - is_wait,
            losses=losses,
            weight=item.weight if is_wait or plan.retry.weight_after_error is None else plan.retry.weight_after_error,
            started_at=None,
            progress=progress_of(item, item.step),
            lease_until=None,
        )


_OUTCOMES = {Verdict.NEXT_CANDIDATE: Outcome.PASSED_ON, Verdict.WAIT: Outcome.LIMITED}


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
    queue.ring_after_commit(1)


def end_attempt(attempt_id: int, outcome: Outcome, error: ProviderError | None, now: datetime | Now) -> bool:
    """Close an open attempt with what came of it. False when it had been closed before. One query."""
    fields: dict[str, Any] = {"outcome": outcome, "ended_at": now, "poll_at": None}
    if error:
        fields |= {"error_code": error.code, "error_detail": error.detail[:2000]}
        fields["outcome"] = Outcome.LOST if error.is_loss else outcome
    return bool(Attempt.objects.filter(pk=attempt_id, ended_at__isnull=True).update(**fields))


def bug_of(bug: Exception) -> ProviderError:
    """Dress an unexpected exception as an error without a class; its text goes to staff only."""
    return ProviderError(
        "UNKNOWN_ERROR", GENERIC_MESSAGE, retryable=False, unclassified=True, detail=f"{type(bug).__name__}: {bug}"
    )


def _not_sent(claim: Claim) -> None:
    """The item was taken away between claim and begin: no call went out, so a cancel owes its owner everything."""
    if end_attempt(claim.attempt_id, Outcome.NOT_SENT, None, Now()):
        closing.confirm_cancelled(claim.item.pk)


@survives_restart
def _late(claim: Claim, cost_usd: Decimal, key: str = "") -> None:
    """Record a result that nobody waits for any more. Its file goes when the item was cancelled."""
    ended = end_attempt(claim.attempt_id, Outcome.LATE, None, Now())
    Attempt.objects.filter(pk=claim.attempt_id, outcome=Outcome.LATE).update(cost_usd=cost_usd)
    if key and ended and Item.objects.filter(pk=claim.item.pk, status=ItemStatus.CANCELLED).exists():
        with contextlib.suppress(storage.StorageError):  # an orphan, which prune removes
            storage.delete(key)


def _late_error(claim: Claim, error: ProviderError) -> None:
    """Record an error that came after the item was taken away. It proves that nothing was produced, unless lost."""
    if end_attempt(claim.attempt_id, Outcome.LATE, error, Now()) and not error.is_loss:
        closing.confirm_cancelled(claim.item.pk)


def _work_ourselves(claim: Claim) -> None:
    """Do a step of our own. One that is not required never fails the item: the step ends without a result."""
    plan, step = claim.item.step_plan, STEPS[_name(claim)]
    connection.close()
    try:
        if step.work is None:
            raise LookupError(f"step {plan.name} has no work of its own")
        result = Result(step.work(claim.item))
        key = storage.work_key(claim.item, plan.name, claim.fence, result.picture.extension)
        storage.save(key, result.picture.body)
    except Exception as error:
        log.warning("a step of our own failed", exc_info=True, extra={"item": claim.item.public_id})
        if plan.required:
            stumble(claim, bug_of(error))
        else:
            _settle(claim, "", None, error=f"{type(error).__name__}: {error}")
        return
    _settle(claim, key, result)


def adopt(claim: Claim) -> None:
    """Take over what an earlier attempt had stored before its worker died: no provider is asked again.

    When the stored object does not match what that attempt received, its call is a loss.
    """
    item = claim.item
    old = Attempt.objects.get(pk=item.adopts)
    connection.close()
    found = storage.matches(old.key, old.size_bytes or 0, old.sha256)
    if not found:
        end_attempt(claim.attempt_id, Outcome.NOT_SENT, None, Now())
        lose(item, claim.fence, old)
        return
    with storage.open_file(old.key) as body:
        picture = images.check(body)  # type: ignore[arg-type]
    _settle(claim, old.key, Result(picture, Decimal(0), old.seed, old.model))
    Attempt.objects.filter(pk=old.pk).update(outcome=Outcome.ADOPTED)


@survives_restart
def lose(item: Item, fence: int, attempt: Attempt) -> None:
    """Count an attempt's call as a loss, if this fence still holds the item."""
    with events.change(item.request_id) as change:
        item = closing.locked(change, item.pk)
        if item.fence == fence and item.status == ItemStatus.RUNNING:
            lose_locked(change, item, attempt)


def lose_locked(change: events.Change, item: Item, attempt: Attempt) -> None:
    """Count the call of an attempt as a loss whose answer nobody can find; the policy goes on from there."""
    if item.adopts:
        item.lane, item.adopts = lanes.lane_of(item.step_plan, item.candidate), None
        Item.objects.filter(pk=item.pk).update(lane=item.lane, adopts=None)
    _after_error(change, item, attempt.pk, AnswerLost(detail="the worker died"))
