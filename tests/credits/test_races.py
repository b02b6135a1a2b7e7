"""Two connections at the same moment: exactly one of them moves the credits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from config.models import User
from credits import ledger
from credits.errors import InsufficientCredits, QuotaExhausted
from credits.models import Account, Entry, Kind, QuotaDay
from tests.conftest import MakeCustomer
from tests.db import race, race_until_both_orders

pytestmark = pytest.mark.django_db(transaction=True)


def charging(owner_id: UUID, amount: int, reference: str) -> Callable[[], Any]:
    @transaction.atomic
    def act() -> Any:
        return ledger.charge(
            owner_id, amount, reference=reference, subject="", operation_key="visual_cover", description="One cover"
        )

    return act


def refunding(owner_id: UUID, amount: int, reference: str) -> Callable[[], Any]:
    @transaction.atomic
    def act() -> Any:
        return ledger.refund(
            owner_id, amount, reference=reference, subject="", operation_key="visual_cover", description="One cover"
        )

    return act


def test_the_last_credits_are_spent_once(make_customer: MakeCustomer) -> None:
    def a_round(number: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        owner_id = make_customer(f"customer {number}", 10).pk
        return charging(owner_id, 10, f"left {number}"), charging(owner_id, 10, f"right {number}")

    for outcomes in race_until_both_orders(a_round):
        [refusal] = [outcome for outcome in outcomes if not isinstance(outcome, Entry)]
        assert isinstance(refusal, InsufficientCredits)
        assert (refusal.required, refusal.available) == (10, 0)
    assert set(Account.objects.values_list("balance", flat=True)) == {0}
    assert ledger.check() == []


def test_enough_for_both_is_spent_by_both(alice: User) -> None:
    for number in range(20):
        outcomes = race(charging(alice.pk, 2, f"left {number}"), charging(alice.pk, 3, f"right {number}"))
        assert [outcome.amount for outcome in outcomes] == [-2, -3]

    assert ledger.balance(alice.pk) == 0
    assert ledger.check() == []


def test_the_same_reference_is_charged_once(alice: User) -> None:
    def a_round(number: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        return charging(alice.pk, 1, f"request:{number}"), charging(alice.pk, 1, f"request:{number}")

    rounds = race_until_both_orders(a_round)

    assert all(None in outcomes for outcomes in rounds)
    assert ledger.balance(alice.pk) == 100 - len(rounds)
    assert ledger.check() == []


def test_the_same_reference_is_charged_once_when_it_takes_the_last_credits(make_customer: MakeCustomer) -> None:
    def a_round(number: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        owner_id = make_customer(f"customer {number}", 5).pk
        return charging(owner_id, 5, f"request:{number}"), charging(owner_id, 5, f"request:{number}")

    assert all(None in outcomes for outcomes in race_until_both_orders(a_round))
    assert ledger.check() == []


def test_the_same_refund_is_given_once(alice: User) -> None:
    def a_round(number: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        return refunding(alice.pk, 7, f"item:{number}"), refunding(alice.pk, 7, f"item:{number}")

    rounds = race_until_both_orders(a_round)

    assert all(None in outcomes for outcomes in rounds)
    assert ledger.balance(alice.pk) == 100 + 7 * len(rounds)
    assert ledger.check() == []


def test_a_refund_sent_four_times_amid_other_postings_is_given_once(alice: User) -> None:
    with transaction.atomic():
        ledger.charge(alice.pk, 10, reference="r:1", subject="", operation_key="k", description="…")
    for number in range(50):
        outcomes = race(
            *(refunding(alice.pk, 1, f"item:{number}") for _ in range(4)),
            charging(alice.pk, 1, f"between {number}"),
        )
        assert sorted(outcome is None for outcome in outcomes[:4]) == [False, True, True, True]

    assert ledger.balance(alice.pk) == 90
    account = Account.objects.get(pk=alice.pk)
    assert account.seq == Entry.objects.filter(account=account).count()
    assert ledger.check() == []


def test_an_account_opened_twice_gets_one_signup_grant() -> None:
    for number in range(30):
        user = User.objects.create(username=f"new {number}")
        accounts = race(lambda user=user: ledger.open_account(user), lambda user=user: ledger.open_account(user))
        assert [account.balance for account in accounts] == [30, 30]

    assert Entry.objects.filter(kind=Kind.GRANT).count() == 30
    assert ledger.check() == []


def test_the_last_units_of_a_day_are_taken_once(make_customer: MakeCustomer) -> None:
    day = date(2026, 3, 1)

    def taking(owner_id: UUID) -> Callable[[], Any]:
        @transaction.atomic
        def act() -> bool:
            return ledger.take_quota(owner_id, 3, day)

        return act

    def a_round(number: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        owner_id = make_customer(f"customer {number}").pk
        Account.objects.filter(pk=owner_id).update(unlimited_active=True, unlimited_daily_quota=5)
        return taking(owner_id), taking(owner_id)

    for outcomes in race_until_both_orders(a_round):
        assert any(isinstance(outcome, QuotaExhausted) for outcome in outcomes)
    assert set(QuotaDay.objects.values_list("used", flat=True)) == {3}
