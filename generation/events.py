"""Writes events and tells the sockets: the only room that says `group_send`, and what Redis channels hear.

`change(request_id)` opens the transaction in which a request or its items change. It begins by raising
the request's `seq`, which is the lock that numbers the events and orders the commits; events recorded
inside are inserted together at its end, and one hint goes out after the commit. A hint says only that
something changed: the document says what. A door whose source system told Redis subscribers more spells that
for itself (`settings.DOOR_CHANNELS`). Publishing fails soft: with Redis down nothing but time is lost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction
from django.db.models import F, Model
from django.utils import timezone
from django.utils.module_loading import import_string

from config.api import redis, sql
from generation.models import Event, EventKind, Request, rows

log = logging.getLogger(__name__)

# Hints that may wait for Redis in one process before further ones are dropped: they are only hints.
MAX_UNSENT_HINTS = 1000
PUBLISH_S = 2.0


def group_of(user_id: UUID | str) -> str:
    """Name the channel group of one person's sockets. Group names may not contain a colon."""
    return f"user.{UUID(str(user_id)).hex}"


@dataclass
class Change:
    """One transaction that changes a request: its lock, its clock, its events. is_mirrored: it has side files.

    new, altered, others: what is written beside the events by the one statement that ends it.
    """

    request_id: UUID
    owner_id: UUID
    door: str
    status: str
    round: int
    next_seq: int
    actor: str
    now: datetime
    is_mirrored: bool = False
    group: str = ""
    events: list[Event] = field(default_factory=list)
    new: dict[type[Model], list[Model]] = field(default_factory=dict)
    altered: dict[tuple[type[Model], Any], dict[str, Any]] = field(default_factory=dict)
    others: dict[str, sql.Part] = field(default_factory=dict)

    def also(self, name: str, part: sql.Part) -> None:
        """Have a part run along when the change ends, the last of each name; it reads nothing."""
        self.others[name] = part

    def add(self, *instances: Model) -> None:
        """Insert new rows when the change ends."""
        for instance in instances:
            self.new.setdefault(type(instance), []).append(instance)

    def alter(self, model: type[Model], pk: Any, **to: Any) -> None:
        """Give a row other values when the change ends."""
        self.altered.setdefault((model, pk), {}).update(to)

    def record(self, kind: EventKind, item_id: int | None = None, **data: Any) -> None:
        """Add an event; it is inserted when the change ends."""
        self.events.append(
            Event(
                request_id=self.request_id,
                item_id=item_id,
                seq=self.next_seq,
                kind=kind,
                at=self.now,
                actor=self.actor,
                data=data,
            )
        )
        self.next_seq += 1


@contextmanager
def change(request_id: UUID, *, actor: str = "", reserve: int = 8) -> Iterator[Change]:
    """Open the transaction of one change; `reserve` is how many events it is likely to record.

    Numbers that were reserved and not used leave gaps: they only ever rise. Raises LookupError when
    there is no such request. Two queries beside the caller's own, three when it records more events: whatever
    need not be known before is written by the last.
    """
    with transaction.atomic():
        with sql.cursor() as cursor:
            cursor.execute(
                "UPDATE generation_request SET seq = seq + %s WHERE id = %s"
                ' RETURNING owner_id, door, status, round, seq, clock_timestamp(), mirrored_seq IS NOT NULL, "group"',
                [reserve, request_id],
            )
            row = cursor.fetchone()
        if row is None:
            raise LookupError(f"no request {request_id}")
        owner_id, door, status, round_, seq, now, is_mirrored, group = row
        this = Change(request_id, owner_id, door, status, round_, seq - reserve + 1, actor, now, is_mirrored, group)
        yield this
        if (more := len(this.events) - reserve) > 0:
            # The row is ours until the commit, so the numbers that follow are, too.
            Request.objects.filter(pk=request_id).update(seq=F("seq") + more)
        if this.events or this.new or this.altered or this.others:
            altered = (rows.Altered(model, pk, to) for (model, pk), to in this.altered.items())
            rows.store((*this.new.values(), this.events), altered, *this.others.values())
        if this.events:
            announce(this)


def submitted(request_id: UUID, owner_id: UUID, door: str, **data: Any) -> Event:
    """Make the first event of a new request, whose seq is 1, and tell of it after the commit. Timed by the database.

    The statement that stores the request stores it too: one question less on the path of every submit.
    """
    this = Change(request_id, owner_id, door, "QUEUED", 0, 1, "", rows.NOW)
    this.record(EventKind.SUBMITTED, **data)
    announce(this)
    return this.events[0]


def announce(this: Change) -> None:
    """Publish one hint for this change after its commit, and what its door has for Redis subscribers."""
    last = this.events[-1]
    items = {event.item_id for event in this.events if event.item_id}
    hint(this.owner_id, this.request_id, items.pop() if len(items) == 1 else None, EventKind(last.kind), last.seq)
    if spell := settings.DOOR_CHANNELS.get(this.door):
        # robust: what was committed stays so, and its caller goes on, whatever becomes of telling it.
        transaction.on_commit(lambda: _publisher.publish(import_string(spell)(this)), robust=True)


def hint(owner_id: UUID, request_id: UUID, item_id: int | None, kind: EventKind, seq: int) -> None:
    """Tell an owner's sockets after the commit that something changed; item_id None: more than one item, or none."""
    message = {"type": "hint", "request": str(request_id), "item": item_id, "kind": str(kind), "seq": seq}
    transaction.on_commit(lambda: _publisher.send(group_of(owner_id), message))


class _Publisher:
    """One event loop in one thread per process carries all hints, over one connection.

    async_to_sync would make a loop and a Redis connection for every message.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_order = asyncio.Lock()
        self._unsent = 0
        self._quiet_until = timezone.now()

    def send(self, group: str, message: dict[str, Any]) -> None:
        """Hand a message to the sockets of a group, soon."""
        self._soon(lambda: self._send(group, message))

    def publish(self, messages: Sequence[tuple[str, str]]) -> None:
        """Publish texts on Redis channels (channel and text of each), soon and in order. One round trip."""
        if messages:
            self._soon(lambda: self._publish(messages))

    async def _send(self, group: str, message: dict[str, Any]) -> None:
        if (layer := get_channel_layer()) is not None:
            await layer.group_send(group, message)

    async def _publish(self, messages: Sequence[tuple[str, str]]) -> None:
        pipe = redis.client().pipeline(transaction=False)
        for channel, text in messages:
            pipe.publish(channel, text)
        async with self._in_order:
            await asyncio.to_thread(pipe.execute)

    def _soon(self, tell: Callable[[], Awaitable[None]]) -> None:
        if self._unsent >= MAX_UNSENT_HINTS:
            return
        self._unsent += 1
        asyncio.run_coroutine_threadsafe(self._told(tell), self._started())

    async def _told(self, tell: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(PUBLISH_S):
                await tell()
        except Exception as error:  # Redis is down or slow; sockets catch up from the rows
            if timezone.now() >= self._quiet_until:
                self._quiet_until = timezone.now() + timedelta(seconds=30)
                log.warning("hints cannot be published: %s", type(error).__name__)
        finally:
            self._unsent -= 1

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="hints", daemon=True).start()
            return self._loop


_publisher = _Publisher()
