"""When a subscription reads, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from generation.live.pace import Pace


class FakeTimer:
    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at, self.callback, self.is_cancelled = at, callback, False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> FakeTimer:
        self.timers.append(FakeTimer(self.now + delay, callback))
        return self.timers[-1]

    def turn(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer.at <= self.now and not timer.is_cancelled]
        self.timers = [timer for timer in self.timers if timer not in due and not timer.is_cancelled]
        for timer in due:
            timer.callback()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reads() -> list[float]:
    return []


@pytest.fixture
def pace(clock: FakeClock, reads: list[float]) -> Pace:
    return Pace(lambda: reads.append(clock.now), clock, interval_s=0.25)


def test_the_first_hint_is_read_at_once(pace: Pace, reads: list[float]) -> None:
    pace.hint()
    assert reads == [100.0]


def test_a_snapshot_does_not_keep_the_first_hint_waiting(pace: Pace, reads: list[float]) -> None:
    pace.begin()
    pace.done()
    pace.hint()
    assert reads == [100.0, 100.0]


def test_a_burst_of_hints_makes_two_reads_the_last_one_after_the_last_hint(
    pace: Pace, clock: FakeClock, reads: list[float]
) -> None:
    for _ in range(16):
        pace.hint()
        pace.done()
        clock.turn(1 / 128)
    assert reads == [100.0]
    clock.turn(10)
    pace.done()
    clock.turn(10)
    assert reads == [100.0, 110.125]  # the clock was turned past 100.25 in one go


def test_reads_are_never_closer_than_the_interval(pace: Pace, clock: FakeClock, reads: list[float]) -> None:
    for _ in range(400):
        pace.hint()
        pace.done()
        clock.turn(0.01)
    assert min(later - earlier for earlier, later in zip(reads, reads[1:], strict=False)) >= 0.25
    assert len(reads) in (16, 17)


def test_an_end_waits_for_no_interval(pace: Pace, clock: FakeClock, reads: list[float]) -> None:
    pace.hint()
    pace.done()
    clock.turn(0.1)
    pace.hint()
    pace.hint(urgent=True)
    pace.done()
    clock.turn(10)
    assert reads == [100.0, 100.1]


def test_a_hint_during_a_read_asks_for_another(pace: Pace, clock: FakeClock, reads: list[float]) -> None:
    pace.hint()
    pace.hint()
    clock.turn(5)
    assert reads == [100.0]  # the first message is still on its way to a slow reader
    pace.done()
    assert reads == [100.0, 105.0]


def test_after_a_stop_nothing_is_read(pace: Pace, clock: FakeClock, reads: list[float]) -> None:
    pace.hint()
    pace.done()
    pace.hint()
    pace.stop()
    clock.turn(10)
    pace.hint()
    assert reads == [100.0]
