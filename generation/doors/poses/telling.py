"""What the events of a generation come to in the door's live messages: started, progress, one end.

Both kinds of sockets and the Redis channel are told from here, so that they say the same. Progress is told for
every fifth pose that was processed, done or failed, and for the last one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from generation.doors.poses import present
from generation.doors.poses.tallies import Tally
from generation.events import Change
from generation.models import EventKind, Item, ItemStatus, Request

STARTED, PROGRESS, COMPLETED, FAILED = "started", "progress", "completed", "failed"
CHANGED, NOT_CHANGED = "background_change_complete", "background_change_failed"

# How many poses pass between two messages of progress.
PROGRESS_EVERY = 5
# Beyond every event's number: how a generation stands now.
NOW = 2**62
_BEGINNINGS = (EventKind.REQUEST_STARTED, EventKind.REOPENED)
_ENDS = {
    EventKind.REQUEST_COMPLETED: COMPLETED,
    EventKind.REQUEST_FAILED: FAILED,
    EventKind.REQUEST_CANCELLED: FAILED,
}
_ENDED_BADLY = (EventKind.FAILED, EventKind.CANCELLED)
TELLING = (*_BEGINNINGS, *_ENDS, EventKind.SUCCEEDED, *_ENDED_BADLY, EventKind.QUEUED)


@dataclass(frozen=True)
class Happened:
    """An event, as far as this door cares. is_reopened: a failed pose was queued again by staff."""

    seq: int
    kind: str
    at: datetime
    is_reopened: bool = False


@dataclass(frozen=True)
class Said:
    """One message: its type, how far the generation was then, when, and of which event."""

    kind: str
    tally: Tally
    at: datetime
    seq: int


def said_of(events: Iterable[Happened], tally: Tally) -> Iterator[Said]:
    """The messages of events in their order. tally: how far the generation was before the first of them."""
    for event in events:
        if event.kind == EventKind.SUCCEEDED:
            tally = replace(tally, done=tally.done + 1)
        elif event.kind in _ENDED_BADLY:
            tally = replace(tally, failed=tally.failed + 1)
        elif event.is_reopened:
            tally = replace(tally, failed=tally.failed - 1)
        if event.kind in _BEGINNINGS:
            yield Said(STARTED, tally, event.at, event.seq)
        elif event.kind in _ENDS:
            yield Said(_ENDS[EventKind(event.kind)], tally, event.at, event.seq)
        elif event.kind in (EventKind.SUCCEEDED, *_ENDED_BADLY) and _is_told(tally):
            yield Said(PROGRESS, tally, event.at, event.seq)


def _is_told(tally: Tally) -> bool:
    return tally.processed % PROGRESS_EVERY == 0 or tally.processed == tally.total


# --- How far generations were --------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """change_of: of a background change, the generation that its pose belongs to."""

    tally: Tally
    change_of: str | None


# Back from how the items stand: what later events did is taken off again. One statement has one view of the rows.
_STANDINGS = """
SELECT i.total, i.done - later.done AS done, i.failed - later.failed AS failed, i.refunded, i.change_of
FROM unnest(%(requests)s::uuid[], %(seqs)s::bigint[]) WITH ORDINALITY AS wanted(request, seq, nth)
CROSS JOIN LATERAL (
    SELECT count(*) AS total, coalesce(sum(refunded), 0) AS refunded, min(params ->> 'generationId') AS change_of,
        count(*) FILTER (WHERE status = 'SUCCEEDED') AS done,
        count(*) FILTER (WHERE status IN ('FAILED', 'CANCELLED')) AS failed
    FROM generation_item WHERE request_id = wanted.request
) AS i
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE kind = 'succeeded') AS done,
        count(*) FILTER (WHERE kind IN ('failed', 'cancelled'))
            - count(*) FILTER (WHERE kind = 'queued' AND data ? 'round') AS failed
    FROM generation_event WHERE request_id = wanted.request AND seq > wanted.seq
) AS later
ORDER BY wanted.nth
"""


def standings(wanted: Sequence[tuple[UUID, int]]) -> list[Standing]:
    """How requests stood after the event of that number, in the order asked; credits as they are now. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDINGS, {"requests": [request for request, _ in wanted], "seqs": [seq for _, seq in wanted]})
        return [
            Standing(Tally(total=total, done=done, failed=failed, refunded=refunded), change_of)
            for total, done, failed, refunded, change_of in cursor.fetchall()
        ]


# --- The messages of the sockets -----------------------------------------------------------------


def present_update(request: Request, kind: str, tally: Tally, error: Item | None, at: datetime) -> dict[str, Any]:
    """Build the payload of `pose-generation-update`. kind: started, progress, completed or failed.

    error: the last item that failed, for a generation that failed.
    """
    told: dict[str, Any] = {
        "type": kind,
        "generationId": str(request.pk),
        "userId": str(request.owner_id),
        "timestamp": present.iso(at),
        "completed": tally.done,
        "total": tally.total,
    }
    if kind == STARTED:
        return told | {"message": "The generation has started."}
    if kind == PROGRESS:
        return told | {"percentage": tally.percentage, "failed": tally.failed}
    if kind == COMPLETED:
        return told | {"failed": tally.failed, "creditRefunded": tally.refunded}
    why = (
        {"error": present.message_of(error), "code": present.code_of(error)}
        if error
        else {"error": present.NOTHING_MADE, "code": present.GAVE_UP}
    )
    return told | why | {"creditRefunded": tally.refunded}


def present_change(item: Item, base_url: str, at: datetime) -> dict[str, Any]:
    """Build the payload that tells the end of a background change."""
    document = present.present_item(item, base_url)
    is_done = item.status == ItemStatus.SUCCEEDED
    told = {
        "type": CHANGED if is_done else NOT_CHANGED,
        "generationId": document["generationId"],
        "userId": str(item.owner_id),
        "timestamp": present.iso(at),
        "poseId": document["poseId"],
    }
    if is_done:
        return told | {"imageUrl": document["imageUrl"], "thumbnailUrl": document["thumbnailUrl"]}
    return told | {"error": document["errorMessage"], "creditRefunded": document["creditRefunded"]}


# --- The Redis channel ---------------------------------------------------------------------------


def channel_messages(change: Change) -> list[tuple[str, str]]:
    """What a committed change is told as on its owner's Redis channel: channel and text. At most one query."""
    events = [
        Happened(event.seq, event.kind, event.at, is_reopened=event.kind == EventKind.QUEUED and "round" in event.data)
        for event in change.events
        if event.kind in TELLING
    ]
    if not events:
        return []
    [standing] = standings([(change.request_id, change.events[0].seq - 1)])
    return [
        (channel_of(change.owner_id), json.dumps(told))
        for said in said_of(events, standing.tally)
        if (told := _told(said, change.request_id, standing.change_of))
    ]


def channel_of(owner_id: UUID) -> str:
    return f"pose-generation:{owner_id}"


def _told(said: Said, request_id: UUID, change_of: str | None) -> dict[str, Any] | None:
    """The four fields of the channel; of a change of background only its end is told."""
    kind = {COMPLETED: CHANGED, FAILED: NOT_CHANGED}.get(said.kind) if change_of else said.kind
    if kind is None:
        return None
    return {
        "type": kind,
        "generationId": change_of or str(request_id),
        "completed": said.tally.done,
        "total": said.tally.total,
    }
