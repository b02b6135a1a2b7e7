"""Close: how items and requests end, and what their owners get back.

Everything here runs inside a `Change`, which holds the request's lock; lock order is request, items by
id, account. The credits that an end gives back move in the transaction that ends the item.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from config.api import sql
from credits import ledger
from generation import events, queue, states
from generation.claim import fair_rank
from generation.engine.again import survives_restart
from generation.engine.attempts import end_attempt
from generation.events import Change
from generation.models import Chore, EventKind, HoldReason, Item, ItemStatus, Outcome, Request, rows
from providers.errors import ProviderError

# Parts of a request often end together: its side files tell of all of them at once, so much later at the earliest; of
# its end at once.
MIRROR_PAUSE_S = 0.2


@dataclass(frozen=True)
class Failure:
    """Why an item fails, in words for its owner. refundable: the error class's own default."""

    code: str
    message: str
    retryable: bool
    refundable: bool = True


_LOCKED = f"""
SELECT {rows.columns_of(Item, "i")} FROM generation_item AS i WHERE id = %s AND request_id = %s FOR UPDATE
"""  # noqa: S608 names of columns


def locked(change: Change, item_id: int) -> Item:
    """Read an item of this change under its row lock. Raises LookupError when its request has no such. One query."""
    with sql.cursor() as cursor:
        cursor.execute(_LOCKED, [item_id, change.request_id])
        row = cursor.fetchone()
        if row is None:
            raise LookupError(f"no item {item_id} of request {change.request_id}")
        return rows.read(Item, [column.name for column in cursor.description], row)


def fail(change: Change, item: Item, why: Failure, *, quarantine: bool = False) -> int:
    """End a locked item as FAILED and refund it by rule; return the credits given back.

    Nothing is kept unless the error or the door's rule says that this kind of failure is not refunded. What an
    earlier round kept by that rule stays kept: it was paid for that round.
    """
    back = 0 if keeps(item, why) else item.charged - item.refunded - item.kept
    told = {"code": why.code, "refunded": back}
    moved = states.move(
        change,
        item.pk,
        states.FAIL,
        told=told,
        kept=item.charged - item.refunded - back,
        refunded=item.refunded + back,
        error_code=why.code,
        error_message=why.message[:300],
        error_retryable=why.retryable,
        quarantined_at=change.now if quarantine else None,
        finished_at=change.now,
        progress=0,
        lease_until=None,
        run_after=None,
        hold_reason="",
    )
    if not moved:
        return 0
    _give_back(change, item, back, f"Refund: {item.price_key or 'generation'} failed", gives_quota=not keeps(item, why))
    item_ended(change, item)
    return back


def keeps(item: Item, why: Failure) -> bool:
    """Is this a kind of failure that is not refunded, by its class or by the door's rule?"""
    return not why.refundable or why.code in item.keep_codes


def cancel_item(change: Change, item: Item) -> tuple[bool, int]:
    """End a locked item as CANCELLED; return whether it was open, and the credits given back.

    Waiting items are refunded whole. For running ones the plan's rule decides: with `confirmed` the price
    is kept until the vendor confirms that it stopped before producing (`end_without_result`).
    """
    in_progress = item.status in (ItemStatus.RUNNING, ItemStatus.WAITING) or item.step > 0
    back = 0 if in_progress and item.cancel_refund != "always" else item.charged - item.refunded
    moved = states.move(
        change,
        item.pk,
        states.CANCEL,
        told={"refunded": back},
        kept=item.charged - item.refunded - back,
        refunded=item.refunded + back,
        finished_at=change.now,
        progress=0,
        lease_until=item.lease_until,
        run_after=None,
        hold_reason="",
    )
    if not moved:
        return False, 0
    gives_quota = not in_progress or item.cancel_refund == "always"
    _give_back(change, item, back, f"Refund: {item.price_key or 'generation'} cancelled", gives_quota=gives_quota)
    item_ended(change, item)
    return True, back


@survives_restart
def end_without_result(attempt_id: int, outcome: Outcome, error: ProviderError | None = None) -> None:
    """Close the attempt of an item that was taken away and, when that proves that nothing was produced, give
    back what its running cancel kept. Once, and both in one transaction: a crash between would keep the price.
    """
    item = Item.objects.only("request_id").get(attempts=attempt_id)
    with events.change(item.request_id) as change:
        if end_attempt(attempt_id, outcome, error, change.now) and not (error and error.is_loss):
            _confirm_cancelled(change, locked(change, item.pk))


def _confirm_cancelled(change: Change, item: Item) -> None:
    kept = item.charged - item.refunded
    if item.status != ItemStatus.CANCELLED or item.cancel_refund != "confirmed" or not (kept or item.quota_day):
        return
    Item.objects.filter(pk=item.pk).update(refunded=item.refunded + kept, kept=0)
    _give_back(change, item, kept, f"Refund: {item.price_key or 'generation'} cancelled", gives_quota=True)
    change.record(EventKind.REFUNDED, item.pk, refunded=kept)


def _give_back(change: Change, item: Item, credits: int, description: str, *, gives_quota: bool) -> None:
    """Post an item's automatic refund, or return its unit of the day's quota. Once per round and step."""
    if credits:
        post_refund(change, item, credits, str(item.step), description)
    if gives_quota and item.quota_day:
        ledger.give_back_quota(item.owner_id, 1, item.quota_day)
        Item.objects.filter(pk=item.pk).update(quota_day=None)


def post_refund(change: Change, item: Item, credits: int, what: str, description: str) -> None:
    """Post a refund for `what` of an item: a step, or a part of its price. Once in a round."""
    posted = ledger.refund(
        item.owner_id,
        credits,
        reference=f"item:{item.pk}:{change.round}:{what}",
        subject=f"item:{item.pk}",
        operation_key=item.price_key,
        description=description,
        metadata=told_beside(item.request_id, change.group),
    )
    if posted is None:
        raise AssertionError(f"{what} of item {item.pk} was refunded already in round {change.round}")


def cancel_at_vendor_later(change: Change, attempt_id: int) -> None:
    """Have the vendor asked to stop a cancelled item's call, by a chore after the commit. Once per attempt."""
    Chore.objects.get_or_create(
        kind="cancel-at-vendor",
        key=str(attempt_id),
        done_at=None,
        defaults={"args": {"attempt_id": attempt_id}, "run_after": change.now},
    )
    queue.ring_after_commit(1)


def told_beside(request_id: UUID, group: str) -> dict[str, str]:
    """What a ledger line tells its customer beside the amount: which request, which of their own tasks."""
    return {"request_id": str(request_id), **({"task_id": group} if group else {})}


def item_ended(change: Change, item: Item) -> None:
    """Let the next bundle begin when this was the last open item of its own, and close the request likewise."""
    found = _statuses(change)
    bundle_ended = item.bundle is None or found.isdisjoint((item.bundle, status) for status in states.OPEN)
    if item.bundle is not None and bundle_ended and any(status == ItemStatus.HELD for _, status in found):
        release_bundles(change)
    is_over = _close_if_done(change, {status for _, status in found})
    if change.is_mirrored and bundle_ended:
        at = change.now if is_over else change.now + timedelta(seconds=MIRROR_PAUSE_S)
        change.also("mirror", _mirroring(change.request_id, change.next_seq, at))
        if is_over:
            queue.ring_after_commit(1)


def _statuses(change: Change) -> set[tuple[int | None, str]]:
    """In which bundles of the request items stand in which states. One query."""
    with sql.cursor() as cursor:
        cursor.execute("SELECT DISTINCT bundle, status FROM generation_item WHERE request_id = %s", [change.request_id])
        return set(cursor.fetchall())


def mirror_later(request_id: UUID, seq: int, at: datetime) -> None:
    """Have the side files of a request written anew by a chore, at the earliest `at`. Must run inside a transaction."""
    sql.run(_mirroring(request_id, seq, at))
    queue.ring_after_commit(1)


# One that is about to be done is enough, if it can be kept from beginning before this commit; one that runs may have
# read the rows by now, so another must follow it. One that failed waits for its own time, and begins anew when joined.
_MIRRORING = """
mirror_waiting AS MATERIALIZED (
    SELECT id FROM generation_chore
    WHERE kind = 'mirror' AND key LIKE %(mirror_keys)s AND done_at IS NULL AND lease_until IS NULL
      AND run_after <= %(mirror_at)s::timestamptz + %(mirror_pause)s * interval '1 second'
    LIMIT 1 FOR UPDATE SKIP LOCKED
), mirror_joined AS (
    UPDATE generation_chore c
    SET run_after = LEAST(c.run_after, %(mirror_at)s::timestamptz),
        tries = 0,
        args = c.args || jsonb_build_object('seq', GREATEST((c.args ->> 'seq')::bigint, %(mirror_seq)s::bigint))
    FROM mirror_waiting w WHERE c.id = w.id
), mirror_new AS (
    INSERT INTO generation_chore (kind, key, args, run_after, fence, tries, result, error, created_at)
    SELECT 'mirror', %(mirror_key)s,
           jsonb_build_object('request_id', %(mirror_request)s::text, 'seq', %(mirror_seq)s::bigint),
           %(mirror_at)s::timestamptz, 0, 0, '{}', '', statement_timestamp()
    WHERE NOT EXISTS (SELECT FROM mirror_waiting) ON CONFLICT DO NOTHING
)
"""


def _mirroring(request_id: UUID, seq: int, at: datetime) -> sql.Part:
    values = {
        "mirror_keys": f"{request_id}:%",
        "mirror_key": f"{request_id}:{seq}",
        "mirror_request": str(request_id),
        "mirror_seq": seq,
        "mirror_at": at,
        "mirror_pause": MIRROR_PAUSE_S,
    }
    return sql.Part(_MIRRORING, (), values)


def _close_if_done(change: Change, has: Set[str]) -> bool:
    """Close the request when no item of it is open, and say so; `has`: the states in which its items stand."""
    if not has.isdisjoint(states.OPEN):
        return False
    succeeded, failed = ItemStatus.SUCCEEDED in has, ItemStatus.FAILED in has
    arrow = states.COMPLETE if succeeded else states.GIVE_UP if failed else states.CALL_OFF
    return states.move_request(change, arrow, finished_at=change.now)


def release_bundles(change: Change) -> None:
    """Let held bundles begin while fewer than the request's cap are open.

    A bundle that staff hold before it began takes no place; released, it waits for one like any other.
    """
    cap = Request.objects.values_list("max_open_bundles", flat=True).get(pk=change.request_id)
    if cap is None:
        return
    items = Item.objects.filter(request_id=change.request_id, status__in=states.OPEN, bundle__isnull=False)
    waiting = Q(status=ItemStatus.HELD, hold_reason=HoldReason.BUNDLE)
    kept_back = Q(status=ItemStatus.HELD, hold_reason=HoldReason.STAFF, first_started_at__isnull=True)
    begun = set(items.exclude(waiting | kept_back).values_list("bundle", flat=True).distinct())
    for bundle in items.filter(waiting).values_list("bundle", flat=True).distinct().order_by("bundle"):
        if bundle in begun or len(begun) < cap:
            begun.add(bundle)
            for item in items.filter(waiting, bundle=bundle).select_for_update().order_by("pk"):
                release(change, item)
            queue.ring_after_commit(1)


def release(change: Change, item: Item, **fields: Any) -> bool:
    """Move a HELD item back into its lane, ranked as a newcomer of its owner."""
    rank = fair_rank(item.lane, fields.get("weight", item.weight), item.owner_id)
    return states.move(
        change, item.pk, states.RELEASE, hold_reason="", run_after=None, rank=rank, queued_at=change.now, **fields
    )
