"""When a subscription reads its document: at the first hint at once, then at most once per interval, the last always.

Pure: told of hints and of the end of each read, it calls `read` at the right moments by the clock it was given.
Between the begin of a read and `done` nothing more is begun, so a slow reader is read for less often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

INTERVAL_S = 0.25


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """What an event loop offers, and a test can fake."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer: ...


class Pace:
    def __init__(self, read: Callable[[], None], clock: Clock, interval_s: float = INTERVAL_S) -> None:
        self._read, self._clock, self._interval_s = read, clock, interval_s
        self._next_at = float("-inf")
        self._is_busy = self._is_due = self._is_urgent = self._is_stopped = False
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Read now, without counting towards the interval: the snapshot that a subscription starts with."""
        self._is_busy = True
        self._read()

    def hint(self, *, urgent: bool = False) -> None:
        """Something changed. urgent: an end, which waits for no interval."""
        self._is_due = True
        self._is_urgent |= urgent
        self._arrange()

    def done(self) -> None:
        """The read is over and its message is out; what was told meanwhile asks for another."""
        self._is_busy = False
        self._arrange()

    def stop(self) -> None:
        self._is_stopped = True
        self._forget_timer()

    def _arrange(self) -> None:
        if self._is_busy or self._is_stopped or not self._is_due:
            return
        wait_s = 0.0 if self._is_urgent else self._next_at - self._clock.time()
        if wait_s > 0:
            if self._timer is None:
                self._timer = self._clock.call_later(wait_s, self._when_due)
            return
        self._forget_timer()
        self._is_due = self._is_urgent = False
        self._is_busy = True
        self._next_at = self._clock.time() + self._interval_s
        self._read()

    def _when_due(self) -> None:
        self._timer = None
        self._next_at = float("-inf")
        self._arrange()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
