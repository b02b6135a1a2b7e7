"""Database reads for sockets: a small pool of threads of their own, and reads that many sockets share.

Channels' own bridge has one thread for everything, in which 500 sockets would queue up. Here what is wanted
at the same moment is read together, once per key, and the connection goes back to the pool after each read.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, ParamSpec, TypeVar

from django.db import connections

THREADS = 4
# Rounds of one reader at a time, so that questions of newcomers find a free thread; and keys per round.
ROUNDS = 2
MOST_KEYS = 100

_pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="live")

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


async def ask(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that may use the database, in a thread of the pool."""
    context = contextvars.copy_context()

    def in_thread() -> T:
        try:
            return context.run(question, *args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.get_running_loop().run_in_executor(_pool, in_thread)


class Reader(Generic[K, T]):
    """Reads many keys in one call of `read_many`, which returns for each what it found or an exception.

    A key that is wanted again before its round began shares that read; once the round runs, a new one is
    made, because the running one may have looked before the change that is asked about.
    """

    def __init__(self, read_many: Callable[[Sequence[K]], Mapping[K, T | Exception]]) -> None:
        self._read_many = read_many
        self._wanted: dict[K, asyncio.Future[T]] = {}
        self._running = 0
        self._is_called = False

    def want(self, key: K) -> asyncio.Future[T]:
        """Ask for a key. The future belongs to everybody who asked: do not cancel it."""
        if key not in self._wanted:
            loop = asyncio.get_running_loop()
            self._wanted[key] = loop.create_future()
            if not self._is_called:
                # At the end of this turn of the loop: one hint may concern many sockets.
                self._is_called = True
                loop.call_soon(self._start)
        return self._wanted[key]

    def _start(self) -> None:
        self._is_called = False
        while self._wanted and self._running < ROUNDS:
            keys = list(self._wanted)[:MOST_KEYS]
            futures = {key: self._wanted.pop(key) for key in keys}
            self._running += 1
            task = asyncio.ensure_future(ask(self._read_many, keys))
            task.add_done_callback(lambda task, futures=futures: self._ended(task, futures))  # type: ignore[misc]

    def _ended(self, task: asyncio.Future[Mapping[K, T | Exception]], futures: dict[K, asyncio.Future[T]]) -> None:
        self._running -= 1
        fault = asyncio.CancelledError() if task.cancelled() else task.exception()
        for key, future in futures.items():
            found = fault or task.result()[key]
            if future.done():
                continue
            if isinstance(found, asyncio.CancelledError):
                future.cancel()
            elif isinstance(found, BaseException):
                future.set_exception(found)
            else:
                future.set_result(found)
        self._start()
