"""A subscription: one document that a socket follows, read at its pace and sent in order of `seq`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, Protocol
from uuid import UUID

from generation.live.documents import Update
from generation.live.hub import Hint
from generation.live.pace import INTERVAL_S, Clock, Pace

Want = Callable[[int | None], "asyncio.Future[Update]"]


class Outlet(Protocol):
    """What a subscription needs of its socket."""

    def push(self, text: str, then: Callable[[], None] | None = None) -> None: ...

    def failed(self, error: BaseException) -> None: ...


class Subscription:
    """want: asks for the document since a seq (None: a snapshot). after: what the client says it has seen."""

    interval_s: ClassVar[float] = INTERVAL_S

    def __init__(
        self, outlet: Outlet, request_id: UUID, item_id: int | None, want: Want, *, after: int | None = None
    ) -> None:
        self.request_id, self.item_id = request_id, item_id
        self.is_final = False
        self._outlet, self._want, self._after = outlet, want, after
        self._read_to = -1
        self._is_stopped = False
        clock: Clock = asyncio.get_running_loop()
        self._pace = Pace(self._read, clock, self.interval_s)

    def begin(self) -> None:
        """Send the snapshot, or what the client has missed."""
        self._pace.begin()

    def hear(self, hint: Hint) -> None:
        """Take a hint of this request; one about another item is none of ours."""
        if hint.seq > self._read_to and (self.item_id is None or hint.item_id in (None, self.item_id)):
            # An end waits for no interval; but not the end of one of many items, of which there may be a crowd.
            self._pace.hint(urgent=hint.ends_request or (hint.ends_item and hint.item_id == self.item_id))

    def catch_up(self, seq: int) -> bool:
        """So far is the request by its row; True when that lies beyond the last read: no hint had told it."""
        if seq <= self._read_to:
            return False
        self._pace.hint()
        return True

    def stop(self) -> None:
        self._is_stopped = True
        self._pace.stop()

    def _read(self) -> None:
        self._want(self._after).add_done_callback(self._found)

    def _found(self, found: asyncio.Future[Update]) -> None:
        error = None if found.cancelled() else found.exception()
        if self._is_stopped or found.cancelled():
            return
        if error is not None:
            self._outlet.failed(error)
            return
        update = found.result()
        self.is_final, self._read_to = update.is_final, max(self._read_to, update.read_to)
        self._after = update.seq
        for text in update.texts[:-1]:
            self._outlet.push(text)
        if update.texts:
            self._outlet.push(update.texts[-1], self._pace.done)
        else:
            self._pace.done()
