"""Two hands at the same moment, each with its own connection: one comes first, and both orders are seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, BinaryIO

import pytest
from django.utils import timezone

from config.models import User
from credits.errors import InsufficientCredits
from credits.models import Entry
from generation import engine, storage
from generation.claim import Claim, claim
from generation.engine import leases
from generation.models import Attempt, Item, Request
from generation.plan import Candidate, RetryPolicy
from providers.errors import Unavailable
from tests.conftest import MakeCustomer
from tests.db import delayed, lags, race, race_until_both_orders
from tests.generation.support import (
    HUGGINGFACE,
    balance,
    fresh,
    in_threads,
    let_leases_end,
    make_plan,
    outcomes,
    submit,
    submit_one,
    take,
    told,
    work_until_quiet,
    work_while_due,
)
from tests.generation.vendor import stand_in
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

Acts = tuple[Callable[[], Any], Callable[[], Any]]


@pytest.fixture
def carol(make_customer: MakeCustomer) -> User:
    return make_customer("carol", 10_000)


class Meeting:
    """Where the other hand waits for a worker that has stored its picture and settles next.

    From there each hand comes as late as the round says (`lags`).
    """

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2, timeout=10)
        self.worker_late_s = 0.0
        self.is_over = False

    def before(self, act: Callable[[], Any], number: int) -> Callable[[], Any]:
        late_s, self.worker_late_s = lags(number)

        def met() -> Any:
            self.barrier.wait()
            return delayed(act, late_s)()

        return met


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Meeting:
    place, save = Meeting(), storage.save

    def save_and_meet(key: str, body: BinaryIO) -> None:
        save(key, body)
        if not place.is_over:
            place.barrier.wait()
            time.sleep(place.worker_late_s)

    monkeypatch.setattr(storage, "save", save_and_meet)
    return place


def working(taken: Claim) -> Callable[[], bool]:
    """Work a claim and say whether it came to its end."""

    def act() -> bool:
        engine.work(taken)
        return fresh(taken.item).status == "SUCCEEDED"

    return act


def cancelling(item: Item) -> Callable[[], bool]:
    return lambda: bool(engine.cancel(item.request_id).item_ids)


def test_claim_against_claim(carol: User) -> None:
    def a_round(number: int) -> Acts:
        submit_one(carol)
        return (lambda: claim(1)), (lambda: claim(1))

    race_until_both_orders(a_round)
    assert set(Attempt.objects.values_list("fence", flat=True)) == {1}
    close_all()


def test_eight_claims_take_each_item_once(carol: User) -> None:
    submit(carol, 40)
    taken = [one.item.pk for claims in in_threads(8, lambda: claim(6)) for one in claims]
    assert len(taken) == len(set(taken)) == 40
    close_all()


def test_cancel_against_complete(carol: User, vendors: Remote, meeting: Meeting) -> None:
    seen: list[Item] = []

    def a_round(number: int) -> Acts:
        item = submit_one(carol)
        seen.append(item)
        return meeting.before(cancelling(item), number), working(take())

    race_until_both_orders(a_round)
    for item in seen:
        now, request = fresh(item), Request.objects.get(pk=item.request_id)
        assert (now.status, request.status) in [("CANCELLED", "CANCELLED"), ("SUCCEEDED", "COMPLETED")]
        assert now.assets.count() == (now.status == "SUCCEEDED")
        endings = [kind for kind in told(request) if kind in ("succeeded", "cancelled")]
        assert endings == [now.status.lower()]


def test_cancel_against_the_end_of_a_part(carol: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, Unavailable())
    seen: list[Item] = []

    def a_round(number: int) -> Acts:
        plan = make_plan(carol, price=5, cancel_refund="always")
        pose = plan.items[0].steps[0]
        behind = replace(pose, candidates=(Candidate(HUGGINGFACE),), part="background", retry=RetryPolicy(1))
        one = replace(plan.items[0], steps=(pose, behind), parts={"background": 2})
        item = engine.submit(replace(plan, items=(one,))).items.get()
        engine.work(take())
        seen.append(item)
        return cancelling(item), working(take())

    race_until_both_orders(a_round)
    assert {(fresh(item).status, fresh(item).refunded) for item in seen} == {("CANCELLED", 5), ("SUCCEEDED", 2)}
    for item in seen:
        endings = [kind for kind in told(item.request) if kind in ("succeeded", "cancelled")]
        assert endings == [fresh(item).status.lower()]


def test_refund_against_refund(carol: User, vendors: Remote) -> None:
    items: list[Item] = []

    def a_round(number: int) -> Acts:
        items.append(submit_one(carol, price=3))
        work_until_quiet()

        def refunding(key: str) -> Callable[[], int]:
            return lambda: engine.refund(items[-1].pk, 3, reason="Ugly", actor="stella", form_key=key)

        # Every other round is one form sent twice.
        return refunding(f"left {number}"), refunding(f"{'left' if number % 4 < 2 else 'right'} {number}")

    race_until_both_orders(a_round)
    assert balance(carol) == 10_000
    assert Entry.objects.filter(kind="refund").count() == len(items)


def test_refunds_of_parts_never_exceed_the_price(carol: User, vendors: Remote) -> None:
    item = submit_one(carol, price=5)
    work_until_quiet()
    keys = iter(range(8))
    given = in_threads(8, lambda: engine.refund(item.pk, 2, reason="Ugly", actor="sam", form_key=f"{next(keys)}"))
    assert sorted(given, reverse=True) == [2, 2, 1, 0, 0, 0, 0, 0]
    assert balance(carol) == 10_000


def test_two_last_items_that_end_together_close_the_request(carol: User, vendors: Remote) -> None:
    for number in range(12):
        vendors.faults("openai", "filtered", times=number % 3)
        request = submit(carol, 2)
        left, right = claim(2)
        race(lambda taken=left: engine.work(taken), lambda taken=right: engine.work(taken))
        request.refresh_from_db()
        assert request.status == ("FAILED" if number % 3 == 2 else "COMPLETED")
        kinds = told(request)
        assert [kind for kind in kinds if kind.startswith("request-")] == [
            "request-started",
            f"request-{request.status.lower()}",
        ]
        assert kinds[-1] == f"request-{request.status.lower()}"


def test_the_last_credits_are_spent_by_one_of_two(make_customer: MakeCustomer) -> None:
    def a_round(number: int) -> Acts:
        poor = make_customer(f"poor {number}", 4)
        return (lambda: engine.submit(make_plan(poor, 2))), (lambda: engine.submit(make_plan(poor, 2)))

    for outcomes_ in race_until_both_orders(a_round):
        [refused] = [one for one in outcomes_ if not isinstance(one, Request)]
        assert isinstance(refused, InsufficientCredits)
    assert set(Item.objects.values_list("owner__account__balance", flat=True)) == {0}


def test_cancel_against_cancel(carol: User) -> None:
    def a_round(number: int) -> Acts:
        item = submit_one(carol)
        return cancelling(item), cancelling(item)

    race_until_both_orders(a_round)
    assert balance(carol) == 10_000


def test_retry_against_cancel(carol: User, vendors: Remote) -> None:
    """Whichever comes first, the item ends cancelled and given back; a retry that came first is told."""
    orders = set()
    for number in range(60):
        vendors.faults("openai", "500")
        item = submit_one(carol, base_s=300.0)
        work_while_due()
        acts = (
            lambda one=item: engine.retry_now(one.request_id, actor="stella"),
            lambda one=item: len(engine.cancel(one.request_id).item_ids),
        )
        hurried, cancelled = race(*map(delayed, acts, lags(number)))
        assert cancelled == 1
        assert fresh(item).status == "CANCELLED"
        orders.add(hurried)
        if orders == {0, 1}:
            break
    assert orders == {0, 1}
    assert balance(carol) == 10_000


def test_sweep_against_settle(carol: User, vendors: Remote, meeting: Meeting) -> None:
    """A lease that ended while its worker settles: the picture is kept by one of the two hands, and paid for once."""
    rounds: list[Item] = []

    def a_round(number: int) -> Acts:
        item = submit_one(carol)
        taken = take_of(item)
        let_leases_end(item)
        rounds.append(item)

        def settle() -> bool:
            engine.work(taken)
            return "lost" not in outcomes(item)

        def sweep() -> bool:
            leases.expire_leases()
            return "lost" in outcomes(item)

        return settle, meeting.before(sweep, number)

    race_settled_or_swept(a_round)
    meeting.is_over = True
    work_until_quiet()
    for item in rounds:
        assert fresh(item).status == "SUCCEEDED"
        assert fresh(item).assets.count() == 1
    assert balance(carol) == 10_000 - 2 * len(rounds)


def race_settled_or_swept(a_round: Callable[[int], Acts]) -> None:
    """Until both have been first; here the settling act knows only at its end that it was not."""
    firsts = set()
    for number in range(200):
        left, right = a_round(number)
        settled, swept = race(left, right)
        assert settled is not swept
        firsts.add(settled)
        if firsts == {True, False}:
            return
    raise AssertionError("only one order was seen")


def test_release_of_a_lease_against_its_renewal(carol: User) -> None:
    """A renewal that comes first keeps the item; one that comes second finds the fence gone."""

    def a_round(number: int) -> Acts:
        taken = take_of(submit_one(carol))
        let_leases_end(taken.item)
        return (
            lambda: fresh(taken.item) and leases.renew([(taken.item.pk, taken.fence)]),
            lambda: leases.expire_leases() and fresh(taken.item).fence > taken.fence,
        )

    race_until_both_orders(a_round)
    close_all()


def take_of(item: Item) -> Claim:
    """Claim until this item comes; what comes before it is worked off."""
    while (taken := take()).item.pk != item.pk:
        engine.work(taken)
    return taken


def close_all() -> None:
    """End what the story left open, so that the audit reads a quiet desk."""
    for request in Request.objects.filter(status__in=["QUEUED", "RUNNING"]):
        engine.cancel(request.pk)
    Attempt.objects.filter(ended_at__isnull=True).update(
        ended_at=timezone.now() + timedelta(seconds=1), outcome="not-sent"
    )
