"""What lost calls probably cost: their answers are gone, their vendors have billed them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from config.models import User
from generation import engine
from generation.engine import keeping, leases
from generation.models import Attempt, Item
from providers import registry
from tests.generation.support import let_leases_end, outcomes, submit_one, take, work_until_quiet
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

# Of a model that is billed by its seconds, nobody knows.
UNKNOWN = {("provider_e", "segment", "main")}


@pytest.fixture
def seven_cents(settings: Any) -> None:
    settings.OPENAI = {**settings.OPENAI, "QUALITY": "medium", "ESTIMATES_USD": {"medium": "0.07"}}


def costs(item: Item) -> list[Decimal]:
    return list(Attempt.objects.filter(item=item).order_by("pk").values_list("cost_usd", flat=True))


@pytest.mark.usefixtures("seven_cents")
def test_an_answer_that_never_came_is_probably_spent(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "reset", times=1)
    item = submit_one(alice)
    work_until_quiet()
    assert outcomes(item) == ["lost", "made"]
    assert costs(item)[0] == Decimal("0.07")


@pytest.mark.usefixtures("seven_cents")
def test_a_killed_workers_call_is_probably_spent(alice: User, vendors: Remote) -> None:
    item = submit_one(alice)
    take()
    let_leases_end()
    engine.sweep()
    assert (outcomes(item), costs(item)) == (["lost"], [Decimal("0.07")])


@pytest.mark.usefixtures("seven_cents")
def test_a_drained_workers_call_is_probably_spent(alice: User) -> None:
    item = submit_one(alice)
    taken = take()
    leases.give_up([(item.pk, taken.fence)])
    assert (outcomes(item), costs(item)) == (["lost"], [Decimal("0.07")])


@pytest.mark.usefixtures("seven_cents")
def test_an_abandoned_call_is_probably_spent_until_its_answer_says_how_much(alice: User, vendors: Remote) -> None:
    item = submit_one(alice)
    taken = take()
    engine.cancel(item.request_id)
    let_leases_end()
    assert engine.sweep()["close_abandoned"] == 1
    assert (outcomes(item), costs(item)) == (["lost"], [Decimal("0.07")])
    keeping.late(taken, Decimal("0.011"))
    assert costs(item) == [Decimal("0.011")]


def test_a_call_that_was_refused_costs_nothing(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "500")
    item = submit_one(alice, max_starts=1)
    work_until_quiet()
    assert costs(item) == [Decimal(0)]


@pytest.mark.parametrize(
    ("alias", "operation", "model"),
    [
        (vendor.alias, operation, model)
        for vendor in registry.VENDORS
        for operation, offer in vendor.offers.items()
        for model in offer.models
    ],
)
def test_every_provider_says_what_a_call_probably_costs(alias: str, operation: str, model: str) -> None:
    estimate = registry.adapter(alias).estimate(operation, model)
    assert (estimate > 0) is ((alias, operation, model) not in UNKNOWN)
    assert estimate < 1
