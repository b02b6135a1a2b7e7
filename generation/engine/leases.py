"""Leases: how long a worker may hold an item without a sign of life, and what follows when it gives none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from generation import events, retry, states
from generation.claim import front_rank
from generation.engine import closing, stumbling
from generation.engine.attempts import end_attempt
from generation.models import Attempt, Item, ItemStatus, Outcome, Stage
from generation.plan import INTERNAL

MOST_AT_ONCE = 500


def renew(held: Iterable[tuple[int, int]]) -> int:
    """Prolong the leases of (item id, fence) pairs; return how many still hold. One query for all."""
    pairs = list(held)
    if not pairs:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE generation_item i SET lease_until = clock_timestamp() + %s * interval '1 second'"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS held(id, fence)"
            " WHERE i.id = held.id AND i.fence = held.fence AND i.status = 'RUNNING'",
            [settings.LEASE_S, [item_id for item_id, _ in pairs], [fence for _, fence in pairs]],
        )
        return cursor.rowcount


def expire_leases() -> int:
    """Take back what a dead worker held: park it again, adopt what it stored, or count its call as lost."""
    expired = Item.objects.filter(status=ItemStatus.RUNNING, lease_until__lt=Now())
    rows = list(expired.values_list("pk", "request_id")[:MOST_AT_ONCE])
    for item_id, request_id in rows:
        with events.change(request_id) as change:
            item = closing.locked(change, item_id)
            if item.status == ItemStatus.RUNNING and item.lease_until and item.lease_until < change.now:
                _take_back(change, item, cut_off=False)
    return len(rows)


def give_up(held: Iterable[tuple[int, int]]) -> int:
    """Release what a draining worker cannot finish, for another to take up at once. A deploy fails no item."""
    released = 0
    for item_id, fence in held:
        request_id = Item.objects.values_list("request_id", flat=True).get(pk=item_id)
        with events.change(request_id) as change:
            item = closing.locked(change, item_id)
            if item.status == ItemStatus.RUNNING and item.fence == fence:
                _take_back(change, item, cut_off=True)
                released += 1
    return released


def _take_back(change: events.Change, item: Item, *, cut_off: bool) -> None:
    attempt = Attempt.objects.filter(item=item, fence=item.fence, ended_at__isnull=True).first()
    if attempt is None:
        _requeue(change, item)
    elif attempt.stage == Stage.ACCEPTED:
        states.move(change, item.pk, states.PARK, lease_until=None)
        Attempt.objects.filter(pk=attempt.pk).update(fence=item.fence, poll_at=change.now)
    elif attempt.stage == Stage.RECEIVED:
        # It may be stored: the next free thread looks and takes it over. That needs no lane's room.
        end_attempt(attempt.pk, Outcome.LOST, None, change.now)
        _requeue(change, item, adopts=attempt.pk, lane=INTERNAL, starts=item.starts - 1)
    elif item.adopts and item.losses + 1 < retry.MAX_LOSSES:
        # What it was taking over is still stored and paid for; only a picture that kills again and again is given up.
        end_attempt(attempt.pk, Outcome.LOST, None, change.now)
        _requeue(change, item, losses=item.losses + (not cut_off), starts=item.starts - 1)
    elif not cut_off:
        stumbling.lose_locked(change, item, attempt)
    else:
        # A call cut off by a drain is a loss that never counts as the third, nor as the last start.
        end_attempt(attempt.pk, Outcome.LOST, None, change.now)
        is_call = item.lane != INTERNAL
        _requeue(
            change,
            item,
            losses=min(item.losses + is_call, retry.MAX_LOSSES - 1),
            starts=min(item.starts, item.step_plan.retry.max_starts - 1) if is_call else item.starts - 1,
        )


def _requeue(change: events.Change, item: Item, **fields: Any) -> None:
    lane = str(fields.pop("lane", item.lane))
    rank = front_rank(lane, item.weight)
    states.move(change, item.pk, states.REQUEUE, lane=lane, rank=rank, lease_until=None, **fields)
