"""Poll: ask asynchronous vendors about their parked calls, many in one round; no thread waits for any of them.

Polling and fetching a result need no room in the lane and ignore pauses and breakers: the call has been
paid for. Webhooks only set `poll_at` to now, so a forged, early, duplicate or late one can do no harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from config.api import sql
from generation import events, lanes, queue
from generation.engine import pace, stumbling
from generation.engine.fetching import ROUND_S, Parked, call_of, ended
from generation.models import Attempt, EventKind, Item, Stage, rows
from providers import registry
from providers.base import Made, Pending, Ready
from providers.errors import NetworkError, ProviderError, ProviderTimeout, RateLimited

log = logging.getLogger(__name__)

MOST_PER_ROUND = 50
# Calls that began together end together: for so long after one has ended a round takes few, for many threads to take.
BURST_S, FEW = 1.0, 2
# How long a question that failed waits, when the vendor does not say.
ASK_AGAIN_S = 5.0
# Errors of a question after which the vendor's other parked calls need not be asked about either.
DEAF = (NetworkError, ProviderTimeout, RateLimited)


def poll(wake: Callable[[int], int] = lambda threads: 0, go_on: Callable[[Item], None] = lambda item: None) -> int:
    """Ask one provider about its due parked calls, at most 50, up to the first that has ended; return how many.

    The others are left to whoever is free: to keep a result takes longer than to ask, and of those that began
    together many end together. A vendor that does not answer is asked about none of them for a while: each question
    could hold this thread to its time-out. Two queries for the round (take, write), and where it ended early more.

    wake: starts up to so many threads of this process that poll too, and says how many. go_on: is given the item of
    the call that ended.
    """
    parked = _take()
    connection.close()
    pending: dict[int, tuple[Parked, Pending]] = {}
    for place, one in enumerate(parked, start=1):
        answer = _ask(one)
        if isinstance(answer, Pending):
            pending[one.attempt.pk] = one, answer
        elif isinstance(answer, ProviderError) and answer.ask_again and not one.is_over:
            # Asking failed, not the work.
            pending[one.attempt.pk] = one, Pending(one.attempt.remote_id, answer.retry_after_s or ASK_AGAIN_S)
            if isinstance(answer, DEAF):
                _write(pending)
                _spare(one.attempt, parked[place:], answer)
                return place
        else:
            _write(pending)
            _leave(parked[place:], wake)
            if item := ended(one, answer):
                go_on(item)
            return place
    _write(pending)
    return len(parked)


def _ask(one: Parked) -> Made | Ready | Pending | ProviderError:
    """Ask about one call. One that is at work still when its time is up is given up, but never without this question:
    after an outage of ours it may be done long since."""
    try:
        answer = registry.adapter(one.attempt.provider).poll(one.attempt.remote_id, call_of(one))
    except ProviderError as error:
        return error
    except Exception as bug:
        log.exception("a bug in a poll", extra={"attempt": one.attempt.pk})
        return stumbling.bug_of(bug)
    if isinstance(answer, Pending) and one.is_over:
        expired = ProviderTimeout(detail="parked for too long")
        expired.ask_again = True  # it is at the vendor still
        return expired
    return answer


def _spare(asked: Attempt, others: Sequence[Parked], error: ProviderError) -> None:
    """Ask a vendor that does not answer about no other parked call for a while; one without room gets no new ones
    either. others: those of this round that were not come to."""
    until = timezone.now() + timedelta(seconds=error.retry_after_s or ASK_AGAIN_S)
    left = Q(pk__in=[one.attempt.pk for one in others]) | Q(poll_at__lt=until)
    parked = Attempt.objects.filter(left, stage=Stage.ACCEPTED, ended_at__isnull=True, provider=asked.provider)
    with transaction.atomic():
        free = parked.exclude(pk=asked.pk).select_for_update(skip_locked=True).values_list("pk", flat=True)
        Attempt.objects.filter(pk__in=list(free)).update(poll_at=until)
    if not error.costs_start:
        lanes.note_failure(asked.lane, error)
    connection.close()


def _leave(others: Sequence[Parked], wake: Callable[[int], int]) -> None:
    """Let calls that this round did not come to be asked about at once, by threads of this worker, else of others."""
    if others:
        with sql.cursor() as cursor:
            cursor.execute(
                "UPDATE generation_attempt SET poll_at = statement_timestamp() WHERE id = ANY(%s) AND ended_at IS NULL",
                [[one.attempt.pk for one in others]],
            )
        connection.close()
        rounds = -(-len(others) // FEW)
        queue.ring(rounds - wake(rounds))


# What a round needs of an attempt; whoever asks for more reads it by a query.
_ASKED = ("id", "item_id", "step", "fence", "lane", "provider", "model", "operation", "remote_id", "park_until")
_TAKE = f"""
WITH due AS MATERIALIZED (
    SELECT a.id FROM generation_attempt a
    WHERE a.stage = 'ACCEPTED' AND a.ended_at IS NULL AND a.poll_at <= statement_timestamp() AND a.provider = (
        SELECT f.provider FROM generation_attempt f
        WHERE f.stage = 'ACCEPTED' AND f.ended_at IS NULL AND f.poll_at <= statement_timestamp()
        ORDER BY f.poll_at LIMIT 1)
    ORDER BY a.poll_at LIMIT CASE WHEN EXISTS (
        SELECT 1 FROM generation_attempt e
        WHERE e.lane = (SELECT l.lane FROM generation_attempt l
                        WHERE l.stage = 'ACCEPTED' AND l.ended_at IS NULL AND l.poll_at <= statement_timestamp()
                        ORDER BY l.poll_at LIMIT 1)
          AND e.ended_at > statement_timestamp() - %(burst_s)s * interval '1 second' AND e.remote_id <> ''
    ) THEN %(few)s ELSE %(most)s END FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE generation_attempt a SET poll_at = statement_timestamp() + %(round_s)s * interval '1 second'
    FROM due WHERE a.id = due.id
    RETURNING {", ".join(f"a.{name}" for name in _ASKED)}, a.accepted_at
)
SELECT {", ".join(f"taken.{name}" for name in _ASKED)}, {rows.columns_of(Item, "i")},
       extract(epoch FROM clock_timestamp() - taken.accepted_at)::float8 AS age_s
FROM taken JOIN generation_item i ON i.id = taken.item_id ORDER BY taken.id
"""  # noqa: S608 no value


def _take() -> list[Parked]:
    """Take the due attempts of the provider that waits longest, by one query. Their poll_at moves on, so others skip
    them."""
    with sql.cursor() as cursor:
        cursor.execute(_TAKE, {"most": MOST_PER_ROUND, "few": FEW, "burst_s": BURST_S, "round_s": ROUND_S})
        found = cursor.fetchall()
        columns = [column.name for column in cursor.description] if found else []
    now = time.monotonic()
    return [
        Parked(rows.read(Attempt, _ASKED, row), rows.read(Item, columns, row, after=len(_ASKED)), now - row[-1])
        for row in found
    ]


# Whose progress moves is locked first: requests, then items, in order of id, as everywhere; attempts come after them.
_WRITE = """
WITH news AS MATERIALIZED (
    SELECT * FROM unnest(%(attempts)s::bigint[], %(waits)s::float8[], %(progress)s::int[])
         AS n(attempt, wait_s, progress)
), moving AS MATERIALIZED (
    SELECT i.id, i.request_id FROM news n JOIN generation_attempt a ON a.id = n.attempt
    JOIN generation_item i ON i.id = a.item_id WHERE i.status = 'WAITING' AND i.progress < n.progress
), locked AS MATERIALIZED (
    SELECT r.id FROM generation_request r WHERE r.id IN (SELECT request_id FROM moving) ORDER BY r.id FOR UPDATE
), stopped AS MATERIALIZED (
    SELECT i.id FROM generation_item i
    WHERE i.id IN (SELECT id FROM moving) AND (SELECT count(*) FROM locked) > 0 ORDER BY i.id FOR UPDATE
), polled AS (
    UPDATE generation_attempt a
    SET poll_at = LEAST(clock_timestamp() + n.wait_s * interval '1 second',
                        GREATEST(a.park_until, clock_timestamp() + interval '1 second')),
        progress = n.progress
    FROM news n CROSS JOIN (SELECT count(*) FROM stopped) AS first
    WHERE a.id = n.attempt AND a.ended_at IS NULL
    RETURNING a.item_id, n.progress
), moved AS MATERIALIZED (
    SELECT i.id, i.request_id, p.progress FROM polled p JOIN generation_item i ON i.id = p.item_id
    WHERE i.status = 'WAITING' AND i.progress < p.progress
), ordered AS MATERIALIZED (
    SELECT r.id, m.id AS item, m.progress, row_number() OVER (PARTITION BY r.id ORDER BY m.id) AS nth
    FROM generation_request r JOIN moved m ON m.request_id = r.id
), numbered AS (
    UPDATE generation_request r SET seq = seq + (SELECT max(nth) FROM ordered o WHERE o.id = r.id)
    WHERE r.id IN (SELECT id FROM ordered)
    RETURNING r.id, r.owner_id, r.seq - (SELECT max(nth) FROM ordered o WHERE o.id = r.id) AS before
), stepped AS (
    UPDATE generation_item i SET progress = o.progress FROM ordered o
    WHERE i.id = o.item AND i.status = 'WAITING' RETURNING i.id
), told AS (
    INSERT INTO generation_event (request_id, item_id, seq, kind, at, actor, data)
    SELECT o.id, o.item, n.before + o.nth, %(kind)s, clock_timestamp(), '', jsonb_build_object('progress', o.progress)
    FROM ordered o JOIN numbered n ON n.id = o.id JOIN stepped s ON s.id = o.item
    RETURNING request_id, item_id, seq
)
SELECT n.owner_id, t.request_id, t.item_id, t.seq FROM told t JOIN numbered n ON n.id = t.request_id
"""


def _write(pending: Mapping[int, tuple[Parked, Pending]]) -> None:
    """Write what changed in one statement: when to ask again, and how far each item is. Progress never falls."""
    if not pending:
        return
    news = [
        (
            attempt_id,
            pace.next_s(one.kind, one.age_s, answer),
            one.item.progress_at(one.attempt.step, answer.progress or 0),
        )
        for attempt_id, (one, answer) in pending.items()
    ]
    with connection.cursor() as cursor:  # a statement is a transaction of its own
        cursor.execute(
            _WRITE,
            {
                "attempts": [one[0] for one in news],
                "waits": [one[1] for one in news],
                "progress": [one[2] for one in news],
                "kind": EventKind.PROGRESS,
            },
        )
        for owner_id, request_id, item_id, seq in cursor.fetchall():
            events.hint(owner_id, request_id, item_id, EventKind.PROGRESS, seq)
