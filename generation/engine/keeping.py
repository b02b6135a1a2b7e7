"""Keeping: what a provider made is checked and stored, for its step to settle; what it is still at is parked.

Every write carries the claim's fence. When the fence no longer holds, the item is somebody else's and what
came is only recorded. The database connection goes back to the pool around the store.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import connection
from django.db.models.functions import Now

from config.api import sql
from generation import events, images, lanes, meshes, states, storage
from generation.claim import Claim
from generation.engine import closing, pace
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone, end_attempt
from generation.engine.settling import PREVIEW, Along, Result, delete, left_behind, settle
from generation.models import AssetKind, Attempt, Item, ItemStatus, Outcome, Stage, rows
from generation.steps import STEPS, File, Piece, is_looked_at, kind_of, small_after
from providers.base import Made, MadeFile, Pending
from providers.errors import AnswerLost, BadAnswer

log = logging.getLogger(__name__)

STORE_WAITS_S = (0.2, 1.0, 3.0)


def checked(claim: Claim, made: Made) -> Result:
    """Judge what a provider sent: a picture that decodes, a model that reads; a preview that does not is left out.

    Raises BadAnswer after writing down what it cost. Takes the files over.
    """
    item, files = claim.item, {file.role: file for file in reversed(made.files)}
    small = small_after(item)
    try:
        if "result" not in files:
            raise images.BadPicture("no file in the answer")
        kind = kind_of(item.step_name, item.step_plan.operation)
        file = _judged(kind, files["result"], small, is_looked_at=is_looked_at(item))
    except (images.BadPicture, meshes.BadModel) as fault:
        for made_file in made.files:
            made_file.body.close()
        Attempt.objects.filter(pk=claim.attempt_id).update(cost_usd=made.cost_usd)
        raise BadAnswer(detail=str(fault)) from None
    key = storage.work_key(item, item.step_name, claim.fence, file.file.extension)
    pieces = {key: file, **_preview(key, files.get(PREVIEW), small)}
    return Result(pieces, made.cost_usd, made.seed, made.model, made.extra.get("ignored", ()))


def _judged(kind: AssetKind | None, made: MadeFile, small: images.Small | None, *, is_looked_at: bool = False) -> Piece:
    if kind is None:
        raise LookupError("this step leaves no file")
    if kind is AssetKind.MODEL:
        return Piece(kind, meshes.check(made.body, made.size_bytes, made.sha256))
    with made.body:
        return Piece(kind, images.check_to_keep(made.body, small=small, is_looked_at=is_looked_at))


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
    """Store what was made and settle its step, with the steps of our own that follow it at once.

    Store before the move: a crash between them leaves an orphan, the other order a success without a picture.
    """
    result = checked(claim, made)
    try:
        receipt = _received(claim, result)
        if receipt is None:
            late(claim, result.cost_usd)
            return
        connection.close()
        try:
            _store(result)
        except storage.StorageError as error:
            raise AnswerLost(code="STORAGE_ERROR", detail=str(error)) from error
    finally:
        result.close()
    along = list(_done_along(claim, result)) if receipt.ours_may_run else []
    try:
        settle(claim, result, along=along)
    except Gone:
        stored = (result, *(one.result for one in along if one.result))
        late(claim, result.cost_usd, [key for one in stored for key in one.pieces])
    else:
        if receipt.breaker_is_open:
            lanes.note_success(claim.item.lane)


def _done_along(claim: Claim, result: Result) -> Iterator[Along]:
    """Do the steps of our own that follow a result while its picture is at hand: that saves each a claim and a change.

    They count when the result's own step settles; until then it can be adopted, and they are done anew. One that
    fails ends this, unless it is not required.
    """
    before, left = claim.item, left_behind(claim.item, result)
    while before.goes_on_with_us:
        item = copy.copy(before)
        item.results = {**before.results, before.step_name: left}
        item.step, item.starts, item.candidate = item.step_after(item.results), 1, 0
        work = STEPS[item.step_name].work
        if work is None or not claim.only.takes(item.step_plan.operation):
            return
        began = time.monotonic()
        try:
            made = made_by_us(item, claim.fence, work)
        except Exception as error:
            if item.step_plan.required:
                return  # claimed for itself, it is tried as its policy says
            log.warning("a step of our own failed", exc_info=True, extra={"item": item.public_id})
            yield Along(item, None, time.monotonic() - began, f"{type(error).__name__}: {error}")
            left = {}
        else:
            yield Along(item, made, time.monotonic() - began)
            left = left_behind(item, made)
        before = item


def made_by_us(item: Item, fence: int, work: Callable[[Item], Sequence[Piece]]) -> Result:
    """Make what a step of our own makes, and store it. Raises whatever goes wrong."""
    made = {}
    for piece in work(item):
        name = "-".join(filter(None, (item.step_name, piece.name)))
        made[storage.work_key(item, name, fence, piece.file.extension)] = piece
    result = Result(made)
    with contextlib.closing(result):
        for key, piece in made.items():
            store(key, piece.file)
    return result


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


_RECEIVED = f"""
UPDATE generation_attempt a
SET stage = %(stage)s, key = %(key)s, content_type = %(content_type)s, size_bytes = %(size)s, sha256 = %(sha256)s,
    seed = %(seed)s, cost_usd = %(cost)s, received_at = clock_timestamp()
FROM generation_item i
WHERE a.id = %(attempt)s AND a.ended_at IS NULL AND i.id = a.item_id AND i.fence = %(fence)s AND i.status = 'RUNNING'
RETURNING EXISTS (SELECT FROM providers_lane WHERE name = a.lane AND breaker = 'open'),
    {states.OURS_MAY_RUN}
"""  # noqa: S608 a constant


@dataclass(frozen=True)
class Receipt:
    """What is to be known when a result is in hand. ours_may_run: our own steps need not wait for their lane."""

    breaker_is_open: bool
    ours_may_run: bool


@survives_restart
def _received(claim: Claim, result: Result) -> Receipt | None:
    """Write down what is about to be stored, so that it can be adopted if we die before settling. One query.

    None when the item was taken away.
    """
    [(key, piece), *_] = result.pieces.items()
    with sql.cursor() as cursor:
        cursor.execute(
            _RECEIVED,
            {
                "stage": Stage.RECEIVED.value,
                "key": key,
                "content_type": piece.file.content_type,
                "size": piece.file.size_bytes,
                "sha256": piece.file.sha256,
                "seed": result.seed,
                "cost": result.cost_usd,
                "attempt": claim.attempt_id,
                "fence": claim.fence,
            },
        )
        row = cursor.fetchone()
    return Receipt(*row) if row else None


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
def late(claim: Claim, cost_usd: Decimal, keys: Iterable[str] = ()) -> None:
    """Record a result that nobody waits for any more. Its files go when the item was cancelled."""
    ended = end_attempt(claim.attempt_id, Outcome.LATE, None, Now())
    Attempt.objects.filter(pk=claim.attempt_id, outcome__in=[Outcome.LATE, Outcome.LOST]).update(cost_usd=cost_usd)
    if keys and ended and Item.objects.filter(pk=claim.item.pk, status=ItemStatus.CANCELLED).exists():
        delete(keys)


def _kind(item: Item) -> pace.Kind:
    candidate = item.step_plan.candidates[item.candidate]
    return candidate.provider, item.step_plan.operation, candidate.model


@survives_restart
def park(claim: Claim, pending: Pending) -> None:
    """Leave a call at its vendor and free the thread. The remote id is all it takes to find it again.

    When the item was taken away meanwhile the id is kept all the same, so that the vendor can be asked to stop.
    """
    item, plan = claim.item, claim.item.step_plan
    with events.change(item.request_id) as change:
        parking = {
            "stage": Stage.ACCEPTED,
            "remote_id": pending.remote_id,
            "accepted_at": change.now,
            "poll_at": change.now + timedelta(seconds=pace.next_s(_kind(item), 0.0, pending)),
            "park_until": change.now + timedelta(seconds=plan.park_s),
        }
        # One that is accepted already was parked by this very change, whose confirmation was lost.
        is_open = rows.update(Attempt, claim.attempt_id, to=parking, given={"ended_at": None, "stage": Stage.SENT})
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
