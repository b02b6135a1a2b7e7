"""An outage of the database: whoever lived through it keeps its calls, and who died is taken back a lease later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from config.models import User
from generation import engine
from generation.models import Item, SweepBeat
from tests.generation.support import (
    balance,
    fresh,
    let_leases_end,
    outcomes,
    submit_one,
    take,
    work_until_quiet,
)
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


@pytest.fixture(autouse=True)
def a_minute(settings: Any) -> None:
    settings.LEASE_S, settings.SWEEP_INTERVAL_S = 60, 3.0


def let_pass(seconds: float) -> None:
    """Let so much time pass in which nobody sweeps and nobody renews."""
    for field in ("at", "anew_at"):
        for beat in SweepBeat.objects.exclude(**{field: None}):
            SweepBeat.objects.update(**{field: getattr(beat, field) - timedelta(seconds=seconds)})
    for item in Item.objects.exclude(lease_until=None):
        assert item.lease_until
        Item.objects.filter(pk=item.pk).update(lease_until=item.lease_until - timedelta(seconds=seconds))


def taken_back() -> int:
    return engine.sweep()["expire_leases"]


def test_a_call_that_lived_through_an_outage_is_not_taken_from_its_holder(alice: User, vendors: Remote) -> None:
    item = submit_one(alice)
    taken = take()
    assert taken_back() == 0
    let_pass(300)
    assert taken_back() == 0, "the first sweep after the outage"
    assert taken_back() == 0, "and the one that follows it"
    engine.work(taken)
    work_until_quiet()
    assert (fresh(item).status, fresh(item).fence, outcomes(item)) == ("SUCCEEDED", taken.fence, ["made"])
    assert (len(vendors.calls()), balance(alice)) == (1, 98)


def test_who_died_in_an_outage_is_taken_back_a_lease_later(alice: User, vendors: Remote) -> None:
    item = submit_one(alice)
    take()
    taken_back()
    let_pass(300)
    assert taken_back() == 0
    let_pass(30)
    assert (taken_back(), fresh(item).status) == (0, "RUNNING")
    let_pass(31)
    assert taken_back() == 1
    assert (fresh(item).losses, outcomes(item)) == (1, ["lost"])


def test_sweeps_that_are_slow_themselves_keep_nobody_alive_for_ever(alice: User) -> None:
    submit_one(alice)
    take()
    taken_back()
    for _ in range(4):
        let_pass(50)
        if taken_back():
            return
    pytest.fail("the lease of a dead worker never ends")


@pytest.mark.parametrize("silence_s", [1, 20])
def test_without_an_outage_a_lease_ends_when_it_ends(alice: User, silence_s: int) -> None:
    submit_one(alice)
    taken_back()
    take()
    let_pass(silence_s)
    let_leases_end()
    assert taken_back() == 1


def test_the_first_sweep_of_all_is_no_silence(alice: User) -> None:
    submit_one(alice)
    take()
    let_leases_end()
    assert taken_back() == 1


def test_only_those_that_run_and_whose_lease_is_short_begin_anew(alice: User) -> None:
    ended, running = submit_one(alice), submit_one(alice)
    engine.cancel(ended.request_id)
    take()
    taken_back()
    let_pass(300)
    Item.objects.filter(pk=running.pk).update(lease_until=timezone.now() + timedelta(hours=1))
    taken_back()
    lease = fresh(running).lease_until
    assert fresh(ended).lease_until is None
    assert lease
    assert lease > timezone.now() + timedelta(minutes=50)
