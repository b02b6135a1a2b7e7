"""The ear of one socket process: takes hints from the channel layer and tells the sockets they concern.

One ear per person who has a socket here, not one per socket: the layer's own buffers are unbounded, so they are
emptied at once, and a hint only marks subscriptions. Hints may be lost (the layer drops silently, Redis may be
down), so every few seconds one query asks how far the followed requests are, and what no hint told is told then:
every end arrives. While hints are missed, that question comes every second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from generation import events
from generation.live.documents import news
from generation.live.reader import ask
from generation.models import EventKind

log = logging.getLogger(__name__)

LOOK_S = 5.0
DEAF_LOOK_S = 1.0
LAYER_S = 2.0
QUIET_S = 30.0

ITEM_ENDS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED)
REQUEST_ENDS = (EventKind.REQUEST_COMPLETED, EventKind.REQUEST_FAILED, EventKind.REQUEST_CANCELLED)


@dataclass(frozen=True)
class Hint:
    """Something changed in a request; item_id None: in more than one item, in none, or not known."""

    request_id: UUID
    item_id: int | None
    kind: str
    seq: int

    @property
    def ends_item(self) -> bool:
        return self.kind in ITEM_ENDS

    @property
    def ends_request(self) -> bool:
        return self.kind in REQUEST_ENDS


class Listener(Protocol):
    """What the hub knows of a socket."""

    @property
    def user_id(self) -> UUID: ...

    def followed(self) -> Iterable[UUID]:
        """The requests whose changes it wants to hear of."""

    @property
    def follows_all(self) -> bool:
        """Whether it wants to hear of its person's new requests too."""

    def hear(self, hint: Hint) -> None:
        """A hint of its person came."""

    def catch_up(self, seqs: Mapping[UUID, int]) -> bool:
        """So far are the person's requests; True when something is further than it was told."""


class Ear:
    """Listens for one person, from its making until `close`: a channel of its own in their group."""

    def __init__(self, user_id: UUID, tell: Callable[[UUID, Hint], None]) -> None:
        self._user_id, self._tell = user_id, tell
        self._opened: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._listen())

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    async def opened(self) -> Exception | None:
        """Wait until it hears; return what the layer's client raised when it never will."""
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        layer = get_channel_layer()
        group = events.group_of(self._user_id)
        try:
            async with asyncio.timeout(LAYER_S):
                channel = await layer.new_channel("live.")
                await layer.group_add(group, channel)
        except Exception as error:  # whatever a Redis client raises
            self._opened.set_result(error)
            return
        except asyncio.CancelledError:
            self._opened.cancel()
            raise
        self._opened.set_result(None)
        try:
            while True:
                message = await layer.receive(channel)
                self._tell(
                    self._user_id, Hint(UUID(message["request"]), message["item"], message["kind"], message["seq"])
                )
        finally:
            with suppress(Exception):  # Redis forgets the subscriptions of a lost connection by itself
                async with asyncio.timeout(LAYER_S):
                    await layer.group_discard(group, channel)


class Hub:
    """The ears and listeners of one event loop."""

    look_s: ClassVar[float] = LOOK_S
    deaf_look_s: ClassVar[float] = DEAF_LOOK_S
    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._listeners: dict[UUID, set[Listener]] = {}
        self._ears: dict[UUID, Ear] = {}
        self._looking: asyncio.Task[None] | None = None
        self._is_deaf = False
        self._quiet_until = 0.0

    @classmethod
    def here(cls) -> Hub:
        """The hub of this process's event loop."""
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    async def join(self, listener: Listener) -> None:
        """Hear for a socket from now on. With Redis down it returns all the same; the looks make up for it."""
        self._listeners.setdefault(listener.user_id, set()).add(listener)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_again_and_again())
        if not self._is_deaf:
            await self._listen_for(listener.user_id)

    async def leave(self, listener: Listener) -> None:
        """Hear for it no longer; what nobody needs any more ends with it."""
        user_id = listener.user_id
        self._listeners.get(user_id, set()).discard(listener)
        if not self._listeners.get(user_id):
            self._listeners.pop(user_id, None)
            if ear := self._ears.pop(user_id, None):
                await ear.close()
        await self._rest_if_alone()

    async def _rest_if_alone(self) -> None:
        if not self._listeners and self._looking is not None:
            looking, self._looking = self._looking, None
            self._is_deaf = False
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _listen_for(self, user_id: UUID) -> None:
        """Have an open ear for a person who has a socket here."""
        ear = self._ears.get(user_id)
        if ear is None or ear.has_ended:
            ear = self._ears[user_id] = Ear(user_id, self._tell)
        error = await ear.opened()
        self._is_deaf = error is not None
        if error is not None:
            self._complain("hints cannot be heard, sockets look by themselves: %s", error)

    def _tell(self, user_id: UUID, hint: Hint) -> None:
        for listener in tuple(self._listeners.get(user_id, ())):
            listener.hear(hint)

    async def _look_again_and_again(self) -> None:
        has_missed = False
        while True:
            await asyncio.sleep(self.deaf_look_s if self._is_deaf or has_missed else self.look_s)
            for user_id in list(self._listeners):
                await self._listen_for(user_id)
                if self._is_deaf:
                    break
            has_missed = await self.look()

    async def look(self) -> bool:
        """Ask how far everything followed here is, and tell it; True when hints were missed. One query for all."""
        listeners = [listener for those in self._listeners.values() for listener in those]
        followed = {request_id for listener in listeners for request_id in listener.followed()}
        everything_of = {listener.user_id for listener in listeners if listener.follows_all}
        if not followed and not everything_of:
            return False
        try:
            seqs = await ask(news, followed, everything_of)
        except Exception as error:  # the next look asks again
            self._complain("how far the requests are cannot be read: %s", error)
            return True
        missed = [listener.catch_up(seqs.get(listener.user_id, {})) for listener in listeners]
        return any(missed)

    def _complain(self, text: str, error: Exception) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET_S
            log.warning(text, type(error).__name__)


class Seldom(logging.Filter):
    """Lets a library complain once in a while: with Redis down it would print a traceback each second."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if time.monotonic() < self._quiet_until:
            return False
        self._quiet_until = time.monotonic() + QUIET_S
        return True


logging.getLogger("channels_redis.pubsub").addFilter(Seldom())
