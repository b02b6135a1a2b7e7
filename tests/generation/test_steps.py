"""What a plan may ask for beyond a picture and its thumbnail: own steps, other files, final keys."""

from __future__ import annotations

import pytest

from config.models import User
from generation import engine
from tests.generation.support import make_plan

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


def test_a_plan_knows_the_id_of_its_request_before_it_is_stored(alice: User) -> None:
    plan = make_plan(alice)
    assert engine.submit(plan).pk == plan.id
