"""What an operation costs: the most specific active row, and never nothing by accident."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from credits.errors import OperationUnavailable
from credits.models import Price
from credits.pricing import Quote, quote, quotes

pytestmark = pytest.mark.django_db

VISUALS = [
    "visual_coloring_page",
    "visual_cover",
    "visual_illustration",
    "visual_character_reference",
    "visual_background",
]


def make_price(provider: str = "", model: str = "", credits: int = 1, is_active: bool = True) -> Price:
    return Price.objects.create(
        operation_key="engraving",
        operation_name="Engraving",
        provider=provider,
        model=model,
        credits_cost=credits,
        api_cost_usd=Decimal("0.02"),
        is_active=is_active,
    )


def test_each_picture_of_the_visual_door_costs_one_credit() -> None:
    assert {key: found.credits for key, found in quotes(VISUALS).items()} == dict.fromkeys(VISUALS, 1)


def test_a_quote_names_the_row_that_decided() -> None:
    make_price("provider_a", "ultra", credits=3)

    assert quote("engraving", provider="provider_a", model="ultra") == Quote(
        "engraving", "provider_a", "ultra", 3, Decimal("0.02")
    )


@pytest.mark.parametrize(
    ("provider", "model", "credits"),
    [
        ("provider_a", "ultra", 4),  # both named
        ("provider_a", "main", 3),  # only the provider
        ("provider_b", "ultra", 2),  # only the model
        ("provider_b", "main", 1),  # neither
        ("", "", 1),  # not asked for
    ],
)
def test_the_most_specific_row_wins(provider: str, model: str, credits: int) -> None:
    make_price(credits=1)
    make_price(model="ultra", credits=2)
    make_price("provider_a", credits=3)
    make_price("provider_a", "ultra", credits=4)

    assert quote("engraving", provider=provider, model=model).credits == credits


def test_a_changed_price_counts_at_once() -> None:
    Price.objects.filter(operation_key="visual_cover").update(credits_cost=5)

    assert quote("visual_cover").credits == 5


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(OperationUnavailable) as refusal:
        quote("teleport")

    assert (refusal.value.api_status, refusal.value.api_code) == (503, "OPERATION_UNAVAILABLE")
    assert "teleport" not in str(refusal.value)


def test_a_price_for_another_provider_does_not_count() -> None:
    make_price("provider_a")

    with pytest.raises(OperationUnavailable):
        quote("engraving", provider="provider_b")


def test_an_inactive_price_does_not_count() -> None:
    make_price(is_active=False)

    with pytest.raises(OperationUnavailable):
        quote("engraving")


def test_one_missing_price_refuses_them_all() -> None:
    with pytest.raises(OperationUnavailable) as refusal:
        quotes(["visual_cover", "teleport"])
    assert refusal.value.key == "teleport"


def test_an_operation_may_be_free_when_a_row_says_so() -> None:
    make_price(credits=0)

    assert quote("engraving").credits == 0


def test_a_combination_has_one_price() -> None:
    make_price("provider_a")

    with pytest.raises(IntegrityError, match="one_price_per_combination"), transaction.atomic():
        make_price("provider_a")
