"""A step that leaves a verdict: good goes on, bad makes anew while passes last. The checker is a stand-in."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from config.models import User
from generation import engine, storage
from generation.claim import Claim
from generation.engine import working
from generation.models import Attempt, Item, ItemStatus
from generation.plan import Candidate, RetryPolicy, StepPlan
from providers.base import Made
from providers.errors import RateLimited, Unavailable
from providers.models import Lane
from tests.generation.support import (
    HUGGINGFACE,
    OPENAI,
    balance,
    fresh,
    make_plan,
    outcomes,
    picture,
    take,
    told,
    work_until_quiet,
    work_while_due,
)
from tests.generation.vendor import Vendor, making, stand_in
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

CHECKER = "provider_h"
DRAWN = making(picture())
CLEAN = {"has_text": False, "has_annotations": False}
DIRTY = {"has_text": True, "has_annotations": False}


def submit_checked(owner: User, monkeypatch: pytest.MonkeyPatch, *verdicts: dict[str, Any], passes: int = 2) -> Item:
    stand_in(monkeypatch, *[Made((), Decimal("0.00015"), "verifier", extra=one) for one in verdicts], alias=CHECKER)
    plan = make_plan(owner, thumbnail=True)
    drawn, thumbnail = plan.items[0].steps
    verify = StepPlan(
        "verify",
        "verify-image",
        {},
        (Candidate(CHECKER, "verifier"),),
        checks=("no-text",),
        again_from="generate",
        passes=passes,
    )
    item = replace(plan.items[0], steps=(drawn, verify, thumbnail))
    return engine.submit(replace(plan, items=(item,))).items.get()


def steps_and_passes(item: Item) -> list[tuple[int, int]]:
    return list(Attempt.objects.filter(item=item).order_by("pk").values_list("step", "pass_no"))


def test_a_clean_verdict_lets_the_picture_through(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = submit_checked(alice, monkeypatch, CLEAN)
    work_until_quiet()
    assert fresh(item).status == ItemStatus.SUCCEEDED
    assert steps_and_passes(item) == [(0, 0), (1, 0), (2, 0)]
    assert len(vendors.calls("openai")) == 1


@pytest.mark.parametrize("pauses", [False, True])
def test_what_follows_of_our_own_is_done_by_the_same_claim_unless_our_lane_waits(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch, pauses: bool
) -> None:
    item = submit_checked(alice, monkeypatch, CLEAN)
    engine.work(take())
    call, checking = working._call, take()

    def call_while_staff_pause(claim: Claim, plan: StepPlan) -> Any:
        if pauses:
            engine.pause("internal", actor="stella")
        return call(claim, plan)

    monkeypatch.setattr(working, "_call", call_while_staff_pause)
    engine.work(checking)
    stands = fresh(item)
    assert (stands.status, stands.fence - checking.fence) == (("QUEUED", 1) if pauses else ("SUCCEEDED", 0))
    engine.resume("internal")
    work_until_quiet()
    assert (fresh(item).status, outcomes(item)) == ("SUCCEEDED", ["made", "made", "made"])


def test_a_bad_verdict_makes_a_new_picture(alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    item = submit_checked(alice, monkeypatch, DIRTY, CLEAN)
    work_until_quiet()
    assert fresh(item).status == ItemStatus.SUCCEEDED
    assert steps_and_passes(item) == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0)]
    assert len(vendors.calls("openai")) == 2
    assert balance(alice) == 98  # charged once, however many passes


def test_the_last_bad_verdict_fails_and_refunds(alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    item = submit_checked(alice, monkeypatch, DIRTY, {"has_text": "no", "has_annotations": False})
    work_until_quiet()
    failed = fresh(item)
    assert (failed.status, failed.error_code) == (ItemStatus.FAILED, "CHECK_FAILED")
    assert len(vendors.calls("openai")) == 2
    assert balance(alice) == 100


# --- Failures that end passes ------------------------------------------------------------------------


def submit_story(
    owner: User,
    *,
    passes: int = 3,
    verify_starts: int = 2,
    verify_base_s: float = 0,
    asks_again: bool = False,
    **generate: Any,
) -> Item:
    """One picture as a story wants it: each failure of the one that draws is a pass, the checker may be asked twice."""
    plan = make_plan(owner, providers=[OPENAI, HUGGINGFACE], max_starts=1)
    picture = plan.items[0].steps[0]
    policy = replace(picture.retry, next_candidate_after=2, weight_after_error=None)
    picture = replace(picture, passes=passes, failure_ends_pass=True, retry=policy, **generate)
    verify = StepPlan(
        "verify",
        "verify-image",
        {"images": ["step:generate"]},
        (Candidate(CHECKER, "verifier"),),
        checks=("no-text",),
        again_from="generate",
        passes=passes,
        failure_ends_pass=True,
        retry=RetryPolicy(verify_starts, verify_base_s),
        asks_again=asks_again,
    )
    return engine.submit(replace(plan, items=(replace(plan.items[0], steps=(picture, verify)),))).items.get()


def seen(text: bool) -> Made:
    return Made((), Decimal("0.00015"), "verifier", extra={"has_text": text, "has_annotations": False})


def tries_of(item: Item) -> list[tuple[int, str, str]]:
    """(pass, who, what came of it) of each attempt."""
    attempts = Attempt.objects.filter(item=item).order_by("pk")
    return list(attempts.values_list("pass_no", "provider", "outcome"))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand-ins for the main drawer, the one to fall back on, and the checker."""

    def set_up(main: list[Any], fallback: list[Any] | None = None, checker: list[Any] | None = None) -> list[Vendor]:
        return [
            stand_in(monkeypatch, *answers, alias=alias)
            for alias, answers in (
                (OPENAI, main),
                (HUGGINGFACE, fallback or [DRAWN]),
                (CHECKER, checker or [seen(text=False)]),
            )
        ]

    return set_up


def test_two_failures_in_a_row_lead_to_the_fallback_for_all_further_passes(alice: User, desk: Any) -> None:
    main, fallback, _ = desk([Unavailable()], [DRAWN], [seen(text=True), seen(text=False)])
    item = submit_story(alice, passes=4)
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"
    assert tries_of(item) == [
        (0, OPENAI, "failed"),
        (1, OPENAI, "failed"),
        (2, HUGGINGFACE, "made"),
        (2, CHECKER, "made"),
        (3, HUGGINGFACE, "made"),
        (3, CHECKER, "made"),
    ]
    assert (len(main.calls), len(fallback.calls), balance(alice)) == (2, 2, 98)


def test_a_rejected_picture_is_no_failure_and_ends_a_row_of_them(alice: User, desk: Any) -> None:
    desk([Unavailable(), DRAWN, Unavailable(), DRAWN], None, [seen(text=True), seen(text=False)])
    item = submit_story(alice, passes=4)
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"
    assert [who for _, who, _ in tries_of(item) if who != CHECKER] == [OPENAI] * 4


def test_failures_and_rejections_share_one_counter(alice: User, desk: Any) -> None:
    desk([DRAWN, Unavailable()], [Unavailable()], [seen(text=True)])
    item = submit_story(alice, passes=3)
    work_until_quiet()
    now = fresh(item)
    assert (now.status, now.error_code, now.pass_no, balance(alice)) == ("FAILED", "SERVICE_UNAVAILABLE", 2, 100)
    assert [(number, what) for number, _, what in tries_of(item)] == [
        (0, "made"),
        (0, "made"),
        (1, "failed"),
        (2, "failed"),
    ]


def test_rate_limits_are_waited_out_inside_a_pass_until_they_are_too_many(alice: User, desk: Any) -> None:
    main, *_ = desk([RateLimited()] * 5 + [DRAWN])
    item = submit_story(alice, passes=2, rate_limit_starts=3)
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"
    limited = [number for number, _, what in tries_of(item) if what == "limited"]
    assert (limited, len(main.calls)) == ([0, 0, 0, 1, 1], 6), "the third ends the pass; nobody is blamed for them"


def test_a_checker_that_cannot_be_had_ends_the_pass(alice: User, desk: Any) -> None:
    desk([DRAWN], None, [Unavailable(), Unavailable(), seen(text=False)])
    item = submit_story(alice, passes=2)
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"
    assert [(number, who) for number, who, _ in tries_of(item)] == [
        (0, OPENAI),
        (0, CHECKER),
        (0, CHECKER),
        (1, OPENAI),
        (1, CHECKER),
    ]


def test_a_checker_that_cannot_be_had_on_the_last_pass_fails_and_refunds(alice: User, desk: Any) -> None:
    desk([DRAWN], None, [Unavailable()])
    item = submit_story(alice, passes=1)
    work_until_quiet()
    assert (fresh(item).status, fresh(item).error_code, balance(alice)) == ("FAILED", "SERVICE_UNAVAILABLE", 100)


def test_a_picture_that_was_rejected_is_dropped_once_there_is_another(alice: User, desk: Any) -> None:
    desk([DRAWN], None, [seen(text=True), seen(text=False)])
    item = submit_story(alice)
    work_until_quiet()
    made = Attempt.objects.filter(item=item, provider=OPENAI).order_by("pk")
    rejected, kept = made.values_list("key", flat=True)
    assert [asset.key for asset in item.assets.all()] == [kept]
    assert storage.has(kept)
    assert not storage.has(rejected)


def test_after_a_bad_verdict_too_a_pass_waits_its_pause(alice: User, desk: Any) -> None:
    desk([DRAWN], None, [seen(text=True), seen(text=False)])
    item = submit_story(alice, verify_base_s=1000)
    work_while_due()
    now = fresh(item)
    assert (now.status, now.hold_reason, now.step, now.pass_no) == ("HELD", "retry", 0, 1)
    assert now.run_after > timezone.now()
    assert told(now.request)[-1] == "step"
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"


def test_a_bad_verdict_is_asked_for_again_where_the_plan_says_so(alice: User, desk: Any) -> None:
    main, _, checker = desk([DRAWN], None, [seen(text=True), seen(text=False)])
    item = submit_story(alice, asks_again=True)
    work_until_quiet()
    assert (fresh(item).status, len(main.calls), len(checker.calls)) == ("SUCCEEDED", 1, 2)
    asked = Attempt.objects.filter(item=item, provider=CHECKER).order_by("pk")
    assert [one.said["has_text"] for one in asked] == [True, False]


def test_asked_again_in_vain_it_is_drawn_anew(alice: User, desk: Any) -> None:
    main, _, checker = desk([DRAWN], None, [seen(text=True)])
    item = submit_story(alice, asks_again=True, passes=2)
    work_until_quiet()
    assert (fresh(item).error_code, len(main.calls), len(checker.calls)) == ("CHECK_FAILED", 2, 4)


def test_a_verdict_closes_an_open_breaker(alice: User, desk: Any) -> None:
    desk([DRAWN])
    item = submit_story(alice)
    engine.work(take())
    Lane.objects.filter(name=CHECKER).update(
        breaker="open", breaker_reason="it was away", opened_at=timezone.now(), probe_at=None
    )
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"
    assert Lane.objects.get(name=CHECKER).breaker == "closed"
