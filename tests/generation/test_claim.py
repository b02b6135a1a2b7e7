"""Which item is next: order, fairness, caps, and what closes a lane."""

from __future__ import annotations

from collections import Counter

import pytest
from django.utils import timezone

from config.models import User
from generation import engine
from generation.claim import Only, claim
from generation.models import Attempt, Item
from providers.models import Lane
from tests.conftest import MakeCustomer
from tests.generation.support import (
    AGES,
    HUGGINGFACE,
    OPENAI,
    fresh,
    in_flight,
    in_threads,
    submit,
    submit_one,
    take,
    work_until_quiet,
)
from tests.simulator import Remote

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crowd(make_customer: MakeCustomer) -> User:
    return make_customer("carol", 100_000)


def taken_in_turn(count: int) -> list[Item]:
    """Claim one at a time, as threads do."""
    return [one.item for _ in range(count) for one in claim(1)]


# --- Order -------------------------------------------------------------------------------------------


def test_the_weightier_is_first_then_the_lower_rank_then_the_older(alice: User, bob: User) -> None:
    low = submit_one(alice, priority="low")
    normal = submit_one(alice)
    second = submit_one(alice)
    other = submit_one(bob)
    high = submit_one(bob, priority="high")
    urgent = submit_one(alice, priority="urgent")
    order = [urgent, high, normal, other, second, low]
    assert [item.pk for item in taken_in_turn(6)] == [item.pk for item in order]


def test_several_are_claimed_best_first_and_never_more_than_asked_for(alice: User) -> None:
    submit(alice, 3, priority="low")
    urgent = submit_one(alice, priority="urgent")
    assert claim(0) == []
    taken = claim(2)
    assert len(taken) == 2
    assert taken[0].item.pk == urgent.pk


def test_a_claim_holds_the_item_under_a_new_fence_with_a_lease_and_an_open_attempt(alice: User) -> None:
    item = submit_one(alice)
    taken = take()
    now = fresh(item)
    assert (now.status, now.fence, now.starts, taken.fence) == ("RUNNING", 1, 1, 1)
    assert now.lease_until is not None
    assert now.lease_until > timezone.now()
    attempt = Attempt.objects.get(pk=taken.attempt_id)
    assert (attempt.item_id, attempt.lane, attempt.provider, attempt.model) == (item.pk, OPENAI, OPENAI, "main")
    assert (attempt.stage, attempt.outcome, attempt.ended_at) == ("SENT", "", None)
    assert claim(5) == []


# --- Fairness ------------------------------------------------------------------------------------------


def test_one_item_behind_a_thousand_of_another_customer_is_among_the_first_few(
    crowd: User, bob: User, vendors: Remote
) -> None:
    submit(crowd, 1000)
    for taken in claim(10):  # the desk is at work already
        engine.work(taken)
    item = submit_one(bob)
    for taken in (claim(1)[0] for _ in range(3)):
        engine.work(taken)
    assert fresh(item).status == "SUCCEEDED"


def test_two_crowds_alternate(crowd: User, bob: User) -> None:
    submit(crowd, 40)
    taken_in_turn(5)
    submit(bob, 20)
    owners = [item.owner_id for item in taken_in_turn(20)]
    assert Counter(owners) == {crowd.pk: 10, bob.pk: 10}
    assert all(left != right for left, right in zip(owners, owners[1:], strict=False))


def test_a_late_comer_does_not_pass_those_who_wait_already(crowd: User, bob: User, alice: User) -> None:
    """Ranks begin at the front of the waiting, not at zero."""
    submit(crowd, 30)
    taken_in_turn(10)
    submit(bob, 1)
    submit(alice, 5)
    first = taken_in_turn(6)
    assert {item.owner_id for item in first[:3]} == {crowd.pk, bob.pk, alice.pk}


def test_ageing_lifts_what_waited_long_by_one_class_and_never_above_high(alice: User) -> None:
    low = submit(alice, 3, priority="low")
    urgent = submit_one(alice, priority="urgent")
    young = submit_one(alice, priority="low")
    Item.objects.exclude(pk=young.pk).update(queued_at=timezone.now() - AGES)
    assert engine.sweep()["age"] == 3
    assert set(low.items.values_list("weight", "priority")) == {(10, "low")}
    assert engine.sweep()["age"] == 0, "its time begins anew in the next class"
    for expected in (100, 100):
        Item.objects.update(queued_at=timezone.now() - AGES)
        engine.sweep()
        assert set(low.items.values_list("weight", flat=True)) == {expected}
    assert sorted(low.items.values_list("rank", flat=True)) == [0, 1, 2]
    assert fresh(urgent).weight == 1000


# --- Caps ----------------------------------------------------------------------------------------------


def test_a_cap_is_exact_under_eight_threads(crowd: User) -> None:
    Lane.objects.filter(name=OPENAI).update(cap=5)
    submit(crowd, 40)
    taken = in_threads(8, lambda: [claim(2) for _ in range(4)])
    assert sum(len(claims) for thread in taken for claims in thread) == 5
    assert in_flight(OPENAI) == 5


def test_a_cap_is_kept_while_work_flows(crowd: User, vendors: Remote) -> None:
    Lane.objects.filter(name=OPENAI).update(cap=3)
    vendors.settings(delay_s=0.01)
    submit(crowd, 32)
    peaks: list[int] = []

    def work() -> int:
        done = 0
        while Item.objects.filter(status="QUEUED").exists():
            for taken in claim(1):
                peaks.append(in_flight(OPENAI))
                engine.work(taken)
                done += 1
        return done

    assert sum(in_threads(8, work)) == 32
    assert max(peaks) == 3
    assert Item.objects.filter(status="SUCCEEDED").count() == 32


def test_a_full_lane_does_not_stand_in_the_way_of_another(alice: User) -> None:
    Lane.objects.filter(name=OPENAI).update(cap=1)
    submit(alice, 3, priority="urgent")
    other = submit_one(alice, providers=[HUGGINGFACE], priority="low")
    assert [one.lane for one in taken_in_turn(5)] == [OPENAI, HUGGINGFACE]
    assert fresh(other).status == "RUNNING"


def test_a_cap_of_bundles_is_kept_by_many_threads_also_while_they_retry(crowd: User, vendors: Remote) -> None:
    vendors.settings(delay_s=0.01)
    vendors.faults("openai", "500", times=6)
    request = submit(crowd, 12, max_open_bundles=3, max_starts=7)  # all faults may strike one item
    peaks: list[int] = []

    def work() -> None:
        while Item.objects.filter(status__in=["QUEUED", "HELD", "RUNNING"]).exists():
            engine.release_due()
            for taken in claim(1):
                open_items = Item.objects.filter(status__in=["QUEUED", "HELD", "RUNNING"])
                peaks.append(open_items.exclude(hold_reason="bundle").values("bundle").distinct().count())
                engine.work(taken)

    in_threads(6, work)
    assert max(peaks) == 3
    request.refresh_from_db()
    assert (request.status, request.items.filter(status="SUCCEEDED").count()) == ("COMPLETED", 12)


# --- One worker's part -----------------------------------------------------------------------------------


def test_a_worker_takes_its_part_only(alice: User) -> None:
    submit(alice, 1, door="stories")
    mine = submit_one(alice, priority="high")
    submit(alice, 1)
    only = Only.parse(["door:visuals", "priority:high", "priority:urgent", "operation:text-to-image"])
    assert [one.item.pk for one in claim(5, only=only)] == [mine.pk]
    assert claim(5, only=only) == []
    assert claim(5, only=Only.parse(["operation:upscale"])) == []
    assert len(claim(5)) == 2


@pytest.mark.parametrize("word", ["visuals", "door:", "colour:red", ":x", ""])
def test_an_unknown_part_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not door"):
        Only.parse([word])


# --- Pauses ------------------------------------------------------------------------------------------------


def test_nothing_is_claimed_from_a_paused_lane_until_it_is_resumed(alice: User) -> None:
    submit(alice, 2)
    other = submit_one(alice, providers=[HUGGINGFACE])
    assert engine.pause(OPENAI, actor="stella", reason="their outage") is True
    assert engine.pause(OPENAI, actor="sam") is False
    lane = Lane.objects.get(name=OPENAI)
    assert (lane.paused_by, lane.paused_reason) == ("stella", "their outage")
    assert [item.pk for item in taken_in_turn(3)] == [other.pk]
    assert engine.resume(OPENAI) is True
    assert engine.resume(OPENAI) is False
    assert len(taken_in_turn(3)) == 2


def test_a_paused_desk_begins_nothing_and_ends_what_runs(alice: User, vendors: Remote) -> None:
    running = submit_one(alice)
    taken = take()
    waiting = submit_one(alice, providers=[HUGGINGFACE])
    engine.pause("desk", actor="stella")
    engine.work(taken)
    assert claim(5) == []
    assert (fresh(running).status, fresh(waiting).status) == ("SUCCEEDED", "QUEUED")
    engine.resume("desk")
    work_until_quiet()
    assert fresh(waiting).status == "SUCCEEDED"


def test_a_claim_says_when_the_call_started(alice: User) -> None:
    item = submit_one(alice)
    take()
    started = fresh(item)
    assert started.started_at is not None
    assert started.started_at == started.first_started_at
    assert started.started_at >= started.created_at
