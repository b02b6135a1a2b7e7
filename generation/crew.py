"""The crew: the threads of one worker process, the claims they hold, and what a thread does while it is awake.

A thread that ends an item claims again before it goes. No signal ends a thread: every wait in a step has
a deadline of its own, and a lease is renewed only while its step is inside that deadline.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from django.db import connection

from generation import chores, engine
from generation.claim import Claim, Only, claim
from generation.models import Item, ItemStatus

log = logging.getLogger(__name__)

OTHERS_EVERY_S = 0.5
# Room around a step's own deadline for checking and storing what came.
KEEP_GRACE_S = 120.0
M_ARENA_MAX = -8  # of glibc's malloc.h


class Crew:
    """The threads of this process and the claims they hold. A seat is a thread that may work."""

    def __init__(self) -> None:
        self.seats = 1
        self.only = Only()
        self.stopping = threading.Event()
        self.busy = 0
        self._held: dict[tuple[int, int], float] = {}
        self._others_at = 0.0
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        return self.seats - self.busy

    def wake(self) -> bool:
        """Start a thread that works while there is some, if a seat is free."""
        with self._changed:
            if self.free < 1 or self.stopping.is_set():
                return False
            self.busy += 1
        threading.Thread(target=self._sit, name="item", daemon=True).start()
        return True

    def wake_for(self, things: int) -> int:
        """Start a thread for each of so many things to do, as far as seats are free; return how many started."""
        return sum(self.wake() for _ in range(things))

    def _sit(self) -> None:
        try:
            self._work_while_there_is_some()
        except Exception:
            log.exception("a thread of the worker failed")
        finally:
            connection.close()
            with self._changed:
                self.busy -= 1
                self._changed.notify_all()

    def _work_while_there_is_some(self) -> None:
        while not self.stopping.is_set():
            # One question instead of three: most threads that look find that others have taken what there was.
            ahead = engine.ahead(1)
            if self._is_time_for_others() and (ahead.polls and self._poll()) | (ahead.chores and chores.do_next()):
                continue  # there may be more to claim now
            taken = claim(1, only=self.only) if ahead.items else []
            if taken:
                self._work(taken[0])
                self._go_on(taken[0].item)
            elif not (ahead.polls and self._poll()) and not (ahead.chores and chores.do_next()):
                return

    def _poll(self) -> int:
        return engine.poll(self.wake_for, self._go_on)

    def _is_time_for_others(self) -> bool:
        """Say to one thread at a time that parked calls and chores have waited long enough behind new items.

        Behind a queue that never empties they would wait for ever, and a result that nobody fetches is
        paid for again.
        """
        with self._changed:
            is_time = time.monotonic() >= self._others_at
            if is_time:
                self._others_at = time.monotonic() + OTHERS_EVERY_S
        return is_time

    def _go_on(self, item: Item) -> None:
        """Go on with the next step of an item that was just worked: what that needs is still at hand. One for which a
        provider is asked takes its turn behind better classes."""
        while item.status == ItemStatus.QUEUED and not self.stopping.is_set():
            taken = claim(1, only=replace(self.only, item=item.pk, in_turn=not item.goes_on_with_us))
            if not taken:
                return
            self._work(taken[0])
            item = taken[0].item

    def _work(self, taken: Claim) -> None:
        """Work a claim; a fault that outlasts all patience leaves the item to the sweep."""
        with self._holding(taken):
            try:
                engine.work(taken)
            except Exception:
                log.exception("an item is left to the sweep", extra={"item": taken.item.public_id})
                connection.close()

    @contextmanager
    def _holding(self, taken: Claim) -> Iterator[None]:
        """Have the claim's lease renewed until its step's deadline, or until it ends."""
        key = (taken.item.pk, taken.fence)
        self._held[key] = time.monotonic() + taken.item.step_plan.timeout_s + KEEP_GRACE_S
        try:
            yield
        finally:
            self._held.pop(key, None)

    def held(self) -> list[tuple[int, int]]:
        """Return (item id, fence) of each claim whose step is still within its deadline."""
        now = time.monotonic()
        return [key for key, until in list(self._held.items()) if until > now]

    def wait_for_seat(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.free > 0 or self.stopping.is_set(), timeout_s)

    def wait_until_idle(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.busy == 0, timeout_s)


crew = Crew()


def share_heaps() -> None:
    """Have the threads share two heaps. By its own rule glibc gives eight to each CPU, and each keeps what it once
    held: a hundred threads with pictures took 1.5 times the memory, and a quarter more CPU for its pages.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # other C libraries have none
        mallopt(M_ARENA_MAX, 2)
