"""The bell, the workers' entries, and the counts that people see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisAway

from config.models import User
from generation import engine, queue
from generation.figures import figures
from generation.models import Attempt, Chore
from tests.generation.support import (
    HUGGINGFACE,
    fresh,
    make_plan,
    submit,
    submit_one,
    take,
    work_until_quiet,
    work_while_due,
)
from tests.simulator import Remote

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how much the bell was rung, each time."""
    rings: list[int] = []
    monkeypatch.setattr(queue, "ring", rings.append)
    return rings


@pytest.fixture
def no_bells() -> Iterator[None]:
    queue.bells().empty()
    yield
    queue.bells().empty()


def submit_in_vain(owner: User) -> None:
    """Submit three pictures in a transaction that is rolled back."""
    with transaction.atomic():
        submit(owner, 3)
        transaction.set_rollback(True)


# --- The bell ----------------------------------------------------------------------------------------


def test_one_ring_follows_a_commit_for_all_that_it_queued(alice: User, rung: list[int]) -> None:
    with transaction.atomic():
        submit(alice, 3)
        submit(alice, 2)
        assert rung == []
    assert rung == [5]


def test_nothing_rings_for_what_was_rolled_back_and_the_next_commit_rings_again(alice: User, rung: list[int]) -> None:
    submit_in_vain(alice)
    assert rung == []
    submit(alice, 2)
    assert rung == [2]


def test_a_savepoint_that_was_rolled_back_does_not_silence_the_rest(alice: User, rung: list[int]) -> None:
    with transaction.atomic():
        submit_in_vain(alice)
        submit(alice, 2)
    assert rung == [2]


def test_a_bell_outside_a_transaction_rings_at_once(rung: list[int], db: None) -> None:
    queue.ring_after_commit(4)
    assert rung == [4]


def test_the_bell_rings_for_as_many_as_can_work_and_not_again_while_it_rings(
    alice: User, no_bells: None, settings: object
) -> None:
    settings.WORKER_THREADS = 4  # type: ignore[attr-defined]
    submit(alice, 10)
    assert queue.bells().count == 4
    submit(alice, 10)
    assert queue.bells().count == 4


def test_with_redis_away_a_submit_is_a_success(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise RedisAway("nobody listens")

    monkeypatch.setattr(queue, "bells", away)
    item = submit_one(alice)
    assert "the bell cannot be rung" in caplog.text
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"


# --- What is due -------------------------------------------------------------------------------------


def test_what_waits_is_counted_up_to_what_can_be_done(alice: User, vendors: Remote) -> None:
    nothing = engine.ahead(5)
    assert (nothing.things, nothing.retry_in_s, nothing.poll_in_s) == (0, None, None)
    submit(alice, 3)
    assert [engine.ahead(most).things for most in (2, 5, 0)] == [2, 3, 0]


def test_a_retry_says_when_it_falls_due(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "503", retry_after=30)
    item = submit_one(alice)
    work_while_due()
    ahead = engine.ahead(5)
    assert (ahead.things, ahead.poll_in_s) == (0, None)
    assert ahead.retry_in_s == pytest.approx((fresh(item).run_after - timezone.now()).total_seconds(), abs=5)


def test_a_parked_call_and_a_chore_are_something_to_do_once_they_are_due(alice: User, vendors: Remote) -> None:
    submit_one(alice, providers=[HUGGINGFACE])
    engine.work(take())
    chore = Chore.objects.create(kind="prune", run_after=timezone.now() + timedelta(seconds=60))
    ahead = engine.ahead(5)
    assert (ahead.polls, ahead.chores, ahead.things) == (False, False, 0)
    assert ahead.poll_in_s is not None
    assert 0 < ahead.poll_in_s < 60
    Attempt.objects.update(poll_at=timezone.now())
    Chore.objects.filter(pk=chore.pk).update(run_after=timezone.now())
    ahead = engine.ahead(5)
    assert (ahead.items, ahead.polls, ahead.chores, ahead.things) == (0, True, True, 2)


# --- Counts ------------------------------------------------------------------------------------------


def test_places_in_the_queue_follow_the_order_of_claims(alice: User, bob: User) -> None:
    low = submit_one(alice, priority="low")
    first, second = submit(alice, 2).items.order_by("index")
    urgent = submit_one(bob, priority="urgent")
    other = submit_one(bob)
    places = {item.pk: queue.position(fresh(item)) for item in (urgent, first, other, second, low)}
    assert list(places.values()) == [1, 2, 3, 4, 5]
    assert queue.waiting("visuals") == 5
    assert queue.waiting("poses") == 0


@pytest.mark.parametrize("priority", ["low", "normal", "urgent"])
def test_a_submit_is_told_the_place_that_it_gets(alice: User, bob: User, priority: str) -> None:
    submit_one(bob, priority="low")
    submit(alice, 2)
    submit(bob, 2)
    submit(bob, 1, priority="urgent")

    request = engine.submit(make_plan(alice, priority=priority), count_waiting=True)

    assert request.place == queue.waiting_and_position(request.new_items[0])
    assert request.place[0] == 7


def test_beyond_the_nearest_thousand_a_place_is_no_nearer(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "EXACT_UP_TO", 3)
    submit(alice, 5)
    request = engine.submit(make_plan(alice), count_waiting=True)
    assert request.place == (6, 6)


def test_the_figures_of_a_day(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "filtered")
    submit(alice, 3)
    work_until_quiet()
    submit(alice, 2)
    day = figures("visuals")
    assert (day.total, day.completed, day.failed, day.queue_length, day.active) == (5, 2, 1, 2, 0)
    assert day.average_generation_s >= 0
    assert figures("poses").total == 0
