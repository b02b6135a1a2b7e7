"""Settling: a step's end. Its assets, its attempt, and the next step or the item's success, in one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection

from config.api import sql
from generation import events, lanes, states, storage
from generation.claim import Claim, front_rank
from generation.engine import closing
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone
from generation.models import Asset, AssetKind, Attempt, EventKind, Item, ItemStatus, Outcome, Stage
from generation.plan import INTERNAL, WEIGHTS
from generation.steps import Piece

PREVIEW = "preview"


@dataclass(frozen=True)
class Result:
    """What a step made, checked: the pieces by the keys under which they are stored, the result itself first.

    ignored: the inputs that its provider does not know.
    """

    pieces: Mapping[str, Piece]
    cost_usd: Decimal = Decimal(0)
    seed: int | None = None
    model: str = ""
    ignored: Sequence[str] = ()

    def close(self) -> None:
        for piece in self.pieces.values():
            piece.file.close()


@dataclass(frozen=True)
class Along:
    """A step of our own that was done together with the one before it.

    item: as it would stand at this step. result: None where it failed, and `error` says why; such a one is not
    required.
    """

    item: Item
    result: Result | None
    took_s: float
    error: str = ""


@survives_restart
def settle(claim: Claim, result: Result | None, *, error: str = "", along: Sequence[Along] = ()) -> None:
    """End a step, and those that were done along with it. Raises Gone.

    result: None for a step that is not required and failed; `error` says why, for staff. The claim's item stands at
    the last step that was done afterwards, and QUEUED when another follows, for whoever goes on with it.
    """
    item, superseded = claim.item, []
    results = {**item.results, item.step_name: left_behind(item, result) if result else {}}
    with events.change(item.request_id) as change:
        for one in along:
            change.record(EventKind.STEP, item.pk, step=item.step_name)
            item = one.item
            results[item.step_name] = left_behind(item, one.result) if one.result else {}
        status = go_on(change, item, claim.fence, results)
        if result:
            superseded = _drop_assets(claim.item) if item.pass_no else []
            change.add(*_assets(claim.item, result, change.now))
        change.alter(Attempt, claim.attempt_id, **_ending(result, error, change.now))
        for one in along:
            change.add(_attempt(change, claim, one), *(_assets(one.item, one.result, change.now) if one.result else ()))
    claim.item.step, claim.item.results, claim.item.status = item.step, results, status
    if superseded:
        connection.close()
        delete(superseded)


def _ending(result: Result | None, error: str, now: datetime) -> dict[str, Any]:
    """What an attempt says in the end."""
    if result is None:
        return {"outcome": Outcome.FAILED, "error_detail": error, "ended_at": now}
    return {"stage": Stage.SETTLED, "outcome": Outcome.MADE, "error_detail": error, "ended_at": now}


def _ours(change: events.Change, claim: Claim, step: int, pass_no: int, **more: Any) -> Attempt:
    """An attempt at a step of our own that its holder does without claiming it."""
    return Attempt(
        item_id=claim.item.pk,
        round=change.round,
        step=step,
        pass_no=pass_no,
        fence=claim.fence,
        lane=INTERNAL,
        provider=INTERNAL,
        operation=claim.item.plan_of(step).operation,
        **more,
    )


def _attempt(change: events.Change, claim: Claim, one: Along) -> Attempt:
    """The attempt of a step that was done along: nobody claimed it, so it is written when it is over."""
    began = change.now - timedelta(seconds=one.took_s)
    ending = _ending(one.result, one.error, change.now)
    return _ours(change, claim, one.item.step, one.item.pass_no, started_at=began, **ending)


def _drop_assets(item: Item) -> list[str]:
    """Forget what an earlier pass of this step made, which was not good enough to be shown; return its keys."""
    earlier = Asset.objects.filter(item=item, step=item.step_name)
    keys = list(earlier.values_list("key", flat=True))
    earlier.delete()
    return keys


def delete(keys: Iterable[str]) -> None:
    """Remove files that no row names any more; what stays behind is an orphan, which prune removes."""
    for key in keys:
        with contextlib.suppress(storage.StorageError):
            storage.delete(key)


def left_behind(item: Item, result: Result) -> dict[str, Any]:
    """What a door needs to show a step's result, so that it reads no other row for it."""
    candidates = item.step_plan.candidates
    left: dict[str, Any] = {
        "starts": item.starts,
        "candidate": item.candidate,
        "provider": candidates[item.candidate].provider if candidates else "",
        "model": result.model,
        "seed": result.seed,
    }
    if result.ignored:
        left["ignored"] = list(result.ignored)
    for key, piece in result.pieces.items():
        file = piece.file
        shown = {"key": key, "content_type": file.content_type, "width": file.width, "height": file.height}
        if piece.kind is AssetKind.PREVIEW:
            left[PREVIEW] = shown
        elif piece.name:
            left.setdefault("files", {})[piece.name] = shown
        else:
            left |= shown
    return left


def end_step(change: events.Change, item: Item, fence: int, left: dict[str, Any]) -> ItemStatus:
    """Move an item past its current step, which leaves `left` behind: into the next one, or to success. Raises Gone."""
    return go_on(change, item, fence, {**item.results, item.step_name: left})


def carry_on(change: events.Change, claim: Claim, left: dict[str, Any]) -> Attempt | None:
    """Move an item past its current step into the next, when that is ours and this holder may take it, without
    another claim: the attempt of what it does now. None when it must be claimed, as it must while our lane or the desk
    waits. Raises Gone. Two queries."""
    item, results = claim.item, {**claim.item.results, claim.item.step_name: left}
    if not item.goes_on_with_us:
        return None
    following = item.step_after(results)
    if not claim.only.takes(item.plan_of(following).operation) or not _ours_may_run():
        return None
    pass_no = 0 if item.step_plan.checks else item.pass_no
    now_at = {"step": following, "pass_no": pass_no, "candidate": 0, "starts": 1, "lane": INTERNAL}
    moved = states.move(
        change,
        item.pk,
        states.CARRY_ON,
        fence=claim.fence,
        at_step=item.step,  # the fence stays, and a change whose confirmation was lost is tried again
        told={"step": item.step_name},
        adopts=None,
        weight=max(item.weight, WEIGHTS[item.priority]),
        results=results,
        progress=item.progress_at(following),
        lease_until=change.now + timedelta(seconds=settings.LEASE_S),
        **now_at,
    )
    if not moved:
        raise Gone
    attempt = _ours(change, claim, following, pass_no, started_at=change.now)
    change.add(attempt)
    return attempt


def _ours_may_run() -> bool:
    with sql.cursor() as cursor:
        cursor.execute(f"SELECT {states.OURS_MAY_RUN}")
        return bool(cursor.fetchone()[0])


def go_on(
    change: events.Change,
    item: Item,
    fence: int,
    results: dict[str, Any],
    *,
    arrows: tuple[states.Move, states.Move] = (states.ADVANCE, states.SUCCEED),
    **fields: Any,
) -> ItemStatus:
    """Move an item past its current step with all that was left behind so far; return how it stands then. arrows: on,
    and to the end. Raises Gone."""
    following = item.step_after(results)
    fields |= {"results": results, "lease_until": None, "hold_reason": "", "run_after": None}
    if following == len(item.steps):
        fields |= {"step": item.step, "progress": 100, "finished_at": change.now}
        if not states.move(change, item.pk, arrows[1], fence=fence, **fields):
            raise Gone
        closing.item_ended(change, item)
        return ItemStatus.SUCCEEDED
    # At the front of the next lane: what is half made is finished first.
    lane = lanes.lane_of(item.plan_of(following), 0)
    weight = max(item.weight, WEIGHTS[item.priority])
    moved = states.move(
        change,
        item.pk,
        arrows[0],
        fence=fence,
        told={"step": item.step_name},
        step=following,
        # A pass spans making and checking; the step that checked it ends it.
        pass_no=0 if item.step_plan.checks else item.pass_no,
        candidate=0,
        starts=0,
        adopts=None,
        lane=lane,
        weight=weight,
        rank=front_rank(lane, weight),
        queued_at=change.now,
        progress=item.progress_at(following),
        **fields,
    )
    if not moved:
        raise Gone
    # No bell: the thread that ends a step claims again before it goes.
    return ItemStatus.QUEUED


def _assets(item: Item, result: Result, now: datetime) -> list[Asset]:
    return [
        Asset(
            owner_id=item.owner_id,
            request_id=item.request_id,
            item_id=item.pk,
            kind=piece.kind,
            step=item.step_name,
            name=PREVIEW if piece.kind is AssetKind.PREVIEW else piece.name,
            key=key,
            content_type=piece.file.content_type,
            size_bytes=piece.file.size_bytes,
            sha256=piece.file.sha256,
            width=piece.file.width,
            height=piece.file.height,
            created_at=now,
        )
        for key, piece in result.pieces.items()
    ]
