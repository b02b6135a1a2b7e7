"""A step that leaves a verdict: good goes on, bad makes anew while passes last.

No vendor here gives verdicts yet, so the checker alone is a stand-in; pictures come from the simulator.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from config.models import User
from generation import engine
from generation.models import Attempt, Item, ItemStatus
from generation.plan import Candidate, StepPlan
from providers import registry
from providers.base import Call, Made
from tests.generation.support import balance, fresh, make_plan, work_until_quiet
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

CLEAN = {"has_text": False, "has_annotations": False}
DIRTY = {"has_text": True, "has_annotations": False}


class Checker:
    """Answers verdicts in turn."""

    def __init__(self, *verdicts: dict[str, Any]) -> None:
        self.verdicts = list(verdicts)

    def run(self, call: Call) -> Made:
        return Made((), Decimal("0.00015"), call.model, extra=self.verdicts.pop(0))


def submit_checked(owner: User, monkeypatch: pytest.MonkeyPatch, *verdicts: dict[str, Any], passes: int = 2) -> Item:
    checker, adapter = Checker(*verdicts), registry.adapter
    monkeypatch.setattr(registry, "adapter", lambda alias: checker if alias == "provider_g" else adapter(alias))
    plan = make_plan(owner, thumbnail=True)
    picture, thumbnail = plan.items[0].steps
    verify = StepPlan(
        "verify",
        "verify-image",
        {},
        (Candidate("provider_g", "verifier"),),
        checks=("no-text",),
        again_from="generate",
        passes=passes,
    )
    item = replace(plan.items[0], steps=(picture, verify, thumbnail))
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
