"""A part of the price that cannot be delivered is given back alone; the item goes on without it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from config.models import User
from credits.models import Entry
from generation import engine
from generation.models import Attempt, Event, Item
from generation.plan import Candidate, ItemPlan, RetryPolicy, StepPlan
from providers.errors import AnswerLost, ContentRejected, Unavailable
from tests.generation.support import (
    HUGGINGFACE,
    OPENAI,
    THUMBNAIL,
    balance,
    fresh,
    let_leases_end,
    make_plan,
    outcomes,
    picture,
    take,
    told,
    work_until_quiet,
)
from tests.generation.vendor import making, stand_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

MADE = making(picture())


def asked(name: str, alias: str = HUGGINGFACE, **fields: Any) -> StepPlan:
    policy = RetryPolicy(1, 0)
    return StepPlan(name, "image-to-image", {"prompt": "x"}, (Candidate(alias),), **{"retry": policy, **fields})


def submit_pose(owner: User, *steps: StepPlan, **item: Any) -> Item:
    """A pose of 30 credits, and 10 for its background, which another vendor makes; then a thumbnail."""
    pose = asked("generate", OPENAI)
    behind = steps or (asked("cut-out", part="background"), asked("background", part="background"))
    plan = make_plan(owner)
    wanted: dict[str, Any] = {"steps": (pose, *behind, THUMBNAIL), "price": 40, "parts": {"background": 10}, **item}
    return engine.submit(replace(plan, items=(replace(plan.items[0], **wanted),))).items.get()


@pytest.fixture(autouse=True)
def steps_of_a_pose(monkeypatch: pytest.MonkeyPatch) -> None:
    from generation.models import AssetKind
    from generation.steps import STEPS, Step

    for name in ("cut-out", "background"):
        monkeypatch.setitem(STEPS, name, Step(AssetKind.IMAGE))


def refunds(item: Item) -> list[tuple[int, str]]:
    posted = Entry.objects.filter(subject=f"item:{item.pk}", kind="refund").order_by("pk")
    return [(entry.amount, entry.reference.partition(f"item:{item.pk}:")[2]) for entry in posted]


def test_a_part_that_fails_is_given_back_and_the_item_goes_on_without_it(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    vendor = stand_in(monkeypatch, Unavailable())
    item = submit_pose(alice)
    work_until_quiet()
    done = fresh(item)
    assert (done.status, done.charged, done.refunded, balance(alice)) == ("SUCCEEDED", 40, 10, 70)
    assert done.results["background"] == {"failed": "SERVICE_UNAVAILABLE", "refunded": 10}
    assert set(done.results) == {"generate", "background", "thumbnail"}
    assert (len(vendor.calls), refunds(item)) == (1, [(10, "0:part:background")])
    assert told(item.request) == [
        "submitted", "request-started", "started", "step", "started", "refunded", "step", "succeeded",
        "request-completed",
    ]  # fmt: skip
    assert Event.objects.get(item=item, kind="refunded").data == {"refunded": 10, "part": "background"}


def test_what_the_part_had_made_before_it_failed_is_kept(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, MADE, Unavailable())
    item = submit_pose(alice)
    work_until_quiet()
    assert (fresh(item).status, fresh(item).refunded) == ("SUCCEEDED", 10)
    assert sorted(asset.step for asset in item.assets.all()) == ["cut-out", "generate", "thumbnail"]


def test_a_part_at_the_end_lets_its_item_succeed(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, Unavailable())
    item = submit_pose(alice, steps=(asked("generate", OPENAI), asked("background", part="background")))
    work_until_quiet()
    assert (fresh(item).status, fresh(item).progress, balance(alice)) == ("SUCCEEDED", 100, 70)
    assert told(item.request)[-3:] == ["refunded", "succeeded", "request-completed"]


def test_a_part_is_tried_as_its_policy_says_before_it_is_given_up(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    vendor = stand_in(monkeypatch, Unavailable(), Unavailable(), MADE)
    item = submit_pose(alice, asked("background", part="background", retry=RetryPolicy(3, 0)))
    work_until_quiet()
    assert (fresh(item).status, len(vendor.calls), balance(alice)) == ("SUCCEEDED", 3, 60)
    assert "failed" not in fresh(item).results["background"]


def test_the_rest_is_given_back_when_the_item_fails_later(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, Unavailable())
    item = submit_pose(alice, asked("background", part="background"), asked("cut-out"))
    work_until_quiet()
    assert (fresh(item).status, fresh(item).refunded, balance(alice)) == ("FAILED", 40, 100)
    assert refunds(item) == [(10, "0:part:background"), (30, "0:2")]


def test_the_rest_is_given_back_when_the_item_is_cancelled_later(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, Unavailable())
    item = submit_pose(alice, cancel_refund="always")
    engine.work(take())
    engine.work(take())
    assert (fresh(item).status, balance(alice)) == ("QUEUED", 70)
    engine.cancel(item.request_id)
    assert (fresh(item).refunded, balance(alice)) == (40, 100)


def test_a_part_that_the_door_does_not_refund_is_paid_for(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, ContentRejected())
    item = submit_pose(alice, keep_codes=("CONTENT_REJECTED",))
    work_until_quiet()
    assert (fresh(item).status, balance(alice), refunds(item)) == ("SUCCEEDED", 60, [])
    assert fresh(item).results["background"] == {"failed": "CONTENT_REJECTED", "refunded": 0}


def test_losses_of_a_part_cost_the_part_and_not_the_item(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, AnswerLost())
    item = submit_pose(alice, asked("background", part="background", retry=RetryPolicy(9, 0)))
    work_until_quiet()
    done = fresh(item)
    assert (done.status, done.losses, done.quarantined_at, balance(alice)) == ("SUCCEEDED", 0, None, 70)
    assert outcomes(item) == ["made", "lost", "lost", "lost", "made"]


def test_a_part_that_takes_too_long_is_given_up_and_the_item_has_time_again(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, Unavailable())
    item = submit_pose(alice, asked("background", part="background", retry=RetryPolicy(3, 1000)), deadline_s=0)
    engine.work(take())
    engine.work(take())
    assert fresh(item).status == "HELD"
    assert engine.sweep()["expire_deadlines"] == 1
    assert (fresh(item).status, fresh(item).step_name, fresh(item).hold_reason) == ("QUEUED", "thumbnail", "")
    assert engine.sweep()["expire_deadlines"] == 0
    work_until_quiet()
    assert (fresh(item).status, balance(alice)) == ("SUCCEEDED", 70)


def test_a_part_whose_verdict_stays_bad_is_given_up(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from providers.base import Made

    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, Made((), Decimal(0), "main", extra={"has_text": True}))
    verify = asked("verify", part="background", checks=("no-text",), again_from="generate")
    item = submit_pose(alice, verify)
    work_until_quiet()
    assert (fresh(item).status, fresh(item).results["background"]["failed"]) == ("SUCCEEDED", "CHECK_FAILED")
    assert balance(alice) == 70


def test_a_reopened_item_does_not_pay_again_for_a_part_that_was_given_up(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, Unavailable(), Unavailable(), MADE)
    item = submit_pose(alice, asked("background", part="background"), asked("cut-out"))
    work_until_quiet()
    assert engine.reopen(item.request_id, actor="stella", charge=True) == 1
    assert balance(alice) == 70
    work_until_quiet()
    assert (fresh(item).status, fresh(item).charged, fresh(item).refunded) == ("SUCCEEDED", 70, 40)


def test_whoever_dies_over_the_last_try_of_a_part_gives_it_back_once(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, MADE)
    item = submit_pose(alice)
    engine.work(take())
    dying = take()
    let_leases_end()
    assert engine.sweep()["expire_leases"] == 1
    engine.work(dying)  # it was not dead, only slow
    work_until_quiet()
    assert (fresh(item).status, refunds(item), balance(alice)) == ("SUCCEEDED", [(10, "0:part:background")], 70)


def test_a_part_without_a_price_fails_for_free(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, Unavailable())
    item = submit_pose(alice, price=0, parts={"background": 0})
    work_until_quiet()
    assert (fresh(item).status, balance(alice), refunds(item)) == ("SUCCEEDED", 100, [])


@pytest.mark.parametrize("parts", [{}, {"background": 41}, {"background": 45, "seam": -5}])
def test_a_plan_whose_parts_do_not_add_up_cannot_be_made(parts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="credits|parts"):
        ItemPlan("x", (asked("background", part="background"),), price=40, parts=parts)


def test_costs_of_a_part_that_was_given_back_are_known(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, MADE, alias=OPENAI)
    stand_in(monkeypatch, making(b"no picture"))
    item = submit_pose(alice)
    work_until_quiet()
    failed = Attempt.objects.get(item=item, outcome="failed")
    assert (failed.cost_usd, fresh(item).results["background"]["failed"]) == (Decimal("0.20"), "INVALID_IMAGE")
