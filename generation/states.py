"""The states of items and requests, the table of moves, and the only writers of a status.

    item     QUEUED <-> HELD, QUEUED -> RUNNING -> SUCCEEDED | FAILED
             RUNNING -> QUEUED | HELD (next step, another try), RUNNING -> WAITING -> RUNNING (parked)
             RUNNING -> RUNNING (the next step is ours, and its holder does it at once)
             any open state -> QUEUED | SUCCEEDED (a part was given up), FAILED | CANCELLED
             FAILED -> QUEUED (reopened by staff)
    request  QUEUED -> RUNNING -> COMPLETED | FAILED | CANCELLED, COMPLETED | FAILED -> RUNNING (reopened)

What each state means is said where it is declared (`generation.models`). QUEUED -> RUNNING is written by
the one statement in `generation.claim`, WAITING -> RUNNING by `fetch`: from open to open, and nobody hears of it,
so neither takes the request's lock. Every other arrow goes through `move`, `move_many` and `move_request` here,
inside a `Change` that holds it, but for `begin`, which is a change by itself. False (or fewer ids than given)
means that another hand was first: not an error, never ignored.

Lock order everywhere: requests by id, items by id, account.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from config.api import sql
from generation import events
from generation.events import Change
from generation.models import EventKind, Item, ItemStatus, Request, RequestStatus, rows

# Whether steps of our own need not wait for their lane, as a condition of a statement.
OURS_MAY_RUN = (
    "NOT EXISTS (SELECT FROM providers_lane WHERE name IN ('internal', 'desk') AND (paused OR cap IS NOT NULL))"
)
OPEN = (ItemStatus.QUEUED, ItemStatus.HELD, ItemStatus.RUNNING, ItemStatus.WAITING)
FINAL = (ItemStatus.SUCCEEDED, ItemStatus.FAILED, ItemStatus.CANCELLED)


@dataclass(frozen=True)
class Move:
    """A named arrow: from any of `sources` to `target`, told as `event` (None: nobody needs to hear).

    takes_away: the holder loses the item, so the fence rises and its later writes find nothing.
    """

    name: str
    sources: tuple[str, ...]
    target: str
    event: EventKind | None = None
    takes_away: bool = False


S, E = ItemStatus, EventKind
ADVANCE = Move("advance", (S.RUNNING,), S.QUEUED, E.STEP, takes_away=True)  # the next step waits in its lane
CARRY_ON = Move("carry on", (S.RUNNING,), S.RUNNING, E.STEP)  # the next step is ours: its holder does it at once
AGAIN = Move("again", (S.RUNNING,), S.QUEUED, E.STEP, takes_away=True)  # a bad verdict: another pass
AGAIN_LATER = Move("again later", (S.RUNNING,), S.HELD, E.STEP, takes_away=True)  # the same, due at run_after
RETRY = Move("retry", (S.RUNNING, S.WAITING), S.HELD, E.RETRYING, takes_away=True)  # due at run_after
REQUEUE = Move("requeue", (S.RUNNING, S.WAITING, S.QUEUED), S.QUEUED, None, takes_away=True)  # nothing to tell
PARK = Move("park", (S.RUNNING,), S.WAITING, E.PARKED, takes_away=True)  # the vendor works; the thread is free
FETCH = Move("fetch", (S.WAITING,), S.RUNNING, None, takes_away=True)  # the vendor is done; a result is to be kept
SUCCEED = Move("succeed", (S.RUNNING,), S.SUCCEEDED, E.SUCCEEDED)
SKIP = Move("skip", OPEN, S.QUEUED, E.STEP, takes_away=True)  # a part was given up: on without it
END_WITHOUT = Move("end without", OPEN, S.SUCCEEDED, E.SUCCEEDED, takes_away=True)  # likewise, and nothing follows
FAIL = Move("fail", OPEN, S.FAILED, E.FAILED, takes_away=True)
CANCEL = Move("cancel", OPEN, S.CANCELLED, E.CANCELLED, takes_away=True)
HOLD = Move("hold", (S.QUEUED, S.HELD), S.HELD, E.HELD)
RELEASE = Move("release", (S.HELD,), S.QUEUED, E.RELEASED)
REOPEN = Move("reopen", (S.FAILED,), S.QUEUED, E.QUEUED, takes_away=True)

R = RequestStatus
START = Move("start", (R.QUEUED,), R.RUNNING, E.REQUEST_STARTED)
COMPLETE = Move("complete", (R.QUEUED, R.RUNNING), R.COMPLETED, E.REQUEST_COMPLETED)
GIVE_UP = Move("give up", (R.QUEUED, R.RUNNING), R.FAILED, E.REQUEST_FAILED)
CALL_OFF = Move("call off", (R.QUEUED, R.RUNNING), R.CANCELLED, E.REQUEST_CANCELLED)
REOPEN_REQUEST = Move("reopen", (R.COMPLETED, R.FAILED), R.RUNNING, E.REOPENED)

ITEM_MOVES = (
    ADVANCE, CARRY_ON, AGAIN, AGAIN_LATER, RETRY, REQUEUE, PARK, FETCH, SUCCEED, SKIP, END_WITHOUT, FAIL, CANCEL, HOLD,
    RELEASE, REOPEN,
)  # fmt: skip
REQUEST_MOVES = (START, COMPLETE, GIVE_UP, CALL_OFF, REOPEN_REQUEST)


def move(
    change: Change,
    item_id: int,
    arrow: Move,
    *,
    fence: int | None = None,
    at_step: int | None = None,
    told: dict[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Move one item along an arrow and record its event with `told` as data. One query.

    False when the item no longer stands at a source of the arrow, `fence` no longer holds, or it has left `at_step`.
    """
    given: dict[str, Any] = {"request_id": change.request_id, "status": arrow.sources}
    if fence is not None:
        given["fence"] = fence
    if at_step is not None:
        given["step"] = at_step
    if arrow.takes_away:
        fields.setdefault("fence", rows.Sql("fence + 1"))
    if not rows.update(Item, item_id, to={"status": arrow.target, **fields}, given=given):
        return False
    if arrow.event:
        change.record(arrow.event, item_id, **(told or {}))
    return True


_FETCH = f"""
WITH fetched AS (
    UPDATE generation_item AS i
    SET status = '{FETCH.target}', fence = fence + 1,
        lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
    WHERE id = %(item)s AND fence = %(fence)s AND status = '{FETCH.sources[0]}' RETURNING {rows.columns_of(Item, "i")}
), followed AS (
    UPDATE generation_attempt a SET fence = fetched.fence, poll_at = NULL FROM fetched WHERE a.id = %(attempt)s
)
SELECT * FROM fetched
"""  # noqa: S608 constants of this file


def fetch(item_id: int, attempt_id: int, *, fence: int, lease_s: float) -> Item | None:
    """Win a parked item back for its attempt, once; return it as it is now. One query, in no change or in one.

    Calls of one request end together: each would queue for the request's lock before its result can be looked at.
    Nobody asks about a call that is being kept; whoever takes it back from a dead holder has it asked about again.
    """
    with sql.cursor() as cursor:
        cursor.execute(_FETCH, {"item": item_id, "attempt": attempt_id, "fence": fence, "lease_s": lease_s})
        row = cursor.fetchone()
        return rows.read(Item, [column.name for column in cursor.description], row) if row else None


def move_many(change: Change, items: Iterable[Item], arrow: Move, **fields: Any) -> list[Item]:
    """Move items that this transaction has locked, in order of id; return those that stood at a source. One query."""
    movable = [item for item in items if item.status in arrow.sources]
    if arrow.takes_away:
        fields.setdefault("fence", F("fence") + 1)
    Item.objects.filter(pk__in=[item.pk for item in movable]).update(status=arrow.target, **fields)
    for item in movable:
        if arrow.event:
            change.record(arrow.event, item.pk)
    return movable


def move_request(change: Change, arrow: Move, **fields: Any) -> bool:
    """Move the changed request itself along an arrow, when the change ends; False when it stands at no source."""
    if change.status not in arrow.sources:
        return False
    change.alter(Request, change.request_id, status=arrow.target, **fields)
    change.status = arrow.target
    if arrow.event:
        change.record(arrow.event)
    return True


# The request is locked first, as everywhere, and its row read as it stands then; nothing is written when the item is
# no longer the holder's.
_BEGIN = f"""
WITH held AS MATERIALIZED (
    SELECT id, status IN ({", ".join(f"'{source}'" for source in START.sources)}) AS starts
    FROM generation_request WHERE id = %(request)s FOR UPDATE
), begun AS (
    UPDATE generation_item i
    SET deadline_at = COALESCE(i.deadline_at, clock_timestamp() + i.deadline_s * interval '1 second')
    FROM held WHERE i.id = %(item)s AND i.request_id = held.id AND i.fence = %(fence)s AND i.status = '{S.RUNNING}'
    RETURNING i.id
), raised AS (
    UPDATE generation_request r
    SET seq = r.seq + 1 + held.starts::int,
        status = CASE WHEN held.starts THEN '{START.target}' ELSE r.status END,
        started_at = CASE WHEN held.starts THEN clock_timestamp() ELSE r.started_at END
    FROM held CROSS JOIN begun WHERE r.id = held.id
    RETURNING r.owner_id, r.door, r.status, r.round, r.seq, clock_timestamp() AS now,
              r.mirrored_seq IS NOT NULL AS mirrored, held.starts
), told AS (
    INSERT INTO generation_event (request_id, item_id, seq, kind, at, actor, data)
    SELECT %(request)s, NULL, seq - 1, '{START.event}', now, '', '{{}}' FROM raised WHERE starts
    UNION ALL
    SELECT %(request)s, %(item)s, seq, '{E.STARTED}', now, '', jsonb_build_object('start', %(start)s::int) FROM raised
)
SELECT * FROM raised
"""  # noqa: S608 constants of this file


def begin(item: Item, fence: int) -> bool:
    """Write down that an item's call goes out now, and move its request on when it is the first. One query.

    It is a whole change by itself: pictures of one request begin together, and each would hold the request's lock for
    as long as its thread waits for its turn between one statement and the next. False when the fence no longer holds.
    """
    with sql.cursor() as cursor:
        cursor.execute(_BEGIN, {"request": item.request_id, "item": item.pk, "fence": fence, "start": item.starts})
        row = cursor.fetchone()
    if row is None:
        return False
    owner_id, door, status, round_, seq, now, is_mirrored, starts = row
    change = Change(item.request_id, owner_id, door, status, round_, seq - starts, "", now, is_mirrored)
    if starts:
        change.record(EventKind.REQUEST_STARTED)
    change.record(EventKind.STARTED, item.pk, start=item.starts)
    events.announce(change)
    return True
