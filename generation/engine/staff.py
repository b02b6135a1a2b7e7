"""Verbs of owners and staff. API, console and dashboard call the same function.

Each is one change per request, returns what it did, and does nothing to what another hand ended first.
Whoever uses a verb for staff writes the StaffAct (`generation.admin`); the event carries the actor's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from uuid import UUID

from django.db import IntegrityError, transaction

from credits import ledger
from generation import events, lanes, queue, states
from generation.claim import fair_rank
from generation.engine import closing
from generation.models import Attempt, EventKind, HoldReason, Item, ItemStatus, Request, Stage, StorySession
from generation.plan import WEIGHTS


@dataclass(frozen=True)
class Cancelled:
    """item_ids: those that were open and are cancelled now. refunded: credits given back at once."""

    item_ids: tuple[int, ...]
    refunded: int


def cancel(request_id: UUID, item_ids: Iterable[int] | None = None, *, actor: str = "") -> Cancelled:
    """Cancel the open items of a request, all or the named ones; the request closes with its last one.

    A call that runs at a vendor is cancelled there after the commit, by a chore.
    """
    with events.change(request_id, actor=actor, reserve=_numbers(request_id)) as change:
        done, refunded = [], 0
        for item in _locked(request_id, item_ids):
            was_open, back = closing.cancel_item(change, item)
            if was_open:
                done.append(item.pk)
                refunded += back
        for attempt_id in Attempt.objects.filter(
            item__in=done, ended_at__isnull=True, stage=Stage.ACCEPTED
        ).values_list("pk", flat=True):
            closing.cancel_at_vendor_later(change, attempt_id)
    return Cancelled(tuple(done), refunded)


def retry_now(request_id: UUID, item_ids: Iterable[int] | None = None, *, actor: str) -> int:
    """Let items that wait for another try, or that staff hold, go on at once; return how many."""
    return release(request_id, item_ids, actor=actor, reasons=(HoldReason.RETRY, HoldReason.STAFF))


def release(
    request_id: UUID,
    item_ids: Iterable[int] | None = None,
    *,
    actor: str,
    reasons: tuple[str, ...] = (HoldReason.STAFF,),
) -> int:
    """Queue held items again, with the caller's own priority; return how many."""
    with events.change(request_id, actor=actor, reserve=_numbers(request_id)) as change:
        held = [item for item in _locked(request_id, item_ids) if item.hold_reason in reasons]
        released = sum(_release(change, item, weight=max(item.weight, WEIGHTS[item.priority])) for item in held)
        queue.ring_after_commit(released)
        return released


def _release(change: events.Change, item: Item, *, weight: int) -> bool:
    """Queue an item again; one of a bundle that had not begun goes back behind its request's own cap first."""
    if item.bundle is None or item.first_started_at:
        return closing.release(change, item, weight=weight)
    Item.objects.filter(pk=item.pk).update(hold_reason=HoldReason.BUNDLE, weight=weight)
    closing.release_bundles(change)
    return True


def hold(request_id: UUID, item_ids: Iterable[int] | None = None, *, actor: str) -> int:
    """Keep waiting items from being claimed until they are released; their deadline stops. Returns how many."""
    with events.change(request_id, actor=actor, reserve=_numbers(request_id)) as change:
        moved = states.move_many(
            change,
            _locked(request_id, item_ids),
            states.HOLD,
            hold_reason=HoldReason.STAFF,
            run_after=None,
            deadline_at=None,
        )
        return len(moved)


def reprioritise(request_id: UUID, priority: str, item_ids: Iterable[int] | None = None, *, actor: str) -> int:
    """Give waiting items another weight, ranked anew; the caller's own priority stays as asked. Returns how many."""
    weight = WEIGHTS[priority]
    with events.change(request_id, actor=actor, reserve=_numbers(request_id)) as change:
        waiting = [
            item for item in _locked(request_id, item_ids) if item.status in (ItemStatus.QUEUED, ItemStatus.HELD)
        ]
        following: dict[str, Iterator[int]] = {}
        for item in waiting:
            if item.lane not in following:
                following[item.lane] = count(fair_rank(item.lane, weight, item.owner_id))
            rank = next(following[item.lane])
            Item.objects.filter(pk=item.pk).update(weight=weight, rank=rank, queued_at=change.now)
            change.record(EventKind.QUEUED, item.pk, weight=weight)
        queue.ring_after_commit(len(waiting))
        return len(waiting)


def reopen(request_id: UUID, *, actor: str, charge: bool = False) -> int:
    """Begin another round of an ended request: its FAILED items are queued again. Returns how many; 0 changes nothing.

    Free, unless `charge`: then the owner pays those items' prices again. Raises InsufficientCredits. What its owner
    has erased stays as it ended, and so does what has another open in its place: a newer run of the same story,
    another change of the same pose.
    """
    try:
        return _reopen(request_id, actor=actor, charge=charge)
    except IntegrityError as error:
        if not any(one.name in str(error) for one in Request._meta.constraints):
            raise
        return 0


def _reopen(request_id: UUID, *, actor: str, charge: bool) -> int:
    with events.change(request_id, actor=actor, reserve=_numbers(request_id)) as change:
        if Request.objects.filter(pk=request_id, erased_at__isnull=False).exists() or _was_followed(change):
            return 0
        failed = [item for item in _locked(request_id, None) if item.status == ItemStatus.FAILED]
        next_round = change.round + 1
        if not failed or not states.move_request(change, states.REOPEN_REQUEST, round=next_round, finished_at=None):
            return 0
        change.round = next_round
        price = sum(map(_price_left, failed)) if charge else 0
        if price:
            ledger.charge(
                change.owner_id,
                price,
                reference=f"request:{request_id}:{change.round}",
                subject=f"request:{request_id}",
                operation_key=failed[0].price_key,
                description=f"Reopened: {failed[0].price_key}",
                metadata=closing.told_beside(request_id, change.group),
            )
        beyond_cap = _beyond_cap(request_id, failed)
        for item in failed:
            _reopen_item(change, item, charged=_price_left(item) if charge else 0)
            if item.bundle in beyond_cap:
                states.move(change, item.pk, states.HOLD, hold_reason=HoldReason.BUNDLE)
        queue.ring_after_commit(len(failed))
        return len(failed)


def _was_followed(change: events.Change) -> bool:
    """Say whether a story has gone on to another run, whose pictures have taken the places of this one's."""
    return change.door == "stories" and not StorySession.objects.filter(request_id=change.request_id).exists()


def _price_left(item: Item) -> int:
    """The price of what another round can still make: a part that was given up is not tried again."""
    return item.price - sum(credits for part, credits in item.parts.items() if "failed" in item.results.get(part, {}))


def _beyond_cap(request_id: UUID, items: Iterable[Item]) -> set[int | None]:
    """The bundles that must wait when these items begin anew; nothing else of their request is open."""
    cap = Request.objects.values_list("max_open_bundles", flat=True).get(pk=request_id)
    bundles = sorted({item.bundle for item in items if item.bundle is not None})
    return set() if cap is None else set(bundles[cap:])


def _reopen_item(change: events.Change, item: Item, *, charged: int) -> None:
    lane = lanes.lane_of(item.step_plan, 0)
    weight = WEIGHTS[item.priority]
    states.move(
        change,
        item.pk,
        states.REOPEN,
        told={"round": change.round},
        charged=item.charged + charged,
        candidate=0,
        lane=lane,
        weight=weight,
        rank=fair_rank(lane, weight, item.owner_id),
        queued_at=change.now,
        starts=0,
        losses=0,
        adopts=None,
        pass_no=0,
        error_code="",
        error_message="",
        error_retryable=False,
        quarantined_at=None,
        deadline_at=None,
        started_at=None,
        finished_at=None,
    )


def refund(item_id: int, credits: int, *, reason: str, actor: str, form_key: str) -> int:
    """Give a customer back credits of one item, at most what is left of its charge; return how many.

    form_key: the one-time key of the form, so that a double click refunds once. 0 when that form was
    answered before, or when nothing is left to give back.
    """
    item = Item.objects.only("request_id").get(pk=item_id)
    with events.change(item.request_id, actor=actor) as change:
        item = closing.locked(change, item_id)
        back = min(credits, item.charged - item.refunded)
        if back < 1:
            return 0
        posted = ledger.refund(
            item.owner_id,
            back,
            reference=f"staff:{form_key}:{item.pk}",
            subject=f"item:{item.pk}",
            operation_key=item.price_key,
            description=f"Refund: {reason}",
            actor=actor,
            metadata=closing.told_beside(item.request_id, change.group),
        )
        if posted is None:
            return 0
        Item.objects.filter(pk=item.pk).update(refunded=item.refunded + back, kept=max(0, item.kept - back))
        change.record(EventKind.REFUNDED, item.pk, refunded=back, reason=reason)
        return back


def pause(lane: str, *, actor: str, reason: str = "") -> bool:
    """Let nothing more begin in a lane, or with `desk` in any."""
    return lanes.pause(lane, actor=actor, reason=reason)


def resume(lane: str) -> bool:
    """Open a lane again and wake the workers."""
    with transaction.atomic():
        queue.ring_after_commit(1)
        return lanes.resume(lane)


def probe(lane: str) -> bool:
    """Try an open breaker now and wake a worker for it."""
    with transaction.atomic():
        queue.ring_after_commit(1)
        return lanes.probe_now(lane)


def set_cap(lane: str, cap: int | None) -> None:
    """Change how many calls may fly in a lane, and wake the workers for the new room."""
    with transaction.atomic():
        queue.ring_after_commit(1)
        lanes.set_cap(lane, cap)


def _locked(request_id: UUID, item_ids: Iterable[int] | None) -> list[Item]:
    items = Item.objects.filter(request_id=request_id).select_for_update().order_by("pk")
    return list(items if item_ids is None else items.filter(pk__in=list(item_ids)))


def _numbers(request_id: UUID) -> int:
    """Reserve enough event numbers for two events of each item and three of the request."""
    return 2 * Request.objects.get(pk=request_id).items.count() + 3
