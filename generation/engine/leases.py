"""Leases: how long a worker may hold an item without a sign of life, and what follows when it gives none.

While the database is away nobody can give a sign of life. So after a silence of all sweepers every lease begins
anew: the first of them to be back would else take the others' calls away from them, and pay for each once more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from generation import events, retry, states
from generation.claim import front_rank
from generation.engine import closing, stumbling
from generation.engine.attempts import end_attempt
from generation.models import Attempt, Item, ItemStatus, Outcome, Stage
from generation.plan import INTERNAL

log = logging.getLogger(__name__)

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
    if _begin_anew():
        return 0
    expired = Item.objects.filter(status=ItemStatus.RUNNING, lease_until__lt=Now())
    rows = list(expired.values_list("pk", "request_id")[:MOST_AT_ONCE])
    for item_id, request_id in rows:
        with events.change(request_id) as change:
            item = closing.locked(change, item_id)
            if item.status == ItemStatus.RUNNING and item.lease_until and item.lease_until < change.now:
                _take_back(change, item, cut_off=False)
    return len(rows)


# The row before this sweep, and this sweep written in its place. Nobody swept before: that is no silence.
_BEAT = """
INSERT INTO generation_sweepbeat AS beat (id, at) VALUES (1, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET at = excluded.at
RETURNING COALESCE((SELECT clock_timestamp() - old.at > %(silence_s)s * interval '1 second'
                       AND (old.anew_at IS NULL OR clock_timestamp() - old.anew_at > %(again_s)s * interval '1 second')
                      FROM generation_sweepbeat AS old WHERE old.id = 1), FALSE)
"""
_ANEW = """
WITH anew AS (UPDATE generation_sweepbeat SET anew_at = clock_timestamp() WHERE id = 1)
UPDATE generation_item SET lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE status = 'RUNNING' AND lease_until < clock_timestamp() + %(lease_s)s * interval '1 second'
"""


def _begin_anew() -> bool:
    """Give every holder one lease more when nobody has swept for long. Holders and their fences stay as they are.

    Not again before those leases have ended: where each sweep takes long, a dead worker's would never end else. A
    silence shorter than this leaves whoever lives the time to renew.
    """
    silence_s = settings.LEASE_S / 4 + 2 * settings.SWEEP_INTERVAL_S
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BEAT, {"silence_s": silence_s, "again_s": 2 * settings.LEASE_S})
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(_ANEW, {"lease_s": settings.LEASE_S})
        log.warning("nobody has swept for long, as in an outage: %d leases begin anew", cursor.rowcount)
        return True


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
