"""What the pose generator's sockets read: generations and changes of backgrounds, in the door's live messages.

A snapshot says how one stands: begun and how far, or how it ended; one that has not begun is not spoken of.
Afterwards each event is told once, in order, as `telling` says. A bug in one does not spoil its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from generation.doors.poses import plan, present, telling
from generation.doors.poses.tallies import ENDED_BADLY
from generation.doors.poses.telling import NOW, Happened, Said, Standing, said_of
from generation.live.documents import Update, caught, one_view
from generation.models import Event, EventKind, Item, Request, RequestStatus

UPDATE = "pose-generation-update"
ENDED = (RequestStatus.COMPLETED, RequestStatus.FAILED, RequestStatus.CANCELLED)
# Whoever connects hears how these ended: who was cut off in the middle comes back within it.
RECENT = timedelta(minutes=15)
# Open work is younger than this, or nearly all of it: what is older is told when it moves.
OLDEST = timedelta(days=2)
MOST_SHOWN = 50


@dataclass(frozen=True)
class PoseKey:
    """A request of the door. after: the seq the reader has been told; None asks for a snapshot.

    only: tells it only when it is that generation, or changes a pose of it. is_asked: the client named it, so
    that its end is told however long ago that was.
    """

    request_id: UUID
    after: int | None
    base_url: str
    only: UUID | None = None
    is_asked: bool = False


def find_generation(owner_id: UUID, name: str) -> UUID | None:
    """One's own generation of that id. One query."""
    try:
        found = present.generations(owner_id).filter(pk=UUID(name))
    except ValueError:
        return None
    return found.values_list("pk", flat=True).first()


def current(owner_id: UUID) -> list[UUID]:
    """What a person has open in this door, and what ended just now; the newest, oldest first. One query."""
    now = timezone.now()
    mine = Request.objects.filter(owner_id=owner_id, door=plan.DOOR, erased_at=None, created_at__gt=now - OLDEST)
    told = mine.filter(~Q(status__in=ENDED) | Q(finished_at__gt=now - RECENT))
    return list(told.order_by("-created_at").values_list("pk", flat=True)[:MOST_SHOWN])[::-1]


# --- Reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """What a round of documents is made of. changes: of changes of backgrounds, their one item."""

    requests: Mapping[UUID, Request]
    standings: Mapping[PoseKey, Standing]
    events: Mapping[PoseKey, list[Happened]]
    changes: Mapping[UUID, Item]
    failures: Mapping[UUID, Item]


def read_poses(keys: Sequence[PoseKey]) -> dict[PoseKey, Update | Exception]:
    """Read and spell generations and changes. Three queries, five when some are changes or have failed."""
    with one_view():
        mine = Request.objects.filter(door=plan.DOOR, erased_at=None)
        requests = mine.in_bulk({key.request_id for key in keys})
        there = [key for key in keys if key.request_id in requests]
        standings = telling.standings([(key.request_id, NOW if key.after is None else key.after) for key in there])
        rows = _Rows(
            requests,
            dict(zip(there, standings, strict=True)),
            _events([key for key in there if key.after is not None]),
            {
                item.request_id: item
                for item in Item.objects.filter(request__in=_changes(requests.values())).select_related("request")
            },
            _failures(requests.values()),
        )
        return {key: caught(lambda key=key: _update(key, rows)) for key in keys}


def _changes(requests: Iterable[Request]) -> list[UUID]:
    return [request.pk for request in requests if request.group.startswith(plan.CHANGE_GROUP)]


def _failures(requests: Iterable[Request]) -> dict[UUID, Item]:
    """The last pose that failed, of generations that failed."""
    failed = [request.pk for request in requests if request.status in (RequestStatus.FAILED, RequestStatus.CANCELLED)]
    if not failed:
        return {}
    items = Item.objects.filter(request__in=failed, status__in=ENDED_BADLY).order_by("request", "-finished_at", "-pk")
    return {item.request_id: item for item in items.distinct("request")}


def _events(keys: Sequence[PoseKey]) -> dict[PoseKey, list[Happened]]:
    """What happened since each key's seq, in order. One query."""
    found: dict[PoseKey, list[Happened]] = {key: [] for key in keys}
    if not keys:
        return found
    since = Q(pk__in=[])
    for key in keys:
        since |= Q(request=key.request_id, seq__gt=key.after)
    of_request: dict[UUID, list[PoseKey]] = {}
    for key in keys:
        of_request.setdefault(key.request_id, []).append(key)
    events = Event.objects.filter(since, kind__in=telling.TELLING).order_by("request", "seq")
    for request_id, seq, kind, at, round_ in events.values_list("request", "seq", "kind", "at", "data__round"):
        happened = Happened(seq, kind, at, is_reopened=kind == EventKind.QUEUED and round_ is not None)
        for key in of_request[request_id]:
            if key.after is not None and seq > key.after:
                found[key].append(happened)
    return found


# --- Spelling ------------------------------------------------------------------------------------


def _update(key: PoseKey, rows: _Rows) -> Update:
    request = rows.requests.get(key.request_id)
    if request is None:
        # Of another door: nothing that happens to it is told here, so it need not be read again.
        return Update((), 0, NOW, is_final=True)
    is_final = request.status in ENDED
    if not _is_wanted(key, request, rows):
        return Update((), request.seq, request.seq, is_final)
    if key.after is None:
        told = [payload | {"snapshot": True} for payload in _snapshot(key, request, rows)]
    else:
        said = said_of(rows.events[key], rows.standings[key].tally)
        told = [payload for one in said if (payload := _payload(one, key, request, rows))]
    return Update(
        tuple(json.dumps({"event": UPDATE, **payload}) for payload in told), request.seq, request.seq, is_final
    )


def _is_wanted(key: PoseKey, request: Request, rows: _Rows) -> bool:
    change_of = rows.standings[key].change_of
    return key.only is None or str(key.only) == (change_of or str(request.pk))


def _snapshot(key: PoseKey, request: Request, rows: _Rows) -> list[dict[str, Any]]:
    """How it stands: nothing of one that waits, nor of an end that is long past and was not asked for."""
    now, tally = datetime.now(UTC), rows.standings[key].tally
    if request.status == RequestStatus.QUEUED:
        return []
    if request.status not in ENDED:
        kinds = [telling.STARTED, *([telling.PROGRESS] if tally.processed else [])]
    elif key.is_asked or (request.finished_at and request.finished_at > now - RECENT):
        kinds = [telling.COMPLETED if request.status == RequestStatus.COMPLETED else telling.FAILED]
    else:
        kinds = []
    said = [Said(kind, tally, now, request.seq) for kind in kinds]
    return [payload for one in said if (payload := _payload(one, key, request, rows))]


def _payload(said: Said, key: PoseKey, request: Request, rows: _Rows) -> dict[str, Any] | None:
    """Spell one message; None: of a change only the end is told."""
    if change := rows.changes.get(request.pk):
        return telling.present_change(change, key.base_url, said.at) if _tells_end(said, change) else None
    failure = rows.failures.get(request.pk) if said.kind == telling.FAILED else None
    return telling.present_update(request, said.kind, said.tally, failure, said.at)


def _tells_end(said: Said, change: Item) -> bool:
    """Does this message tell how the change has ended? An earlier end that staff reopened is not told any more."""
    ended_well = change.status == change.Status.SUCCEEDED
    return change.is_final and said.kind == (telling.COMPLETED if ended_well else telling.FAILED)
