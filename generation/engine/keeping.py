"""Keeping: what a provider made is checked, stored and settled; what it is still at is parked.

Every write carries the claim's fence. When the fence no longer holds, the item is somebody else's and what
came is only recorded. The database connection goes back to the pool around the store.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from generation import events, images, lanes, meshes, states, storage
from generation.claim import Claim, front_rank
from generation.engine import closing
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone, end_attempt
from generation.models import Asset, AssetKind, Attempt, Item, ItemStatus, Outcome, Stage, rows
from generation.plan import INTERNAL, WEIGHTS
from generation.steps import File, Piece, kind_of, small_after
from providers.base import Made, MadeFile, Pending
from providers.errors import AnswerLost, BadAnswer

log = logging.getLogger(__name__)

STORE_WAITS_S = (0.2, 1.0, 3.0)
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


def checked(claim: Claim, made: Made) -> Result:
    """Judge what a provider sent: a picture that decodes, a model that reads; a preview that does not is left out.

    Raises BadAnswer after writing down what it cost. Takes the files over.
    """
    item, files = claim.item, {file.role: file for file in reversed(made.files)}
    small = small_after(item)
    try:
        if "result" not in files:
            raise images.BadPicture("no file in the answer")
        file = _judged(kind_of(item.step_name, item.step_plan.operation), files["result"], small)
    except (images.BadPicture, meshes.BadModel) as fault:
        for made_file in made.files:
            made_file.body.close()
        Attempt.objects.filter(pk=claim.attempt_id).update(cost_usd=made.cost_usd)
        raise BadAnswer(detail=str(fault)) from None
    key = storage.work_key(item, item.step_name, claim.fence, file.file.extension)
    pieces = {key: file, **_preview(key, files.get(PREVIEW), small)}
    return Result(pieces, made.cost_usd, made.seed, made.model, made.extra.get("ignored", ()))


def _judged(kind: AssetKind | None, made: MadeFile, small: images.Small | None) -> Piece:
    if kind is None:
        raise LookupError("this step leaves no file")
    if kind is AssetKind.MODEL:
        return Piece(kind, meshes.check(made.body, made.size_bytes, made.sha256))
    with made.body:
        return Piece(kind, images.check_to_keep(made.body, small=small))


def _preview(key: str, made: MadeFile | None, small: images.Small | None) -> dict[str, Piece]:
    """The picture of a model that its vendor rendered, if there is one and it can be used."""
    if made is None:
        return {}
    try:
        piece = _judged(AssetKind.PREVIEW, made, small)
    except images.BadPicture as fault:
        log.warning("a preview is left out: %s", fault, extra={"key": key})
        return {}
    return {storage.key_beside(key, PREVIEW, piece.file.extension): piece}


def keep(claim: Claim, made: Made) -> None:
    """Store what was made and settle its step.

    Store before the move: a crash between them leaves an orphan, the other order a success without a picture.
    """
    result = checked(claim, made)
    try:
        if not _received(claim, result):
            late(claim, result.cost_usd)
            return
        connection.close()
        try:
            _store(result)
        except storage.StorageError as error:
            raise AnswerLost(code="STORAGE_ERROR", detail=str(error)) from error
    finally:
        result.close()
    try:
        settle(claim, result)
    except Gone:
        late(claim, result.cost_usd, result.pieces)


def _store(result: Result) -> None:
    """Store what has been paid for, the result itself last: whoever adopts it finds what belongs to it. Raises
    StorageError."""
    for key, piece in reversed(list(result.pieces.items())):
        store(key, piece.file)


def store(key: str, file: File) -> None:
    """Store a file under a key of this claim's own; a store that is away for a moment is asked again. Raises
    StorageError."""
    for wait_s in (*STORE_WAITS_S, None):
        try:
            storage.save(key, file.body)
            return
        except storage.KeyTaken:
            # The key is this claim's own: a write whose confirmation was lost.
            if not storage.matches(key, file.size_bytes, file.sha256):
                raise
            return
        except storage.StorageError:
            if wait_s is None:
                raise
            time.sleep(wait_s)


@survives_restart
def _received(claim: Claim, result: Result) -> bool:
    """Write down what is about to be stored, so that it can be adopted if we die before settling. One query."""
    [(key, piece), *_] = result.pieces.items()
    holds = Item.objects.filter(pk=OuterRef("item_id"), fence=claim.fence, status=ItemStatus.RUNNING)
    rows = Attempt.objects.filter(Exists(holds), pk=claim.attempt_id, ended_at__isnull=True)
    return bool(
        rows.update(
            stage=Stage.RECEIVED,
            key=key,
            content_type=piece.file.content_type,
            size_bytes=piece.file.size_bytes,
            sha256=piece.file.sha256,
            seed=result.seed,
            cost_usd=result.cost_usd,
            received_at=Now(),
        )
    )


def adopted(item: Item, old: Attempt) -> Result | None:
    """Find what an attempt had stored before its worker died; None when the store holds something else."""
    size_bytes = old.size_bytes or 0
    if not storage.matches(old.key, size_bytes, old.sha256):
        return None
    kind = kind_of(item.step_name, item.step_plan.operation)
    made = MadeFile(storage.open_file(old.key), old.content_type, size_bytes, old.sha256)  # type: ignore[arg-type]
    pieces = {old.key: _judged(kind, made, None)}
    for extension in images.EXTENSIONS.values() if kind is AssetKind.MODEL else ():
        key = storage.key_beside(old.key, PREVIEW, extension)
        with contextlib.suppress(storage.KeyMissing):
            pieces |= _preview(old.key, MadeFile(storage.open_file(key), "", 0, ""), None)  # type: ignore[arg-type]
    result = Result(pieces, Decimal(0), old.seed, old.model)
    result.close()
    return result


@survives_restart
def settle(claim: Claim, result: Result | None, *, error: str = "") -> None:
    """End a step: its assets, its attempt, and the next step or the item's success. Raises Gone.

    result: None for a step that is not required and failed; `error` says why, for staff.
    """
    item, superseded = claim.item, []
    with events.change(item.request_id) as change:
        end_step(change, item, claim.fence, _left_behind(item, result) if result else {})
        if result:
            superseded = _drop_assets(item) if item.pass_no else []
            _add_assets(item, result, change.now)
        ended = {"outcome": Outcome.MADE if result else Outcome.FAILED, "error_detail": error, "ended_at": change.now}
        rows.update(Attempt, claim.attempt_id, to={"stage": Stage.SETTLED, **ended} if result else ended)
    if result and item.lane != INTERNAL:
        lanes.note_success(item.lane)
    if superseded:
        connection.close()
        _delete(superseded)


def _drop_assets(item: Item) -> list[str]:
    """Forget what an earlier pass of this step made, which was not good enough to be shown; return its keys."""
    earlier = Asset.objects.filter(item=item, step=item.step_name)
    keys = list(earlier.values_list("key", flat=True))
    earlier.delete()
    return keys


def _delete(keys: Iterable[str]) -> None:
    """Remove files that no row names any more; what stays behind is an orphan, which prune removes."""
    for key in keys:
        with contextlib.suppress(storage.StorageError):
            storage.delete(key)


def _left_behind(item: Item, result: Result) -> dict[str, Any]:
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


def end_step(change: events.Change, item: Item, fence: int, left: dict[str, Any]) -> None:
    """Move an item past its current step, which leaves `left` behind: into the next one, or to success. Raises Gone."""
    go_on(change, item, fence, {**item.results, item.step_name: left})


def go_on(
    change: events.Change,
    item: Item,
    fence: int,
    results: dict[str, Any],
    *,
    arrows: tuple[states.Move, states.Move] = (states.ADVANCE, states.SUCCEED),
    **fields: Any,
) -> None:
    """Move an item past its current step with all that was left behind so far. arrows: on, and to the end. Raises
    Gone."""
    following = item.step_after(results)
    fields |= {"results": results, "lease_until": None, "hold_reason": "", "run_after": None}
    if following == len(item.steps):
        if not states.move(change, item.pk, arrows[1], fence=fence, progress=100, finished_at=change.now, **fields):
            raise Gone
        closing.item_ended(change, item)
        return
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


def _add_assets(item: Item, result: Result, now: datetime) -> None:
    rows.insert(
        [
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
    )


@survives_restart
def late(claim: Claim, cost_usd: Decimal, keys: Iterable[str] = ()) -> None:
    """Record a result that nobody waits for any more. Its files go when the item was cancelled."""
    ended = end_attempt(claim.attempt_id, Outcome.LATE, None, Now())
    Attempt.objects.filter(pk=claim.attempt_id, outcome__in=[Outcome.LATE, Outcome.LOST]).update(cost_usd=cost_usd)
    if keys and ended and Item.objects.filter(pk=claim.item.pk, status=ItemStatus.CANCELLED).exists():
        _delete(keys)


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
