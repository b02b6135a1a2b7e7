"""The crew of one worker process: what its threads do next, and what it holds. (Processes: test_killed.)"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.utils import timezone

from config.models import User
from generation import crew as crews
from generation import engine
from generation.claim import Claim, Only
from generation.crew import Crew
from generation.models import Attempt, Chore, Item
from generation.plan import Candidate, StepPlan
from providers.base import Made
from tests.generation.support import HUGGINGFACE, fresh, make_plan, submit, submit_one, take
from tests.generation.vendor import stand_in
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


@pytest.fixture
def crew() -> Crew:
    """One thread's worth of it, which works in the test's own."""
    crew = Crew()
    crew.busy = 1
    return crew


def test_parked_calls_and_chores_do_not_wait_for_a_queue_that_never_empties(
    alice: User, vendors: Remote, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crews, "OTHERS_EVERY_S", 0.0)
    parked = submit_one(alice, providers=[HUGGINGFACE])
    engine.work(take())
    Attempt.objects.update(poll_at=timezone.now())
    chore = Chore.objects.create(kind="prune", run_after=timezone.now())
    submit(alice, 5)
    crew._work_while_there_is_some()
    last = Item.objects.order_by("-finished_at").values_list("pk", flat=True)[0]
    assert fresh(parked).status == "SUCCEEDED"
    assert last != parked.pk, "it was fetched while others waited"
    chore.refresh_from_db()
    assert chore.done_at is not None
    assert chore.done_at < fresh(Item.objects.get(pk=last)).finished_at


def test_a_thread_works_until_nothing_is_left_and_takes_its_part_only(alice: User, vendors: Remote, crew: Crew) -> None:
    mine = submit(alice, 3, thumbnail=True)
    other = submit_one(alice, door="stories")
    crew.only = Only.parse(["door:visuals"])
    crew._work_while_there_is_some()
    mine.refresh_from_db()
    assert (mine.status, fresh(other).status) == ("COMPLETED", "QUEUED")
    assert crew.held() == []


def test_a_crew_that_stops_begins_nothing(alice: User, crew: Crew) -> None:
    item = submit_one(alice)
    crew.stopping.set()
    crew._work_while_there_is_some()
    assert crew.wake() is False
    assert fresh(item).status == "QUEUED"


def test_a_lease_is_held_only_within_the_steps_own_deadline(alice: User, crew: Crew) -> None:
    submit_one(alice, timeout_s=-crews.KEEP_GRACE_S - 1)
    taken = take()
    with crew._holding(taken):
        assert crew.held() == []
    submit_one(alice)
    taken = take()
    with crew._holding(taken):
        assert crew.held() == [(taken.item.pk, taken.fence)]
    for item in Item.objects.all():
        engine.cancel(item.request_id)
    assert crew.held() == []


def test_a_thread_that_made_a_picture_makes_its_thumbnail_before_anything_else(
    alice: User, bob: User, vendors: Remote, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = submit_one(alice, thumbnail=True)
    urgent = []
    work = Crew._work

    def work_while_an_urgent_one_comes(crew: Crew, taken: Claim) -> None:
        if not urgent:
            urgent.append(submit_one(bob, priority="urgent"))
        work(crew, taken)

    monkeypatch.setattr(Crew, "_work", work_while_an_urgent_one_comes)
    crew._work_while_there_is_some()
    steps = list(Attempt.objects.order_by("id").values_list("item_id", "step"))
    assert steps == [(calm.pk, 0), (calm.pk, 1), (urgent[0].pk, 0)]
    assert [fresh(item).status for item in (calm, *urgent)] == ["SUCCEEDED", "SUCCEEDED"]


def test_a_thread_goes_on_with_what_it_fetched_unless_a_better_class_waits(
    alice: User, bob: User, vendors: Remote, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = Made((), Decimal("0.00015"), "verifier", extra={"has_text": False, "has_annotations": False})
    stand_in(monkeypatch, clean, alias="provider_h")
    verify = StepPlan("verify", "verify-image", {}, (Candidate("provider_h", "verifier"),), checks=("no-text",))
    plan = make_plan(alice, 2, providers=[HUGGINGFACE])
    both = engine.submit(replace(plan, items=tuple(replace(one, steps=(*one.steps, verify)) for one in plan.items)))
    for _ in range(2):
        engine.work(take())

    def fetch_one() -> None:
        Attempt.objects.filter(stage="ACCEPTED", ended_at=None).update(poll_at=timezone.now())
        crew._poll()

    fetch_one()
    assert sorted(both.items.values_list("status", flat=True)) == ["SUCCEEDED", "WAITING"]
    urgent = submit_one(bob, priority="urgent")
    fetch_one()
    assert sorted(both.items.values_list("status", flat=True)) == ["QUEUED", "SUCCEEDED"]
    crew._work_while_there_is_some()
    last = Attempt.objects.filter(item__request=both).latest("pk")
    assert Attempt.objects.get(item=urgent).pk < last.pk


def test_our_own_steps_are_left_to_those_who_may_take_them(alice: User, vendors: Remote, crew: Crew) -> None:
    item = submit_one(alice, thumbnail=True)
    crew.only = Only.parse(["operation:text-to-image"])
    crew._work_while_there_is_some()
    assert (fresh(item).status, fresh(item).lane) == ("QUEUED", "internal")
