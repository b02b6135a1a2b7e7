"""The console's clock: while somebody watches, reads the totals at most twice a second and shows all of them the same.

Ticks are numbered, and a number is used up also when the totals could not be read, so that whoever watches sees
what is missing. `ticker` changes with the process: after a reconnect the numbers may start anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

from generation.live import totals
from generation.live.reader import ask

log = logging.getLogger(__name__)

TICK_S = 0.5
# With a long queue the totals take longer to read: then at most a tenth of the time goes into reading.
SHARE = 10


class Watcher(Protocol):
    def show(self, tick: str) -> None: ...


class Ticker:
    tick_s: ClassVar[float] = TICK_S
    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Ticker]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._task: asyncio.Task[None] | None = None
        self._name = secrets.token_hex(4)
        self._number = 0
        self._last = ""

    @classmethod
    def here(cls) -> Ticker:
        """The ticker of this process's event loop."""
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    def watch(self, watcher: Watcher) -> None:
        """Show ticks to somebody from now on, the last one at once if the clock is running."""
        self._watchers.add(watcher)
        if self._task is None:
            self._task = asyncio.create_task(self._tick_again_and_again())
        elif self._last:
            watcher.show(self._last)

    async def unwatch(self, watcher: Watcher) -> None:
        """Show them no more; the clock stops when nobody is left."""
        self._watchers.discard(watcher)
        if not self._watchers and self._task is not None:
            task, self._task, self._last = self._task, None, ""
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _tick_again_and_again(self) -> None:
        clock = asyncio.get_running_loop()
        while True:
            began = clock.time()
            await self._tick()
            took_s = clock.time() - began
            await asyncio.sleep(max(self.tick_s - took_s, (SHARE - 1) * took_s))

    async def _tick(self) -> None:
        self._number += 1
        try:
            figures: dict[str, Any] = await ask(totals.read)
        except Exception as error:  # the next tick tries again; the gap in the numbers says it
            log.warning("the desk's totals cannot be read: %s", type(error).__name__)
            return
        self._last = json.dumps({"type": "tick", "ticker": self._name, "tick": self._number, **figures})
        for watcher in tuple(self._watchers):
            watcher.show(self._last)
