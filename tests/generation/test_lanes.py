"""What happened in a lane decides who may enter it: cool-downs, breakers and their probes, the way out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from config.models import User
from generation import engine, lanes
from generation.claim import claim
from generation.models import Attempt, Item
from providers.errors import Misconfigured
from providers.models import Lane
from tests.generation.support import (
    HUGGINGFACE,
    OPENAI,
    balance,
    fresh,
    in_threads,
    let_waits_pass,
    outcomes,
    submit,
    submit_one,
    take,
    work_until_quiet,
    work_while_due,
)
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

BOTH = (OPENAI, HUGGINGFACE)


def lane(name: str = OPENAI) -> Lane:
    return Lane.objects.get(name=name)


def let_probe_fall_due() -> None:
    Lane.objects.filter(probe_at__isnull=False).update(probe_at=timezone.now())


# --- Cool-down ---------------------------------------------------------------------------------------


def test_a_vendor_without_room_cools_its_lane_down_for_everybody(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "rate-limit", retry_after=40)
    limited, waiting = submit_one(alice), submit_one(alice)
    began = timezone.now()
    work_while_due()
    until = lane().cooldown_until
    assert until is not None
    assert timedelta(seconds=39) < until - began < timedelta(seconds=50)
    assert (fresh(limited).status, fresh(limited).starts, outcomes(limited)) == ("HELD", 0, ["limited"])
    assert fresh(waiting).status == "QUEUED"
    work_until_quiet()
    assert {fresh(limited).status, fresh(waiting).status} == {"SUCCEEDED"}
    assert fresh(limited).results["generate"]["starts"] == 1, "waiting for room is no start"


def test_a_shorter_wait_does_not_shorten_the_cool_down(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "rate-limit", retry_after=200)
    vendors.faults("openai", "rate-limit", retry_after=2)
    submit(alice, 2)
    for taken in claim(2):
        engine.work(taken)
    until = lane().cooldown_until
    assert until is not None
    assert until > timezone.now() + timedelta(seconds=100)
    work_until_quiet()


# --- Breaker -----------------------------------------------------------------------------------------


def break_lane(owner: User, vendors: Remote) -> list[Item]:
    """Let 20 calls fail within a minute; those items may try again later."""
    vendors.faults("openai", "500", times=20)
    items = list(submit(owner, 20, price=1, base_s=300.0, max_starts=9).items.all())
    work_while_due()
    assert lane().breaker == "open"
    return items


def test_many_failures_open_the_breaker_and_one_probe_is_let_through_at_a_time(alice: User, vendors: Remote) -> None:
    break_lane(alice, vendors)
    submit(alice, 10, price=1)
    assert "20 of 20 calls failed" in lane().breaker_reason
    assert claim(5) == [], "the first probe is due in 15 s"
    let_probe_fall_due()
    taken = [one for claims in in_threads(6, lambda: claim(3)) for one in claims]
    assert len(taken) == 1
    vendors.faults("openai", "500")
    engine.work(taken[0])
    assert lane().breaker == "open"
    assert claim(5) == [], "a failed probe: the next in 15 s"
    let_probe_fall_due()
    probe = take()
    let_probe_fall_due()
    assert claim(5) == [], "the probe is still at the vendor"
    engine.work(probe)
    assert lane().breaker == "closed"
    assert len(claim(20)) == 8
    for request in {item.request_id for item in Item.objects.all()}:
        engine.cancel(request)
    Attempt.objects.filter(ended_at__isnull=True).update(ended_at=timezone.now(), outcome="not-sent")


def test_refused_prompts_say_nothing_about_the_vendor(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "filtered", times=25)
    submit(alice, 25, price=1)
    work_while_due()
    assert lane().breaker == "closed"
    assert balance(alice) == 100


@pytest.mark.parametrize("fault", ["unauthorized", "no-credit", "forbidden"])
def test_an_error_of_ours_opens_the_breaker_at_once_and_the_next_candidate_takes_over(
    alice: User, vendors: Remote, fault: str
) -> None:
    vendors.faults("openai", fault, times=100)
    items = list(submit(alice, 3, providers=BOTH).items.all())
    engine.work(take())
    assert lane().breaker == "open"
    assert engine.sweep()["leave_closed_lanes"] == 2
    work_until_quiet()
    assert [fresh(item).status for item in items] == ["SUCCEEDED"] * 3
    assert len(vendors.calls("openai")) == 1
    assert {fresh(item).results["generate"]["starts"] for item in items} == {1}
    assert balance(alice) == 94, "the price that was charged stays"


def test_an_error_of_ours_without_another_candidate_waits_for_a_probe_and_blames_nobody(
    alice: User, vendors: Remote
) -> None:
    vendors.faults("openai", "unauthorized", times=2)
    item = submit_one(alice, max_starts=1)
    work_while_due()
    assert (fresh(item).status, fresh(item).starts, len(vendors.calls())) == ("QUEUED", 0, 1)
    let_probe_fall_due()
    work_while_due()
    assert (fresh(item).status, fresh(item).starts, len(vendors.calls())) == ("QUEUED", 0, 2)
    let_probe_fall_due()
    work_while_due()
    assert fresh(item).status == "SUCCEEDED"
    assert lane().breaker == "closed"


def test_a_wrong_setting_of_ours_opens_the_breaker_at_once(alice: User, vendors: Remote, settings: object) -> None:
    lanes.note_failure(OPENAI, Misconfigured(detail="plain http"))
    assert lane().breaker == "open"
    assert "ours" not in lane().breaker_reason
    assert "our key, account or setting" in lane().breaker_reason


def test_resuming_a_paused_lane_sends_its_probe_at_once(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "unauthorized")
    item = submit_one(alice)
    work_while_due()
    engine.pause(OPENAI, actor="stella")
    engine.resume(OPENAI)
    work_while_due()
    assert fresh(item).status == "SUCCEEDED"


# --- The way out -------------------------------------------------------------------------------------


def test_what_waits_in_a_paused_lane_goes_to_its_next_candidate_ranked_anew(
    alice: User, bob: User, vendors: Remote
) -> None:
    submit(bob, 3, providers=[HUGGINGFACE])
    moving = submit(alice, 3, providers=BOTH)
    staying = submit_one(alice, providers=[OPENAI])
    engine.pause(OPENAI, actor="stella")
    assert engine.sweep()["leave_closed_lanes"] == 3
    rows = moving.items.order_by("index").values_list("lane", "candidate", "rank")
    assert list(rows) == [(HUGGINGFACE, 1, rank) for rank in range(3)]
    assert fresh(staying).lane == OPENAI
    work_until_quiet()
    assert set(moving.items.values_list("status", flat=True)) == {"SUCCEEDED"}
    assert vendors.calls("openai") == []
    assert fresh(staying).status == "QUEUED"


def test_those_who_cannot_leave_do_not_stand_in_the_way_of_those_who_can(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.lanes.MOVE_BATCH", 2)
    submit(alice, 3, providers=[OPENAI])
    moving = submit_one(alice, providers=BOTH)
    engine.pause(OPENAI, actor="stella")
    assert engine.sweep()["leave_closed_lanes"] == 1
    assert fresh(moving).lane == HUGGINGFACE


def test_with_every_candidate_closed_all_wait(alice: User, vendors: Remote) -> None:
    submit(alice, 2, providers=BOTH)
    for name in BOTH:
        engine.pause(name, actor="stella")
    assert engine.sweep()["leave_closed_lanes"] == 0
    assert set(Item.objects.values_list("lane", "candidate")) == {(OPENAI, 0)}


def test_a_model_that_is_gone_sends_its_item_on_without_a_start(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "model-gone")
    item = submit_one(alice, providers=BOTH, max_starts=1)
    work_until_quiet()
    assert (fresh(item).status, outcomes(item)) == ("SUCCEEDED", ["passed-on", "made"])
    assert fresh(item).results["generate"]["starts"] == 1


def test_a_retry_waits_behind_those_who_did_not_fail(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "500", match="unlucky")
    unlucky = submit_one(alice, prompt="an unlucky lighthouse")
    work_while_due()
    late = submit_one(alice)
    let_waits_pass()
    assert (fresh(unlucky).status, fresh(unlucky).weight, fresh(unlucky).priority) == ("QUEUED", 1, "normal")
    assert take().item.pk == late.pk
    engine.cancel(late.request_id)
    Attempt.objects.filter(item=late).update(ended_at=timezone.now(), outcome="not-sent")
    work_until_quiet()
    assert fresh(unlucky).status == "SUCCEEDED"
