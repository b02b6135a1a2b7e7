"""The states of items and requests, the table of moves, and the only writers of a status.

    item     QUEUED <-> HELD, QUEUED -> RUNNING -> SUCCEEDED | FAILED
             RUNNING -> QUEUED | HELD (next step, another try), RUNNING -> WAITING -> RUNNING (parked)
             any open state -> QUEUED | SUCCEEDED (a part was given up), FAILED | CANCELLED
             FAILED -> QUEUED (reopened by staff)
    request  QUEUED -> RUNNING -> COMPLETED | FAILED | CANCELLED, COMPLETED | FAILED -> RUNNING (reopened)

What each state means is said where it is declared (`generation.models`). QUEUED -> RUNNING is written by
the one statement in `generation.claim`; every other arrow goes through `move`, `move_many` and
`move_request` here, inside a `Change` that holds the request's lock. False (or fewer ids than given)
means that another hand was first: not an error, never ignored.

Lock order everywhere: requests by id, items by id, account.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from generation.events import Change
from generation.models import EventKind, Item, ItemStatus, Request, RequestStatus, rows

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
    ADVANCE, AGAIN, AGAIN_LATER, RETRY, REQUEUE, PARK, FETCH, SUCCEED, SKIP, END_WITHOUT, FAIL, CANCEL, HOLD, RELEASE,
    REOPEN,
)  # fmt: skip
REQUEST_MOVES = (START, COMPLETE, GIVE_UP, CALL_OFF, REOPEN_REQUEST)


def move(
    change: Change,
    item_id: int,
    arrow: Move,
    *,
    fence: int | None = None,
    told: dict[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Move one item along an arrow and record its event with `told` as data. One query.

    False when the item no longer stands at a source of the arrow, or `fence` no longer holds.
    """
    given: dict[str, Any] = {"request_id": change.request_id, "status": arrow.sources}
    if fence is not None:
        given["fence"] = fence
    if arrow.takes_away:
        fields.setdefault("fence", rows.Sql("fence + 1"))
    if not rows.update(Item, item_id, to={"status": arrow.target, **fields}, given=given):
        return False
    if arrow.event:
        change.record(arrow.event, item_id, **(told or {}))
    return True


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
