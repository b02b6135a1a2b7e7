"""What sockets read: items in their door's words, requests in the desk's own. Runs in threads, many keys at a time.

Each round is one short transaction with one view of the rows, so that a document, its `seq` and the events
before it belong together. A text is spelled once for all sockets that want it. Bugs in one document do not
spoil its neighbours: they come back as that key's exception.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from generation.live.spelling import Page, spell_request
from generation.models import Event, EventKind, Item, Request

# Events that one message tells; who missed more gets a snapshot.
MOST_EVENTS = 200
# How many of a person's newest requests `news` looks at besides the followed ones.
NEWEST = 20

ITEM_ENDS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED)


@dataclass(frozen=True)
class ItemKey:
    """An item as its door spells it. after: the seq the reader has been told; None asks for a snapshot."""

    item_id: int
    after: int | None
    base_url: str


@dataclass(frozen=True)
class RequestKey:
    """A request as /ws/live spells it; `after` as above."""

    request_id: UUID
    after: int | None
    base_url: str


@dataclass(frozen=True)
class Update:
    """What to send, in order; nothing when nothing was missed. seq: the newest event told; read_to: the rows' own."""

    texts: tuple[str, ...]
    seq: int
    read_to: int
    is_final: bool


# --- Looking up what a client names --------------------------------------------------------------


def find_item(owner_id: UUID, door: str, public_id: str) -> tuple[int, UUID] | None:
    """The item of that name, and its request, when it is this person's. One query."""
    return Item.objects.filter(public_id=public_id, door=door, owner=owner_id).values_list("pk", "request_id").first()


def find_request(owner_id: UUID, name: str) -> UUID | None:
    """The request of that id, public id, or item's public id, when it is this person's. At most two queries."""
    own = Request.objects.filter(owner=owner_id)
    try:
        found = own.filter(pk=UUID(name))
    except ValueError:
        found = own.filter(public_id=name)
    request_id = found.values_list("pk", flat=True).first()
    if request_id is not None:
        return request_id
    return Item.objects.filter(public_id=name, owner=owner_id).values_list("request_id", flat=True).first()


def newest(owner_id: UUID, most: int) -> list[UUID]:
    """A person's newest requests, oldest first. One query."""
    ids = Request.objects.filter(owner=owner_id).order_by("-created_at").values_list("pk", flat=True)[:most]
    return list(ids)[::-1]


_NEWS = """
SELECT owner_id, id, seq FROM generation_request WHERE id = ANY(%(followed)s)
UNION
SELECT n.owner_id, n.id, n.seq FROM unnest(%(everything_of)s::uuid[]) AS who(id) CROSS JOIN LATERAL (
    SELECT r.owner_id, r.id, r.seq FROM generation_request r
    WHERE r.owner_id = who.id ORDER BY r.created_at DESC LIMIT %(newest)s
) AS n
"""


def news(followed: Collection[UUID], everything_of: Collection[UUID]) -> dict[UUID, dict[UUID, int]]:
    """How far requests are: owner -> request -> seq, of those followed and people's newest ones. One query."""
    found: dict[UUID, dict[UUID, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_NEWS, {"followed": list(followed), "everything_of": list(everything_of), "newest": NEWEST})
        for owner_id, request_id, seq in cursor.fetchall():
            found.setdefault(owner_id, {})[request_id] = seq
    return found


# --- Items, in their door's words ----------------------------------------------------------------


def read_items(keys: Sequence[ItemKey]) -> dict[ItemKey, Update | Exception]:
    """Read and spell items. Two queries, and what a door's spelling asks beside them."""
    with one_view():
        items = Item.objects.select_related("request").in_bulk({key.item_id for key in keys})
        told = _item_events([key for key in keys if key.after is not None])
        return {key: caught(lambda key=key: _item_update(key, items, told.get(key, []))) for key in keys}


def _item_update(key: ItemKey, items: Mapping[int, Item], told: Sequence[tuple[int, str]]) -> Update:
    item = items[key.item_id]
    read_to = item.request.seq
    if key.after is None:
        return Update((_spell_item(item, None, read_to, key.base_url),), read_to, read_to, item.is_final)
    if not told:
        return Update((), key.after, read_to, item.is_final)
    seq = told[-1][0]
    return Update((_spell_item(item, _word(item, told), seq, key.base_url),), seq, read_to, item.is_final)


def _word(item: Item, told: Sequence[tuple[int, str]]) -> str | None:
    """Which of several events a message is called after; None is a mere change of the document.

    The end above all, and once: what follows it (a refund) must not say it again. Then a start, which the
    progress after it must not hide. Then the newest.
    """
    kinds = [kind for _, kind in told]
    if item.is_final:
        return next((kind for kind in reversed(kinds) if kind in ITEM_ENDS), None)
    return EventKind.STARTED if EventKind.STARTED in kinds else kinds[-1]


def _spell_item(item: Item, kind: str | None, seq: int, base_url: str) -> str:
    present_event = import_string(f"{settings.DOORS[item.door]}.present.present_event")
    data = present_event(item, kind, seq, base_url)
    return json.dumps({"type": "update", "requestId": item.public_id, "data": data}, default=str)


_ITEM_EVENTS = """
SELECT w.nth, e.seq, e.kind FROM unnest(%(items)s::bigint[], %(after)s::bigint[]) WITH ORDINALITY AS w(item, after, nth)
CROSS JOIN LATERAL (
    SELECT seq, kind FROM generation_event WHERE item_id = w.item AND seq > w.after ORDER BY seq DESC LIMIT %(most)s
) AS e ORDER BY w.nth, e.seq
"""


def _item_events(keys: Sequence[ItemKey]) -> dict[ItemKey, list[tuple[int, str]]]:
    if not keys:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            _ITEM_EVENTS,
            {"items": [key.item_id for key in keys], "after": [key.after for key in keys], "most": MOST_EVENTS},
        )
        found: dict[ItemKey, list[tuple[int, str]]] = {}
        for nth, seq, kind in cursor.fetchall():
            found.setdefault(keys[nth - 1], []).append((seq, kind))
    return found


# --- Requests, in the desk's own words -----------------------------------------------------------


def read_requests(keys: Sequence[RequestKey]) -> dict[RequestKey, Update | Exception]:
    """Read and spell requests: those that missed few events as an event, others whole. Five queries at most."""
    with one_view():
        requests = Request.objects.in_bulk({key.request_id for key in keys})
        events = _request_events([key for key in keys if key.after is not None])
        there = [key for key in keys if key.request_id in requests]
        changed = [
            (key.request_id, _changed_items(key, requests[key.request_id], events.get(key, []))) for key in there
        ]
        page = Page.read(requests.values(), changed)
        return {
            key: caught(lambda key=key: _request_update(key, requests[key.request_id], events.get(key, []), page))
            for key in keys
        }


def _is_snapshot(key: RequestKey, request: Request, events: Sequence[Event]) -> bool:
    # Numbers beyond our own come from another desk, or from a database that was put back.
    return key.after is None or key.after > request.seq or len(events) > MOST_EVENTS


def _changed_items(key: RequestKey, request: Request, events: Sequence[Event]) -> set[int] | None:
    """The items that a message tells of; None is all of them."""
    if _is_snapshot(key, request, events) or any(event.kind == EventKind.SUBMITTED for event in events):
        return None
    return {event.item_id for event in events if event.item_id is not None}


def _request_update(key: RequestKey, request: Request, events: Sequence[Event], page: Page) -> Update:
    is_final = request.status in ("COMPLETED", "FAILED", "CANCELLED")
    if _is_snapshot(key, request, events):
        text = spell_request(page, request, None, None, request.seq, key.base_url, datetime.now(UTC))
        return Update((text,), request.seq, request.seq, is_final)
    if not events:
        return Update((), key.after or 0, request.seq, is_final)
    seq = events[-1].seq
    items = _changed_items(key, request, events)
    text = spell_request(page, request, items, events, seq, key.base_url, events[-1].at)
    return Update((text,), seq, request.seq, is_final)


_REQUEST_EVENTS = """
SELECT w.nth, e.id, e.seq, e.kind, e.at, e.item_id
FROM unnest(%(requests)s::uuid[], %(after)s::bigint[]) WITH ORDINALITY AS w(request, after, nth)
CROSS JOIN LATERAL (
    SELECT id, seq, kind, at, item_id FROM generation_event
    WHERE request_id = w.request AND seq > w.after ORDER BY seq LIMIT %(most)s
) AS e ORDER BY w.nth, e.seq
"""


def _request_events(keys: Sequence[RequestKey]) -> dict[RequestKey, list[Event]]:
    """Events since each key's seq, one more than may be told, so that too many are seen."""
    if not keys:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            _REQUEST_EVENTS,
            {
                "requests": [key.request_id for key in keys],
                "after": [key.after for key in keys],
                "most": MOST_EVENTS + 1,
            },
        )
        found: dict[RequestKey, list[Event]] = {}
        for nth, pk, seq, kind, at, item_id in cursor.fetchall():
            event = Event(pk=pk, request_id=keys[nth - 1].request_id, seq=seq, kind=kind, at=at, item_id=item_id)
            found.setdefault(keys[nth - 1], []).append(event)
    return found


# --- Both ----------------------------------------------------------------------------------------


@contextmanager
def one_view() -> Iterator[None]:
    """Read inside with one view of the rows: a commit between two queries is seen by none of them."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def caught(spell: Any) -> Any:
    try:
        return spell()
    except Exception as bug:
        return bug
