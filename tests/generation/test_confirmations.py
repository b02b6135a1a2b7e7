"""A commit that went through and whose confirmation was lost, or whose worker died right after it: what follows must
change nothing twice, and have nothing made twice.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from config.models import User
from generation import engine
from generation.claim import Claim
from generation.engine import again, fetching, judging, polling
from generation.models import Attempt, Chore
from generation.plan import Candidate, StepPlan
from providers.base import Made
from tests.generation.support import (
    HUGGINGFACE,
    OPENAI,
    balance,
    fresh,
    let_leases_end,
    make_plan,
    outcomes,
    submit_one,
    take,
    work_until_quiet,
)
from tests.generation.vendor import stand_in
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

COMMITS = range(1, 6)


class Line:
    """The line to the database. It breaks right after the n-th commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, breaks_after: int) -> None:
        self.commits, self.breaks_after, commit = 0, breaks_after, BaseDatabaseWrapper._commit

        def and_break(wrapper: BaseDatabaseWrapper) -> None:
            commit(wrapper)
            self.commits += 1
            if self.commits == self.breaks_after:
                raise OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(again, "WAITS_S", (0.0, 0.0))
        monkeypatch.setattr(BaseDatabaseWrapper, "_commit", and_break)


@pytest.mark.parametrize("nth", COMMITS)
@pytest.mark.parametrize("alias", [OPENAI, HUGGINGFACE])
def test_a_picture_is_made_and_paid_for_once(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch, alias: str, nth: int
) -> None:
    item = submit_one(alice, providers=[alias])
    with monkeypatch.context() as patched:
        Line(patched, nth)
        work_despite_all()
    work_until_quiet()
    assert (fresh(item).status, balance(alice), outcomes(item)) == ("SUCCEEDED", 98, ["made"])
    assert not Chore.objects.filter(kind="cancel-at-vendor").exists()


@pytest.mark.parametrize("nth", COMMITS)
@pytest.mark.parametrize("alias", [OPENAI, HUGGINGFACE])
def test_a_failure_is_given_back_once(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch, alias: str, nth: int
) -> None:
    vendors.faults("openai" if alias == OPENAI else "huggingface", "filtered", times=9)
    item = submit_one(alice, providers=[alias])
    with monkeypatch.context() as patched:
        Line(patched, nth)
        work_despite_all()
    work_until_quiet()
    assert (fresh(item).status, balance(alice), Attempt.objects.get().error_code) == ("FAILED", 100, "CONTENT_REJECTED")
    assert fresh(item).refunded == 2


@pytest.mark.parametrize("nth", range(1, 8))
def test_a_picture_is_judged_once_and_what_follows_is_done(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    clean = Made((), Decimal("0.00015"), "verifier", extra={"has_text": False, "has_annotations": False})
    stand_in(monkeypatch, clean, alias="provider_h")
    verify = StepPlan("verify", "verify-image", {}, (Candidate("provider_h", "verifier"),), checks=("no-text",))
    plan = make_plan(alice, thumbnail=True)
    drawn, thumbnail = plan.items[0].steps
    item = engine.submit(replace(plan, items=(replace(plan.items[0], steps=(drawn, verify, thumbnail)),))).items.get()
    with monkeypatch.context() as patched:
        Line(patched, nth)
        work_despite_all()
    work_until_quiet()
    assert (fresh(item).status, balance(alice)) == ("SUCCEEDED", 98)
    assert (fresh(item).losses, outcomes(item).count("made")) == (0, 3)
    assert not Attempt.objects.filter(ended_at=None).exists()


def work_despite_all() -> None:
    """Work as a worker's threads do, which outlive whatever a piece of work raises."""
    with suppress(OperationalError):
        work_until_quiet()
    let_leases_end()
    engine.sweep()


def test_a_result_whose_fetcher_died_is_fetched_again_and_not_made_again(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(claim: Claim, made: Made) -> None:
        made.files[0].body.close()
        raise Killed

    item = submit_one(alice, providers=[HUGGINGFACE])
    engine.work(take())
    Attempt.objects.update(poll_at=timezone.now())
    with monkeypatch.context() as patched:
        patched.setattr(judging, "take", die)
        with pytest.raises(Killed):
            engine.poll()
    # Its round is over before its lease is.
    Attempt.objects.filter(poll_at__isnull=False).update(poll_at=timezone.now())
    engine.poll()
    let_leases_end()
    engine.sweep()
    work_until_quiet()
    assert (fresh(item).status, balance(alice), outcomes(item)) == ("SUCCEEDED", 98, ["made"])
    assert len(vendors.calls("huggingface", "submit")) == 1


def test_who_asked_beside_the_holder_does_not_end_what_is_being_stored(alice: User, vendors: Remote) -> None:
    item = submit_one(alice, providers=[HUGGINGFACE])
    engine.work(take())
    Attempt.objects.update(poll_at=timezone.now())
    (one,) = polling._take()
    assert fetching.fetch(one)
    # A question that was on its way is written down now, and the call is asked about although it is held.
    Attempt.objects.update(poll_at=timezone.now())
    engine.poll()
    assert Attempt.objects.get().ended_at is None
    let_leases_end()
    engine.sweep()
    work_until_quiet()
    assert (fresh(item).status, outcomes(item)) == ("SUCCEEDED", ["made"])


def test_a_call_that_was_cancelled_under_a_dead_fetcher_leaves_its_lane(alice: User, vendors: Remote) -> None:
    item = submit_one(alice, providers=[HUGGINGFACE])
    engine.work(take())
    Attempt.objects.update(poll_at=timezone.now())
    (one,) = polling._take()
    assert fetching.fetch(one)
    engine.cancel(item.request_id)
    assert engine.sweep()["close_abandoned"] == 0
    let_leases_end()
    assert engine.sweep()["close_abandoned"] == 1
    assert outcomes(item) == ["lost"]
