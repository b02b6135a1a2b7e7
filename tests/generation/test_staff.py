"""Verbs of owners and staff: cancel, hold, release, re-prioritise, reopen, refund."""

from __future__ import annotations

import pytest

from config.models import User
from credits.errors import InsufficientCredits
from credits.models import Entry
from generation import engine
from generation.models import HoldReason, Item, ItemStatus, Request
from tests.conftest import MakeCustomer
from tests.generation.support import (
    balance,
    fresh,
    make_plan,
    submit,
    submit_one,
    take,
    told,
    work_until_quiet,
    work_while_due,
)
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


def statuses(request: Request) -> list[str]:
    return list(request.items.order_by("index").values_list("status", flat=True))


def open_bundles(request: Request) -> int:
    """Bundles of which something may run: waiting in a lane, for a retry, or with a worker."""
    items = request.items.exclude(status__in=["SUCCEEDED", "FAILED", "CANCELLED"])
    return items.exclude(hold_reason__in=[HoldReason.BUNDLE, HoldReason.STAFF]).values("bundle").distinct().count()


# --- Cancel --------------------------------------------------------------------------------------


def test_waiting_items_are_cancelled_and_given_back_whole(alice: User) -> None:
    request = submit(alice, 3)
    done = engine.cancel(request.pk, actor="alice")
    assert (len(done.item_ids), done.refunded) == (3, 6)
    request.refresh_from_db()
    assert request.status == "CANCELLED"
    assert statuses(request) == ["CANCELLED"] * 3
    assert balance(alice) == 100
    assert told(request) == ["submitted", "cancelled", "cancelled", "cancelled", "request-cancelled"]
    again = engine.cancel(request.pk, actor="alice")
    assert (again.item_ids, again.refunded) == ((), 0)


@pytest.mark.parametrize(("rule", "back"), [("never", 0), ("confirmed", 0), ("always", 2)])
def test_a_running_item_is_cancelled_by_its_rule_and_its_picture_is_not_kept(
    alice: User, vendors: Remote, media: object, rule: str, back: int
) -> None:
    item = submit_one(alice, cancel_refund=rule)
    taken = take()
    assert engine.cancel(item.request_id).refunded == back
    # The worker is at it and learns it from its next False; nothing was sent, so only `never` keeps the price.
    engine.work(taken)
    assert fresh(item).status == "CANCELLED"
    assert balance(alice) == (98 if rule == "never" else 100)
    assert vendors.calls() == []


def test_cancelling_one_of_three_lets_the_others_complete_the_request(alice: User, vendors: Remote) -> None:
    request = submit(alice, 3)
    first = request.items.order_by("index")[0]
    assert engine.cancel(request.pk, [first.pk]).item_ids == (first.pk,)
    work_until_quiet()
    request.refresh_from_db()
    assert request.status == "COMPLETED"
    assert statuses(request) == ["CANCELLED", "SUCCEEDED", "SUCCEEDED"]
    assert balance(alice) == 96


# --- Hold, release, re-prioritise ------------------------------------------------------------------


def test_a_held_item_is_not_claimed_until_it_is_released(alice: User, vendors: Remote) -> None:
    item = submit_one(alice)
    assert engine.hold(item.request_id, actor="stella") == 1
    work_until_quiet()
    assert fresh(item).status == "HELD"
    assert fresh(item).hold_reason == HoldReason.STAFF
    assert engine.release(item.request_id, actor="stella") == 1
    assert engine.release(item.request_id, actor="stella") == 0
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"


def test_a_retry_is_hurried_by_staff(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "500")
    item = submit_one(alice, base_s=300.0)
    work_while_due()
    assert fresh(item).hold_reason == HoldReason.RETRY
    assert engine.retry_now(item.request_id, actor="stella") == 1
    work_while_due()
    assert fresh(item).status == "SUCCEEDED"
    assert engine.retry_now(item.request_id, actor="stella") == 0


def test_reprioritised_items_keep_their_places_beside_each_other(alice: User) -> None:
    request = submit(alice, 4, priority="low")
    assert engine.reprioritise(request.pk, "urgent", actor="stella") == 4
    ranks = list(request.items.order_by("index").values_list("weight", "rank"))
    assert ranks == [(1000, 0), (1000, 1), (1000, 2), (1000, 3)]
    assert set(request.items.values_list("priority", flat=True)) == {"low"}, "the caller's own word stays"


def test_what_runs_cannot_be_held_or_reprioritised(alice: User) -> None:
    item = submit_one(alice)
    take()
    assert engine.hold(item.request_id, actor="stella") == 0
    assert engine.reprioritise(item.request_id, "urgent", actor="stella") == 0
    assert fresh(item).status == "RUNNING"
    engine.cancel(item.request_id)


# --- Bundles ---------------------------------------------------------------------------------------


def test_a_bundle_of_many_items_is_released_whole(alice: User, vendors: Remote) -> None:
    request = submit(alice, 24, bundle_of=12, max_open_bundles=1, price=1)
    assert request.items.filter(status="QUEUED").count() == 12
    work_until_quiet()
    request.refresh_from_db()
    assert request.status == "COMPLETED"
    assert told(request).count("released") == 12


def test_holding_and_releasing_does_not_open_a_bundle_beyond_the_cap(alice: User, vendors: Remote) -> None:
    request = submit(alice, 4, max_open_bundles=2)
    last = request.items.get(index=3)
    assert engine.hold(request.pk, [last.pk], actor="stella") == 1
    engine.release(request.pk, [last.pk], actor="stella")
    assert open_bundles(request) == 2, "released into its place, not past the cap"
    work_until_quiet()
    assert statuses(request) == ["SUCCEEDED"] * 4


def test_a_bundle_that_staff_hold_takes_no_place_until_it_began(alice: User, vendors: Remote) -> None:
    request = submit(alice, 4, max_open_bundles=2)
    engine.hold(request.pk, [request.items.get(index=2).pk], actor="stella")
    work_until_quiet()
    assert statuses(request) == ["SUCCEEDED", "SUCCEEDED", "HELD", "SUCCEEDED"]
    engine.release(request.pk, actor="stella")
    work_until_quiet()
    assert statuses(request) == ["SUCCEEDED"] * 4


def test_a_reopened_request_keeps_its_cap(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "filtered", times=4)
    request = submit(alice, 4, max_open_bundles=2)
    work_until_quiet()
    assert statuses(request) == ["FAILED"] * 4
    assert engine.reopen(request.pk, actor="stella") == 4
    assert open_bundles(request) == 2
    assert request.items.filter(status="HELD", hold_reason=HoldReason.BUNDLE).count() == 2
    work_until_quiet()
    assert statuses(request) == ["SUCCEEDED"] * 4


# --- Reopen ------------------------------------------------------------------------------------------


def failed_request(owner: User, vendors: Remote) -> Request:
    """Two pictures, of which the filter refused one."""
    vendors.faults("openai", "filtered")
    request = submit(owner, 2)
    work_until_quiet()
    assert statuses(request) == ["FAILED", "SUCCEEDED"]
    assert balance(owner) == 98
    return request


def test_a_reopened_item_is_made_for_free(alice: User, vendors: Remote) -> None:
    request = failed_request(alice, vendors)
    assert engine.reopen(request.pk, actor="stella") == 1
    request.refresh_from_db()
    assert (request.status, request.round) == ("RUNNING", 1)
    work_until_quiet()
    request.refresh_from_db()
    assert request.status == "COMPLETED"
    assert balance(alice) == 98
    assert told(request).count("request-completed") == 2
    assert engine.reopen(request.pk, actor="stella") == 0, "nothing of it has failed any more"


def test_a_reopened_item_that_is_charged_again_is_given_back_when_it_fails_again(alice: User, vendors: Remote) -> None:
    request = failed_request(alice, vendors)
    vendors.faults("openai", "filtered")
    assert engine.reopen(request.pk, actor="stella", charge=True) == 1
    assert balance(alice) == 96
    work_until_quiet()
    assert balance(alice) == 98
    assert statuses(request) == ["FAILED", "SUCCEEDED"]
    failed = request.items.get(index=0)
    assert (failed.charged, failed.refunded) == (4, 4)


def test_reopening_against_payment_without_credits_changes_nothing(
    make_customer: MakeCustomer, vendors: Remote
) -> None:
    poor = make_customer("poor", 2)
    vendors.faults("openai", "filtered")
    request = submit(poor, 1)
    work_until_quiet()
    submit(poor, 1)  # spends what came back
    with pytest.raises(InsufficientCredits):
        engine.reopen(request.pk, actor="stella", charge=True)
    request.refresh_from_db()
    assert (request.status, request.round, statuses(request)) == ("FAILED", 0, ["FAILED"])
    engine.cancel(Request.objects.exclude(pk=request.pk).get().pk)


# --- Refund ------------------------------------------------------------------------------------------


@pytest.fixture
def delivered(alice: User, vendors: Remote) -> Item:
    """A picture of 5 credits that was made."""
    item = submit_one(alice, price=5)
    work_until_quiet()
    assert balance(alice) == 95
    return item


def test_staff_give_back_in_parts_and_never_more_than_was_paid(alice: User, delivered: Item) -> None:
    def give(credits: int, key: str) -> int:
        return engine.refund(delivered.pk, credits, reason="It is ugly", actor="stella", form_key=key)

    assert (give(2, "form 1"), balance(alice)) == (2, 97)
    assert (give(2, "form 1"), balance(alice)) == (0, 97), "a double click refunds once"
    assert (give(10, "form 2"), balance(alice)) == (3, 100)
    assert (give(1, "form 3"), balance(alice)) == (0, 100)
    posted = Entry.objects.filter(subject=f"item:{delivered.pk}", kind="refund")
    assert [(entry.amount, entry.actor, entry.description) for entry in posted.order_by("seq")] == [
        (2, "stella", "Refund: It is ugly"),
        (3, "stella", "Refund: It is ugly"),
    ]
    assert fresh(delivered).status == ItemStatus.SUCCEEDED
    assert told(delivered.request).count("refunded") == 2


def test_an_item_that_staff_refunded_in_part_gets_only_the_rest_when_it_fails(alice: User, vendors: Remote) -> None:
    item = submit_one(alice, price=5)
    assert engine.refund(item.pk, 2, reason="Slow", actor="stella", form_key="form") == 2
    vendors.faults("openai", "filtered")
    work_until_quiet()
    assert fresh(item).status == "FAILED"
    assert (fresh(item).charged, fresh(item).refunded) == (5, 5)
    assert balance(alice) == 100


def test_a_code_that_the_door_does_not_refund_keeps_the_price_until_staff_decide(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "filtered")
    item = submit_one(alice, price=5, keep_codes=("CONTENT_REJECTED",))
    work_until_quiet()
    assert (fresh(item).status, fresh(item).kept, balance(alice)) == ("FAILED", 5, 95)
    assert engine.refund(item.pk, 5, reason="Kindness", actor="stella", form_key="form") == 5
    assert (fresh(item).kept, balance(alice)) == (0, 100)


def test_a_plan_beyond_the_balance_stores_nothing(make_customer: MakeCustomer) -> None:
    poor = make_customer("poor", 3)
    with pytest.raises(InsufficientCredits):
        engine.submit(make_plan(poor, 2))
    assert not Request.objects.exists()
    assert not Item.objects.exists()
    assert balance(poor) == 3


def test_what_one_round_kept_by_rule_stays_kept_when_a_later_round_fails(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "filtered")
    vendors.faults("openai", "bad-input")
    item = submit_one(alice, keep_codes=("CONTENT_REJECTED",))
    work_until_quiet()
    engine.reopen(item.request_id, actor="stella", charge=True)
    work_until_quiet()
    failed = fresh(item)
    assert (failed.status, failed.charged, failed.refunded, failed.kept) == (ItemStatus.FAILED, 4, 2, 2)
