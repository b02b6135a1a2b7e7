"""A worker's crew: what its threads take up, and in which order."""

from __future__ import annotations

import pytest

from config.models import User
from generation.claim import Claim
from generation.models import Attempt
from generation.worker import Crew
from tests.generation.support import fresh, submit, submit_one
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


def test_a_thread_that_made_a_picture_makes_its_thumbnail_before_anything_else(
    alice: User, bob: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = submit_one(alice, thumbnail=True)
    urgent = []
    work = Crew._work

    def work_while_an_urgent_one_comes(crew: Crew, taken: Claim) -> None:
        if not urgent:
            urgent.append(submit_one(bob, priority="urgent"))
        work(crew, taken)

    monkeypatch.setattr(Crew, "_work", work_while_an_urgent_one_comes)
    Crew()._work_while_there_is_some()
    steps = list(Attempt.objects.order_by("id").values_list("item_id", "step"))
    assert steps == [(calm.pk, 0), (calm.pk, 1), (urgent[0].pk, 0)]
    assert [fresh(item).status for item in (calm, *urgent)] == ["SUCCEEDED", "SUCCEEDED"]


def test_our_own_steps_are_left_to_those_who_may_take_them(alice: User, vendors: Remote) -> None:
    request = submit(alice, 1, thumbnail=True)
    crew = Crew()
    crew.only = crew.only.parse(["operation:text-to-image"])
    crew._work_while_there_is_some()
    item = request.items.get()
    assert (item.status, item.lane) == ("QUEUED", "internal")
