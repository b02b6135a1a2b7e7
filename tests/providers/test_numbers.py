"""Numbers in vendors' answers that are no sane numbers: they lose no paid result, and no row chokes on them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from providers import numbers
from providers.adapters import tripo_answers
from providers.adapters.openai import OpenAI
from providers.adapters.replicate import Replicate, _seed

INFINITE, NOT_A_NUMBER, HUGE = float("inf"), float("nan"), 10**400


@pytest.mark.parametrize("value", [True, None, "7", [], -1, INFINITE, NOT_A_NUMBER, HUGE, 10_000])
def test_what_is_no_sane_amount_is_none(value: Any) -> None:
    assert numbers.amount(value) is None


def test_an_amount_is_what_it_says() -> None:
    assert [numbers.amount(0), numbers.amount(0.1), numbers.amount(9999)] == [0, Decimal("0.1"), 9999]


@pytest.mark.parametrize(
    ("said", "seed"),
    [
        (7, 7),
        ("7", 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),  # a row holds no such number, and some vendors draw from twice as many
        ("9" * 19, None),
        ("9" * 5000, None),
        ("٣", None),
        (-1, None),
        (True, None),
        (1.5, None),
        (None, None),
    ],
)
def test_a_seed_is_kept_when_a_row_can_hold_it(said: Any, seed: int | None) -> None:
    assert numbers.seed(said) == seed


@pytest.mark.parametrize("tokens", [INFINITE, HUGE, -5, "many"])
def test_openai_costs_the_estimate_when_its_usage_is_damaged(tokens: Any) -> None:
    for name in ("input_tokens", "output_tokens"):
        usage = {"input_tokens": 100, "output_tokens": 100, name: tokens}
        assert OpenAI()._cost(usage, "low") == Decimal("0.02")


@pytest.mark.parametrize("seconds", [INFINITE, NOT_A_NUMBER, HUGE, -5, True, "7", None])
def test_a_call_billed_by_time_costs_nothing_when_its_time_is_damaged(seconds: Any) -> None:
    assert Replicate()._cost("meta/sam-2", {"predict_time": seconds}) == 0


def test_a_seed_too_large_for_a_row_is_none_in_a_log_or_an_echo() -> None:
    assert _seed({"logs": f"Using seed: {2**64}"}) is None
    assert _seed({"input": {"seed": 2**64}}) is None


@pytest.mark.parametrize(("said", "shown"), [(INFINITE, 99), (-INFINITE, 0), (HUGE, 99), (NOT_A_NUMBER, None)])
def test_progress_beyond_all_bounds_stays_within_them(said: Any, shown: int | None) -> None:
    assert tripo_answers.progress({"progress": said}) == shown


def test_a_code_of_five_thousand_digits_is_none_that_is_known() -> None:
    assert tripo_answers.error_of(json.loads(f'"{"9" * 5000}"')) is None
