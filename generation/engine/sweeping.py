"""Sweep: the periodic pass that gives every wait an end, whatever died meanwhile.

Any worker's timer runs it; each part is under a lock of its own, so two at once do not do it twice.
`manage.py sweep` runs it once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from config.api import sql
from generation import events, lanes
from generation.claim import fair_rank
from generation.engine import closing, leases, parts
from generation.engine.attempts import count_as_spent
from generation.figures import figures
from generation.models import (
    Attempt,
    AuditRun,
    Chore,
    HoldReason,
    Item,
    ItemStatus,
    MetricsRow,
    Outcome,
    Stage,
)
from generation.plan import WEIGHTS

log = logging.getLogger(__name__)

MOST_PER_PART = 500
MOST_AGED = 1000
# Ageing lifts a waiting item one class at a time, never above `high`.
CLASSES = sorted(weight for weight in WEIGHTS.values() if weight <= WEIGHTS["high"])
LOCK_SPACE = 0x7377
PRUNE = "prune"


def sweep() -> dict[str, int]:
    """Run every part that nobody else is running; return how much each did."""
    return {part.__name__: _alone(part) for part in PARTS}


def release_due() -> int:
    """Queue what has waited out its retry."""
    due = Item.objects.filter(status=ItemStatus.HELD, hold_reason=HoldReason.RETRY, run_after__lte=Now())
    rows = list(due.order_by("run_after").values_list("pk", "request_id")[:MOST_PER_PART])
    for item_id, request_id in rows:
        with events.change(request_id) as change:
            item = closing.locked(change, item_id)
            if item.hold_reason == HoldReason.RETRY and item.run_after and item.run_after <= change.now:
                closing.release(change, item)
    return len(rows)


def expire_deadlines() -> int:
    """Fail what has taken too long since its first start, and have its parked call cancelled at the vendor.

    Calls that were parked for too long are given up by the poll, which asks once more.
    """
    late = Item.objects.filter(
        status__in=[ItemStatus.QUEUED, ItemStatus.HELD, ItemStatus.WAITING], deadline_at__lt=Now()
    )
    rows = list(late.values_list("pk", "request_id")[:MOST_PER_PART])
    for item_id, request_id in rows:
        with events.change(request_id) as change:
            item = closing.locked(change, item_id)
            if item.deadline_at and item.deadline_at < change.now and not item.is_final:
                parked = Attempt.objects.filter(item=item, stage=Stage.ACCEPTED, ended_at__isnull=True)
                for attempt_id in parked.values_list("pk", flat=True):
                    closing.cancel_at_vendor_later(change, attempt_id)
                parts.give_up(change, item, _why_late(item), deadline_at=None)
    return len(rows)


def _why_late(item: Item) -> closing.Failure:
    """Name the last error as the reason when there was one: the wait was for that to pass."""
    last = (
        Attempt.objects.filter(item=item, ended_at__isnull=False).exclude(error_code="").order_by("-ended_at").first()
    )
    return closing.Failure(last.error_code if last else "TIMEOUT", "The generation took too long.", retryable=True)


def close_abandoned() -> int:
    """End calls whose item was taken away and whose holder never came back, so that their lane has room again."""
    at_vendor = Q(stage=Stage.ACCEPTED, poll_at__isnull=False)  # not one that was fetched, and is being kept
    gone = Q(stage=Stage.ACCEPTED, park_until__lt=Now()) | ~at_vendor & (
        Q(item__lease_until__lt=Now()) | Q(item__lease_until__isnull=True)
    )
    abandoned = Attempt.objects.filter(gone, ended_at__isnull=True, started_at__lt=timezone.now() - _lease())
    found = list(abandoned.filter(pk__in=_not_held()).values_list("pk", flat=True))
    ended = abandoned.filter(pk__in=found).update(outcome=Outcome.LOST, ended_at=Now(), poll_at=None)
    count_as_spent(Attempt.objects.filter(pk__in=found))
    return ended


def _not_held() -> QuerySet[Attempt, Any]:
    """Open attempts whose item is no longer theirs: ended, or claimed again under a higher fence."""
    held = Q(item__fence=F("fence")) | Q(item__status=ItemStatus.WAITING, item__fence=F("fence") + 1)
    return Attempt.objects.filter(ended_at__isnull=True).exclude(held).values("pk")


def _lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_S)


def age() -> int:
    """Lift what has waited long by one class, ranked anew; the caller's priority stays in its own column."""
    long_ago = timezone.now() - timedelta(seconds=settings.AGEING_S)
    waiting = Item.objects.filter(status=ItemStatus.QUEUED, weight__lt=CLASSES[-1], queued_at__lt=long_ago).order_by(
        "queued_at"
    )[:MOST_AGED]

    def place(item: Item) -> tuple[str, int, str]:
        return item.lane, item.weight, str(item.owner_id)

    aged = 0
    for (lane, weight, _), group in groupby(sorted(waiting, key=lambda item: (place(item), item.rank)), key=place):
        items = list(group)
        lifted = next(higher for higher in CLASSES if higher > weight)
        first = fair_rank(lane, lifted, items[0].owner_id)
        for nth, item in enumerate(items):
            aged += Item.objects.filter(pk=item.pk, status=ItemStatus.QUEUED, weight=weight).update(
                weight=lifted, rank=first + nth, queued_at=Now()
            )
    return aged


def leave_closed_lanes() -> int:
    """Move waiting items to their next candidate where a lane is paused or broken."""
    return lanes.evacuate()


def keep_metrics() -> int:
    """Keep the desk's figures of this moment, once per interval."""
    if not settings.ENABLE_METRICS or not _is_due(
        MetricsRow.objects.order_by("-at").first(), settings.METRICS_INTERVAL_S
    ):
        return 0
    now = figures()
    MetricsRow.objects.create(
        at=timezone.now(),
        requests_total=now.total,
        requests_completed=now.completed,
        requests_failed=now.failed,
        average_generation_s=now.average_generation_s,
        queue_length=now.queue_length,
        active_requests=now.active,
    )
    return 1


def audit_changes() -> int:
    """Audit what has changed since the last audit, once per interval; in full once a night."""
    from generation import audit  # above this room only in reading: it writes nothing but its own run

    if not _is_due(AuditRun.objects.order_by("-at").first(), settings.AUDIT_INTERVAL_S):
        return 0
    last_full = AuditRun.objects.filter(full=True).order_by("-at").first()
    return len(audit.run(full=_is_due(last_full, 86400)))


def plan_prune() -> int:
    """Have yesterday's leftovers cleared once a day, by a chore."""
    last = Chore.objects.filter(kind=PRUNE).order_by("-created_at").first()
    if last and last.created_at > timezone.now() - timedelta(days=1):
        return 0
    _, is_new = Chore.objects.get_or_create(kind=PRUNE, key="", done_at=None, defaults={"run_after": timezone.now()})
    return int(is_new)


def _is_due(last: MetricsRow | AuditRun | None, interval_s: float) -> bool:
    return last is None or last.at <= timezone.now() - timedelta(seconds=interval_s)


PARTS: tuple[Callable[[], int], ...] = (
    leases.expire_leases,
    release_due,
    expire_deadlines,
    close_abandoned,
    age,
    leave_closed_lanes,
    keep_metrics,
    audit_changes,
    plan_prune,
)


def _alone(part: Callable[[], int]) -> int:
    """Run a part unless another process is at it. A fault in one part does not stop the others.

    The lock is the connection's own, so a part must not give its connection back to the pool.
    """
    with _try_lock(PARTS.index(part)) as got:
        if not got:
            return 0
        try:
            return part()
        except Exception:
            log.exception("a part of the sweep failed", extra={"part": part.__name__})
            return 0


@contextmanager
def _try_lock(number: int) -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_SPACE, number])
        got = bool(cursor.fetchone()[0])
        try:
            yield got
        finally:
            if got:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK_SPACE, number])


# The first of each index, so that this stays cheap however much waits.
_AHEAD = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM generation_item WHERE status = 'QUEUED' LIMIT %(most)s) AS items),
       EXISTS (SELECT 1 FROM generation_attempt
               WHERE stage = 'ACCEPTED' AND ended_at IS NULL AND poll_at <= statement_timestamp()),
       EXISTS (SELECT 1 FROM generation_chore
               WHERE done_at IS NULL AND run_after <= statement_timestamp()
                 AND (lease_until IS NULL OR lease_until < statement_timestamp())),
       extract(epoch FROM (SELECT min(run_after) FROM generation_item WHERE status = 'HELD' AND hold_reason = 'retry')
               - statement_timestamp())::float8,
       extract(epoch FROM (SELECT min(poll_at) FROM generation_attempt WHERE stage = 'ACCEPTED' AND ended_at IS NULL)
               - statement_timestamp())::float8
"""


@dataclass(frozen=True)
class Ahead:
    """What a thread could do now, and in how many seconds the next retry and the next poll fall due, if there is one.

    items: how many wait to be claimed, counted up to a number; those behind full lanes too, so a thread may find none.
    """

    items: int
    polls: bool
    chores: bool
    retry_in_s: float | None
    poll_in_s: float | None

    @property
    def things(self) -> int:
        """For how many threads there is something."""
        return self.items + self.polls + self.chores


def ahead(most: int) -> Ahead:
    """Look what there is to do; items are counted up to `most`. One query."""
    with sql.cursor() as cursor:
        cursor.execute(_AHEAD, {"most": max(0, most)})
        return Ahead(*cursor.fetchone())
