"""Keeping: what a provider made is checked, stored and settled; what it is still at is parked.

Every write carries the claim's fence. When the fence no longer holds, the item is somebody else's and what
came is only recorded. The database connection goes back to the pool around the store.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from generation import events, images, lanes, states, storage
from generation.claim import Claim, front_rank
from generation.engine import closing
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone, end_attempt
from generation.models import Asset, Attempt, Item, ItemStatus, Outcome, Stage, rows
from generation.plan import INTERNAL, WEIGHTS
from generation.steps import STEPS
from providers.base import Made, Pending
from providers.errors import AnswerLost, BadAnswer

STORE_WAITS_S = (0.2, 1.0, 3.0)


@dataclass(frozen=True)
class Result:
    """What a step made, checked and ready to be stored. None where a step that is not required failed."""

    picture: images.Picture
    cost_usd: Decimal = Decimal(0)
    seed: int | None = None
    model: str = ""


def checked(claim: Claim, made: Made) -> Result:
    """Judge what a provider sent: one picture that decodes. Raises BadAnswer after writing down what it cost."""
    try:
        if not made.files:
            raise images.BadPicture("no file in the answer")
        thumbnail_px = settings.THUMBNAIL_PIXELS if claim.item.goes_on_with_us else 0
        picture = images.check(made.files[0].body, thumbnail_px=thumbnail_px)
    except images.BadPicture as fault:
        Attempt.objects.filter(pk=claim.attempt_id).update(cost_usd=made.cost_usd)
        raise BadAnswer(detail=str(fault)) from None
    finally:
        for file in made.files:
            file.body.close()
    return Result(picture, made.cost_usd, made.seed, made.model)


def keep(claim: Claim, made: Made) -> None:
    """Store what was made and settle its step.

    Store before the move: a crash between them leaves an orphan, the other order a success without a picture.
    """
    result = checked(claim, made)
    key = storage.work_key(claim.item, claim.item.step_name, claim.fence, result.picture.extension)
    if not _received(claim, key, result):
        late(claim, result.cost_usd)
        return
    connection.close()
    try:
        _store(key, result.picture)
    except storage.StorageError as error:
        raise AnswerLost(code="STORAGE_ERROR", detail=str(error)) from error
    try:
        settle(claim, key, result)
    except Gone:
        late(claim, result.cost_usd, key)


def _store(key: str, picture: images.Picture) -> None:
    """Store what has been paid for; a store that is away for a moment is asked again. Raises StorageError."""
    for wait_s in (*STORE_WAITS_S, None):
        try:
            storage.save(key, picture.body)
            return
        except storage.KeyTaken:
            # The key is this claim's own: a write whose confirmation was lost.
            if not storage.matches(key, picture.size_bytes, picture.sha256):
                raise
            return
        except storage.StorageError:
            if wait_s is None:
                raise
            time.sleep(wait_s)


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
def settle(claim: Claim, key: str, result: Result | None, *, error: str = "") -> None:
    """End a step: its asset, its attempt, and the next step or the item's success. Raises Gone.

    result: None for a step that is not required and failed; `error` says why, for staff.
    """
    item = claim.item
    with events.change(item.request_id) as change:
        end_step(change, item, claim.fence, _left_behind(item, key, result) if result else {})
        if result:
            _add_asset(item, claim.item.step_name, key, result.picture, change.now)
        ended = {"outcome": Outcome.MADE if result else Outcome.FAILED, "error_detail": error, "ended_at": change.now}
        rows.update(Attempt, claim.attempt_id, to={"stage": Stage.SETTLED, **ended} if result else ended)
    if result and item.lane != INTERNAL:
        lanes.note_success(item.lane)


def _left_behind(item: Item, key: str, result: Result) -> dict[str, Any]:
    """What a door needs to show a step's result, so that it reads no other row for it."""
    candidates = item.step_plan.candidates
    return {
        "key": key,
        "starts": item.starts,
        "provider": candidates[item.candidate].provider if candidates else "",
        "model": result.model,
        "seed": result.seed,
        "content_type": result.picture.content_type,
        "width": result.picture.width,
        "height": result.picture.height,
    }


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
    lane = lanes.lane_of(item.plan_of(item.step + 1), 0)
    weight = max(item.weight, WEIGHTS[item.priority])
    moved = states.move(
        change,
        item.pk,
        states.ADVANCE,
        fence=fence,
        told={"step": name},
        step=item.step + 1,
        # A pass spans making and checking; the step that checked it ends it.
        pass_no=0 if item.step_plan.checks else item.pass_no,
        candidate=0,
        starts=0,
        adopts=None,
        lane=lane,
        weight=weight,
        rank=front_rank(lane, weight),
        queued_at=change.now,
        results=results,
        progress=item.progress_at(item.step + 1),
        lease_until=None,
    )
    if not moved:
        raise Gone
    # No bell: the thread that ends a step claims again before it goes.


def _add_asset(item: Item, step: str, key: str, picture: images.Picture, now: datetime) -> None:
    kind = STEPS[step].kind
    if kind is None:
        raise LookupError(f"step {step} leaves no file")
    asset = Asset(
        owner_id=item.owner_id,
        request_id=item.request_id,
        item_id=item.pk,
        kind=kind,
        step=step,
        key=key,
        content_type=picture.content_type,
        size_bytes=picture.size_bytes,
        sha256=picture.sha256,
        width=picture.width,
        height=picture.height,
        created_at=now,
    )
    rows.insert([asset])


@survives_restart
def late(claim: Claim, cost_usd: Decimal, key: str = "") -> None:
    """Record a result that nobody waits for any more. Its file goes when the item was cancelled."""
    ended = end_attempt(claim.attempt_id, Outcome.LATE, None, Now())
    Attempt.objects.filter(pk=claim.attempt_id, outcome__in=[Outcome.LATE, Outcome.LOST]).update(cost_usd=cost_usd)
    if key and ended and Item.objects.filter(pk=claim.item.pk, status=ItemStatus.CANCELLED).exists():
        with contextlib.suppress(storage.StorageError):  # an orphan, which prune removes
            storage.delete(key)


@survives_restart
def park(claim: Claim, pending: Pending) -> None:
    """Leave a call at its vendor and free the thread. The remote id is all it takes to find it again.

    When the item was taken away meanwhile the id is kept all the same, so that the vendor can be asked to stop.
    """
    item, plan = claim.item, claim.item.step_plan
    with events.change(item.request_id) as change:
        is_open = Attempt.objects.filter(pk=claim.attempt_id, ended_at__isnull=True).update(
            stage=Stage.ACCEPTED,
            remote_id=pending.remote_id,
            accepted_at=change.now,
            poll_at=change.now + timedelta(seconds=pending.poll_after_s),
            park_until=change.now + timedelta(seconds=plan.park_s),
        )
        parked = states.move(
            change,
            item.pk,
            states.PARK,
            fence=claim.fence,
            lease_until=None,
            progress=item.progress_at(item.step, pending.progress or 0),
        )
        if is_open and not parked:
            closing.cancel_at_vendor_later(change, claim.attempt_id)
