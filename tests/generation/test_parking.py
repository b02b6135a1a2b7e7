"""Calls that are left at an asynchronous vendor: asked about, fetched once, given up in time, cancelled there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from config.models import User
from generation import engine, queue
from generation.claim import claim
from generation.engine import fetching, pace, polling, working
from generation.models import Attempt, Chore, Event, Item
from providers import registry
from providers.base import Call, Made, Pending
from providers.errors import ContentRejected, NetworkError, ProviderError, ProviderTimeout, RateLimited
from providers.models import Lane
from tests.generation.support import (
    HUGGINGFACE,
    balance,
    fresh,
    in_flight,
    in_threads,
    outcomes,
    submit,
    submit_one,
    take,
    told,
    work_until_quiet,
    work_while_due,
)
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


def ask_now() -> int:
    """Let every parked call fall due, and ask."""
    let_all_fall_due()
    return engine.poll()


def let_all_fall_due() -> None:
    parked = Attempt.objects.filter(stage="ACCEPTED", ended_at__isnull=True)
    with transaction.atomic():  # in one order, or two who do this at once lock each other out
        due = list(parked.order_by("pk").select_for_update().values_list("pk", flat=True))
        Attempt.objects.filter(pk__in=due).update(poll_at=timezone.now())


@pytest.fixture
def parked(alice: User, vendors: Remote) -> Item:
    """An item whose call is at a vendor that works on it for an hour."""
    vendors.settings(delay_s=3600)
    item = submit_one(alice, providers=[HUGGINGFACE])
    engine.work(take())
    assert fresh(item).status == "WAITING"
    return item


def test_a_parked_call_frees_its_thread_and_keeps_its_place_in_the_lane(parked: Item) -> None:
    attempt = Attempt.objects.get()
    assert (attempt.stage, attempt.ended_at, bool(attempt.remote_id)) == ("ACCEPTED", None, True)
    assert fresh(parked).lease_until is None
    assert in_flight(HUGGINGFACE) == 1
    assert told(parked.request)[-1] == "parked"
    engine.cancel(parked.request_id)
    work_until_quiet()


def test_a_round_costs_two_queries_however_many_it_asks_about(alice: User, vendors: Remote) -> None:
    vendors.settings(delay_s=3600)
    request = submit(alice, 5, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    assert request.items.filter(status="WAITING").count() == 5
    let_all_fall_due()
    with CaptureQueriesContext(connection) as queries:
        assert engine.poll() == 5
    assert len(queries) == 2, [query["sql"] for query in queries]
    engine.cancel(request.pk)
    work_until_quiet()


def test_of_many_that_end_together_each_is_left_to_whoever_is_free(alice: User, vendors: Remote) -> None:
    request = submit(alice, 4, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    let_all_fall_due()
    assert engine.poll() == 1
    left = Attempt.objects.filter(stage="ACCEPTED", ended_at__isnull=True)
    assert left.filter(poll_at__lte=Now()).count() == 3
    assert [engine.poll() for _ in range(4)] == [1, 1, 1, 0]
    assert request.items.filter(status="SUCCEEDED").count() == 4
    assert len(vendors.calls("huggingface", "result")) == 4


def test_for_calls_that_a_round_leaves_its_own_threads_wake_and_bells_ring_for_the_others(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(alice, 7, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    let_all_fall_due()
    rung: list[int] = []
    monkeypatch.setattr(queue, "ring", rung.append)
    woken: list[int] = []
    engine.poll(lambda threads: woken.append(threads) or 1)
    assert (woken, rung) == ([3], [2]), "six are left, for three rounds of two"


def test_parked_calls_count_against_the_cap_and_asking_needs_no_room(alice: User, vendors: Remote) -> None:
    Lane.objects.filter(name=HUGGINGFACE).update(cap=2)
    request = submit(alice, 5, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    assert in_flight(HUGGINGFACE) == 2
    engine.pause(HUGGINGFACE, actor="stella")
    assert (ask_now(), engine.poll(), engine.poll()) == (1, 1, 0)
    assert request.items.filter(status="SUCCEEDED").count() == 2, "what is paid for is fetched also from a paused lane"
    engine.resume(HUGGINGFACE)
    work_until_quiet()
    request.refresh_from_db()
    assert request.status == "COMPLETED"


def work_while_due_without_asking() -> None:
    while taken := claim(1):
        engine.work(taken[0])


@pytest.mark.parametrize("fault", [ProviderTimeout, NetworkError, RateLimited])
def test_a_vendor_that_does_not_answer_holds_one_thread_for_one_question(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch, fault: type[ProviderError]
) -> None:
    vendors.settings(delay_s=3600)
    request = submit(alice, 4, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    asked = []

    def poll(remote_id: str, call: Call) -> Pending:
        asked.append(remote_id)
        error = fault("", retry_after_s=40)
        error.ask_again = True
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(registry.adapter(HUGGINGFACE), "poll", poll)
        let_all_fall_due()
        assert (engine.poll(), engine.poll()) == (1, 0)
    assert len(asked) == 1
    waits = [at - timezone.now() for at in Attempt.objects.values_list("poll_at", flat=True) if at]
    assert len(waits) == 4
    assert all(timedelta(seconds=30) < wait <= timedelta(seconds=40) for wait in waits)
    cools = Lane.objects.get(name=HUGGINGFACE).cooldown_until
    assert bool(cools) == (fault is RateLimited), "no room for questions is no room for new calls"
    engine.cancel(request.pk)
    work_until_quiet()


def test_progress_never_falls_and_each_step_is_told_once(alice: User, vendors: Remote) -> None:
    vendors.faults("huggingface", "progress-backwards", times=5, percents=[10, 80, 20, 80, 250])
    item = submit_one(alice, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    seen = []
    for _ in range(5):
        ask_now()
        seen.append(fresh(item).progress)
    assert seen == [10, 80, 80, 80, 99]
    work_until_quiet()
    events = Event.objects.filter(item=item, kind="progress").order_by("seq")
    assert [event.data["progress"] for event in events] == [10, 80, 99]
    assert (fresh(item).status, fresh(item).progress) == ("SUCCEEDED", 100)


def test_a_result_is_fetched_once_by_many_who_ask(alice: User, vendors: Remote) -> None:
    request = submit(alice, 10, providers=[HUGGINGFACE], price=1)
    work_while_due_without_asking()
    in_threads(6, ask_now)
    work_until_quiet()
    assert set(request.items.values_list("status", flat=True)) == {"SUCCEEDED"}
    assert Attempt.objects.filter(outcome="made").count() == 10
    assert len(vendors.calls("huggingface", "submit")) == 10
    assert balance(alice) == 90


def test_a_webhook_before_its_time_does_no_harm(parked: Item, vendors: Remote) -> None:
    for _ in range(3):
        ask_now()
    assert fresh(parked).status == "WAITING"
    assert len(vendors.calls("huggingface", "submit")) == 1
    engine.cancel(parked.request_id)
    work_until_quiet()


# --- Cancel ------------------------------------------------------------------------------------------


def test_a_cancel_that_the_vendor_confirms_gives_the_price_back_once(
    alice: User, parked: Item, vendors: Remote
) -> None:
    assert engine.cancel(parked.request_id).refunded == 0
    assert (fresh(parked).status, fresh(parked).kept, balance(alice)) == ("CANCELLED", 2, 98)
    assert in_flight(HUGGINGFACE) == 1, "it is still at the vendor"
    work_until_quiet()
    assert len(vendors.calls("huggingface", "cancel")) == 1
    assert (fresh(parked).kept, balance(alice), in_flight(HUGGINGFACE)) == (0, 100, 0)
    assert told(parked.request)[-2:] == ["request-cancelled", "refunded"]
    ask_now()
    work_until_quiet()
    assert balance(alice) == 100


def test_a_cancel_that_comes_too_late_keeps_the_price_and_not_the_picture(alice: User, vendors: Remote) -> None:
    item = submit_one(alice, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    engine.cancel(item.request_id)
    work_until_quiet()
    assert (fresh(item).status, fresh(item).kept, balance(alice)) == ("CANCELLED", 2, 98)
    assert (outcomes(item), item.assets.count()) == (["late"], 0)
    assert Attempt.objects.get().cost_usd > 0


def test_a_vanished_call_proves_nothing_about_what_was_made(alice: User, parked: Item, vendors: Remote) -> None:
    vendors.faults("huggingface", "vanished", times=9)
    engine.cancel(parked.request_id)
    ask_now()
    assert (fresh(parked).kept, balance(alice), outcomes(parked)) == (2, 98, ["lost"])


def test_a_call_that_was_accepted_after_the_cancel_is_stopped_at_the_vendor_too(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendors.settings(delay_s=3600)
    item, begin = submit_one(alice, providers=[HUGGINGFACE]), working.begin

    def begin_and_cancel(taken: Any) -> None:
        begin(taken)
        engine.cancel(item.request_id)

    monkeypatch.setattr(working, "begin", begin_and_cancel)
    work_until_quiet()
    assert len(vendors.calls("huggingface", "cancel")) == 1
    assert (fresh(item).status, balance(alice), in_flight(HUGGINGFACE)) == ("CANCELLED", 100, 0)


def test_asking_the_vendor_to_stop_is_tried_again_when_it_does_not_answer(
    alice: User, parked: Item, vendors: Remote
) -> None:
    vendors.faults("huggingface", "503", operation="cancel", times=2)
    engine.cancel(parked.request_id)
    work_while_due()
    chore = Chore.objects.get(kind="cancel-at-vendor")
    assert (chore.tries, chore.done_at) == (1, None)
    assert chore.run_after > timezone.now()
    work_until_quiet()
    chore.refresh_from_db()
    assert (chore.tries, chore.result) == (3, {"confirmed": True})
    assert balance(alice) == 100


# --- Deadlines ---------------------------------------------------------------------------------------


def test_a_call_parked_for_too_long_is_tried_anew_and_at_last_given_back(alice: User, vendors: Remote) -> None:
    vendors.settings(delay_s=3600)
    item = submit_one(alice, providers=[HUGGINGFACE], max_starts=2)
    for starts in (1, 2):
        work_while_due_without_asking()
        assert (fresh(item).status, fresh(item).starts) == ("WAITING", starts)
        let_park_times_end()
        assert ask_now() == 1
        engine.release_due()
    assert (fresh(item).status, fresh(item).error_code, balance(alice)) == ("FAILED", "TIMEOUT", 100)
    assert len(vendors.calls("huggingface", "submit")) == 2


def let_park_times_end() -> None:
    Attempt.objects.filter(ended_at__isnull=True).update(park_until=timezone.now() - timedelta(seconds=1))


def test_a_call_that_is_done_when_its_time_is_up_is_fetched_and_not_paid_for_twice(
    alice: User, vendors: Remote
) -> None:
    vendors.settings(delay_s=0)
    item = submit_one(alice, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    let_park_times_end()  # nobody was there to ask for so long
    engine.sweep()
    work_until_quiet()
    assert (fresh(item).status, fresh(item).starts) == ("SUCCEEDED", 1)
    assert len(vendors.calls("huggingface", "submit")) == 1


def test_a_call_that_is_given_up_is_cancelled_at_its_vendor(alice: User, parked: Item, vendors: Remote) -> None:
    let_park_times_end()
    ask_now()
    assert fresh(parked).status == "HELD"
    work_while_due()
    assert len(vendors.calls("huggingface", "cancel")) == 1
    assert (outcomes(parked)[0], balance(alice)) == ("failed", 98)
    engine.cancel(parked.request_id)


def test_a_bug_in_keeping_what_was_parked_is_tried_once_more_then_refunded(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any, made: Made) -> None:
        made.files[0].body.close()
        raise LookupError("a bug")

    item = submit_one(alice, providers=[HUGGINGFACE])
    monkeypatch.setattr("generation.engine.judging.keep", broken)
    work_until_quiet()
    assert (fresh(item).status, fresh(item).error_code, balance(alice)) == ("FAILED", "UNKNOWN_ERROR", 100)
    assert outcomes(item) == ["failed", "failed"]


def test_a_key_that_is_away_for_a_moment_loses_no_parked_call(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = submit_one(alice, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    with monkeypatch.context() as patch:
        patch.setattr("providers.secrets.SIMULATOR_KEYS", {})
        ask_now()
    assert fresh(item).status == "WAITING"
    let_all_fall_due()
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"
    assert len(vendors.calls("huggingface", "submit")) == 1


@pytest.mark.parametrize(
    ("usual_s", "age_s", "wait_s"),
    [(None, 0, 0.1), (None, 2, 0.5), (None, 30, 2.0), (1.0, 0, 0.95), (1.0, 0.9, 0.1), (20.0, 2, 2.0), (20.0, 18, 1.8)],
)
def test_a_call_is_asked_about_when_its_kind_usually_ends(
    parked: Item, monkeypatch: pytest.MonkeyPatch, usual_s: float | None, age_s: float, wait_s: float
) -> None:
    answer = Pending(Attempt.objects.get().remote_id, poll_after_s=2.0, soonest_s=0.1)
    monkeypatch.setattr(pace, "usual_s", lambda kind: usual_s)
    monkeypatch.setattr(type(registry.adapter(HUGGINGFACE)), "poll", lambda *_: answer)
    Attempt.objects.update(accepted_at=timezone.now() - timedelta(seconds=age_s))
    ask_now()
    asked_next = Attempt.objects.get().poll_at
    assert asked_next
    assert (asked_next - timezone.now()).total_seconds() == pytest.approx(wait_s, abs=0.2)
    engine.cancel(parked.request_id)
    monkeypatch.undo()
    work_until_quiet()


def test_how_long_a_kind_takes_is_learned_from_what_was_fetched(alice: User, vendors: Remote) -> None:
    pace._took.clear()
    submit(alice, 3, providers=[HUGGINGFACE])
    work_while_due_without_asking()
    kinds = {(one.provider, one.operation, one.model) for one in Attempt.objects.all()}
    ages = iter([70, 50, 60])
    for attempt in Attempt.objects.order_by("pk"):
        Attempt.objects.filter(pk=attempt.pk).update(accepted_at=timezone.now() - timedelta(seconds=next(ages)))
    let_all_fall_due()
    work_until_quiet()
    (kind,) = kinds
    assert pace.usual_s(kind) == pytest.approx(60, abs=5), "the quickest but one of the last ones"
    assert pace.usual_s(("provider_x", *kind[1:])) is None


def test_the_last_question_comes_when_the_time_is_up(parked: Item, vendors: Remote) -> None:
    soon = timezone.now() + timedelta(seconds=0.5)
    Attempt.objects.update(park_until=soon)
    vendors.faults("huggingface", "503", operation="status", retry_after=60)
    ask_now()
    asked_next = Attempt.objects.get().poll_at
    assert asked_next
    assert asked_next <= soon + timedelta(seconds=1)
    engine.cancel(parked.request_id)
    work_until_quiet()


def test_an_item_past_its_deadline_fails_while_its_call_is_parked(alice: User, parked: Item, vendors: Remote) -> None:
    Item.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    engine.sweep()
    assert (fresh(parked).status, fresh(parked).error_code, balance(alice)) == ("FAILED", "TIMEOUT", 100)
    assert in_flight(HUGGINGFACE) == 1, "the vendor is still at it"
    work_while_due()
    assert (in_flight(HUGGINGFACE), len(vendors.calls("huggingface", "cancel"))) == (0, 1)


def test_a_cancel_that_was_never_confirmed_gives_nothing_back_when_the_time_is_up(alice: User, vendors: Remote) -> None:
    vendors.settings(delay_s=3600)
    item = submit_one(alice, providers=[HUGGINGFACE], cancel_refund="confirmed")
    work_while_due_without_asking()
    vendors.faults("huggingface", "503", operation="cancel", times=99)
    engine.cancel(item.request_id)
    assert (fresh(item).status, fresh(item).kept) == ("CANCELLED", 2)
    let_park_times_end()
    ask_now()
    assert (outcomes(item), in_flight(HUGGINGFACE)) == (["late"], 0)
    assert (fresh(item).kept, balance(alice)) == (2, 98), "it may well have been made and paid for"


def test_a_question_that_keeps_failing_ends_with_the_parked_calls_own_deadline(
    alice: User, parked: Item, vendors: Remote
) -> None:
    vendors.faults("huggingface", "500", operation="status", times=99)
    for _ in range(3):
        ask_now()
    assert fresh(parked).status == "WAITING"
    Attempt.objects.update(park_until=timezone.now() - timedelta(seconds=1))
    ask_now()
    assert (fresh(parked).status, fresh(parked).error_code) == ("HELD", "")
    assert outcomes(parked) == ["failed"]
    engine.cancel(parked.request_id)


def test_a_late_refusal_gives_nothing_back_for_an_item_that_failed_by_its_doors_rule(
    alice: User, vendors: Remote
) -> None:
    vendors.settings(delay_s=3600)
    item = submit_one(alice, providers=[HUGGINGFACE], keep_codes=("TIMEOUT",))
    engine.work(take())
    Item.objects.update(deadline_at=timezone.now() - timedelta(seconds=1))
    engine.sweep()
    assert (fresh(item).status, fresh(item).kept) == ("FAILED", 2)
    vendors.faults("huggingface", "bad-input", operation="status")
    ask_now()
    assert (outcomes(item), fresh(item).kept, balance(alice)) == (["late"], 2, 98)


def test_who_asked_about_an_older_call_does_not_touch_the_newer_one(alice: User, parked: Item) -> None:
    Attempt.objects.update(poll_at=timezone.now())
    [older] = polling._take()
    let_park_times_end()
    ask_now()
    engine.release_due()
    engine.work(take())
    assert (fresh(parked).status, fresh(parked).starts) == ("WAITING", 2)
    fetching.ended(older, ContentRejected())
    assert (fresh(parked).status, outcomes(parked)) == ("WAITING", ["failed", ""])
    engine.cancel(parked.request_id)
    work_until_quiet()
    assert balance(alice) == 100


def test_who_asked_at_the_same_time_does_not_close_a_call_whose_result_another_stores(
    alice: User, parked: Item
) -> None:
    asked = []
    for _ in range(2):
        Attempt.objects.update(poll_at=timezone.now())
        asked += polling._take()
    assert fetching.fetch(asked[0])
    fetching.ended(asked[1], ContentRejected())
    assert (fresh(parked).status, outcomes(parked)) == ("RUNNING", [""])
    engine.cancel(parked.request_id)
