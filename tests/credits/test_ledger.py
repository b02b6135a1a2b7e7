"""Worked stories in money: what a customer has, what is written down, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError
from pytest_django.fixtures import Settings

from config.models import User
from credits import ledger
from credits.errors import InsufficientCredits, QuotaExhausted
from credits.models import Account, Entry, Kind, QuotaDay
from tests.conftest import MakeCustomer

pytestmark = pytest.mark.django_db

TODAY = date(2026, 3, 1)


def charge(owner: User, amount: int, request: str = "request:1") -> Entry | None:
    return ledger.charge(
        owner.pk,
        amount,
        reference=f"{request}:0",
        subject=request,
        operation_key="visual_cover",
        description="One cover",
    )


def refund(owner: User, amount: int, item: str = "item:1") -> Entry | None:
    return ledger.refund(
        owner.pk,
        amount,
        reference=f"{item}:0:generate",
        subject=item,
        operation_key="visual_cover",
        description="One cover could not be made",
    )


def test_a_request_that_half_fails_costs_half(alice: User) -> None:
    charge(alice, 40)
    refund(alice, 20)

    assert ledger.balance(alice.pk) == 80
    assert [(line.seq, line.kind, line.amount, line.balance_after) for line in ledger.history(alice.pk).entries] == [
        (3, Kind.REFUND, 20, 80),
        (2, Kind.CHARGE, -40, 60),
        (1, Kind.GRANT, 100, 100),
    ]
    assert ledger.check() == []


def test_a_posted_entry_is_returned_as_it_stands_in_the_table(alice: User) -> None:
    line = ledger.charge(
        alice.pk,
        3,
        reference="request:1:0",
        subject="request:1",
        operation_key="visual_cover",
        description="Three covers",
        metadata={"task_id": "t-1"},
    )

    stored = Entry.objects.get(reference="request:1:0")
    assert line is not None
    fields = [field.attname for field in Entry._meta.concrete_fields]
    assert {name: getattr(line, name) for name in fields} == {name: getattr(stored, name) for name in fields}


def test_a_charge_beyond_the_balance_is_refused_and_changes_nothing(alice: User) -> None:
    with pytest.raises(InsufficientCredits, match="this request needs 101, the account has 100") as refusal:
        charge(alice, 101)

    assert (refusal.value.api_status, refusal.value.api_code) == (402, "INSUFFICIENT_CREDITS")
    assert refusal.value.api_extra == {"required": 101, "available": 100}
    assert ledger.history(alice.pk).total == 1


def test_the_last_credit_can_be_spent(alice: User) -> None:
    charge(alice, 100)

    assert ledger.balance(alice.pk) == 0


def test_a_reference_is_charged_once(alice: User) -> None:
    assert charge(alice, 40) is not None
    assert charge(alice, 40) is None

    assert ledger.balance(alice.pk) == 60


def test_a_repeated_charge_is_no_news_even_when_the_credits_are_gone(alice: User) -> None:
    charge(alice, 100)

    assert charge(alice, 100) is None


def test_a_reference_is_refunded_once(alice: User) -> None:
    charge(alice, 40)

    assert refund(alice, 40) is not None
    assert refund(alice, 40) is None
    assert ledger.balance(alice.pk) == 100


def test_the_same_reference_may_be_charged_and_refunded(alice: User) -> None:
    ledger.charge(alice.pk, 5, reference="r", subject="s", operation_key="k", description="d")
    ledger.refund(alice.pk, 5, reference="r", subject="s", operation_key="k", description="d")

    assert ledger.balance(alice.pk) == 100


def test_a_charge_of_nothing_posts_nothing(alice: User) -> None:
    assert charge(alice, 0) is None
    assert ledger.history(alice.pk).total == 1


def test_purchases_and_grants_are_counted_apart(alice: User) -> None:
    ledger.purchase(alice.pk, 400, reference="invoice:7", description="Hobbyist, one month")
    ledger.grant(alice.pk, 5, reference="staff:f1", description="An apology", actor="stella")
    ledger.adjust(alice.pk, -10, reference="staff:f2", description="Booked twice", actor="stella")

    account = Account.objects.get(pk=alice.pk)
    assert (account.balance, account.total_purchased, account.total_earned) == (495, 400, 105)
    assert ledger.check() == []


def test_an_adjustment_never_goes_below_zero(alice: User) -> None:
    with pytest.raises(InsufficientCredits):
        ledger.adjust(alice.pk, -101, reference="staff:f1", description="Too much", actor="stella")


@pytest.mark.parametrize("amount", [-1, 1.5, "3", True])
def test_amounts_are_whole_and_positive(alice: User, amount: int) -> None:
    with pytest.raises(ValueError, match="whole positive"):
        charge(alice, amount)


@pytest.mark.django_db(transaction=True)
def test_credits_move_only_inside_a_transaction(alice: User) -> None:
    with pytest.raises(TransactionManagementError):
        charge(alice, 1)


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_charge_never_happened(alice: User) -> None:
    with transaction.atomic():
        charge(alice, 40)
        transaction.set_rollback(True)

    assert ledger.balance(alice.pk) == 100
    with transaction.atomic():
        assert charge(alice, 40) is not None
    assert ledger.check() == []


# --- Accounts ------------------------------------------------------------------------------------


def test_a_new_account_has_the_signup_grant() -> None:
    account = ledger.open_account(User.objects.create(username="new"))

    assert (account.balance, account.total_earned, account.tier) == (30, 30, "free")
    assert [line.kind for line in ledger.history(account.owner_id).entries] == [Kind.GRANT]


def test_an_account_is_opened_once(alice: User) -> None:
    assert ledger.open_account(alice).balance == 100
    assert ledger.open_account(alice.pk).balance == 100


def test_the_signup_grant_is_a_setting(settings: Settings) -> None:
    settings.SIGNUP_GRANT_CREDITS = 0

    assert ledger.open_account(User.objects.create(username="new")).balance == 0


@pytest.mark.parametrize("verb", ["charge", "balance", "history"])
def test_an_account_is_opened_on_first_use(verb: str) -> None:
    user = User.objects.create(username="new")

    if verb == "charge":
        charge(user, 10)
    elif verb == "balance":
        ledger.balance(user.pk)
    else:
        ledger.history(user.pk)

    assert Account.objects.get(pk=user.pk).balance == (20 if verb == "charge" else 30)


# --- Reading -------------------------------------------------------------------------------------


def test_history_is_paged_newest_first(alice: User) -> None:
    for number in range(2, 8):
        charge(alice, 1, f"request:{number}")

    pages = [ledger.history(alice.pk, limit=3, offset=offset) for offset in (0, 3, 6, 9)]

    assert [[line.seq for line in page.entries] for page in pages] == [[7, 6, 5], [4, 3, 2], [1], []]
    assert {page.total for page in pages} == {7}


def test_a_receipt_sums_to_what_the_customer_paid(alice: User, bob: User) -> None:
    charge(alice, 40, "request:a")
    charge(bob, 9, "request:b")
    refund(alice, 20, "item:a1")

    receipt = ledger.postings(["request:a", "item:a1", "item:a2"])

    assert [line.amount for line in receipt] == [-40, 20]


def test_lines_about_nothing_belong_to_no_receipt(alice: User) -> None:
    assert ledger.postings([""]) == []


# --- The unlimited tier --------------------------------------------------------------------------


def make_unlimited(owner: User, quota: int = 10, **fields: object) -> None:
    Account.objects.filter(pk=owner.pk).update(unlimited_active=True, unlimited_daily_quota=quota, **fields)


def test_an_unlimited_customer_uses_the_days_quota_instead_of_credits(alice: User) -> None:
    make_unlimited(alice)

    assert ledger.take_quota(alice.pk, 4, TODAY)
    assert ledger.take_quota(alice.pk, 6, TODAY)

    assert ledger.balance(alice.pk) == 100
    assert QuotaDay.objects.get().used == 10


def test_a_quota_never_falls_back_to_credits(alice: User) -> None:
    make_unlimited(alice)
    ledger.take_quota(alice.pk, 8, TODAY)

    with pytest.raises(QuotaExhausted) as refusal:
        ledger.take_quota(alice.pk, 3, TODAY)

    assert (refusal.value.api_status, refusal.value.api_code) == (403, "INSUFFICIENT_QUOTA")
    assert refusal.value.api_extra == {"required": 3, "available": 2}
    assert ledger.take_quota(alice.pk, 2, TODAY)


def test_more_than_a_whole_day_is_refused_at_once(alice: User) -> None:
    make_unlimited(alice)

    with pytest.raises(QuotaExhausted):
        ledger.take_quota(alice.pk, 11, TODAY)
    assert not QuotaDay.objects.exists()


def test_a_new_day_starts_at_nothing_used(alice: User) -> None:
    make_unlimited(alice)
    ledger.take_quota(alice.pk, 10, TODAY)

    assert ledger.take_quota(alice.pk, 10, TODAY + timedelta(days=1))


def test_units_go_back_to_the_day_they_came_from(alice: User) -> None:
    make_unlimited(alice)
    ledger.take_quota(alice.pk, 10, TODAY)
    ledger.take_quota(alice.pk, 1, TODAY + timedelta(days=1))

    assert ledger.give_back_quota(alice.pk, 4, TODAY)

    assert list(QuotaDay.objects.order_by("day").values_list("used", flat=True)) == [6, 1]


def test_no_more_units_go_back_than_were_taken(alice: User) -> None:
    make_unlimited(alice)
    ledger.take_quota(alice.pk, 2, TODAY)

    assert not ledger.give_back_quota(alice.pk, 3, TODAY)
    assert not ledger.give_back_quota(alice.pk, 1, TODAY + timedelta(days=1))
    assert QuotaDay.objects.get().used == 2


def test_a_raised_quota_counts_at_once(alice: User) -> None:
    make_unlimited(alice, 5)
    ledger.take_quota(alice.pk, 5, TODAY)
    make_unlimited(alice, 8)

    assert ledger.take_quota(alice.pk, 3, TODAY)


def test_a_lowered_quota_keeps_what_was_used(alice: User) -> None:
    make_unlimited(alice, 5)
    ledger.take_quota(alice.pk, 5, TODAY)
    make_unlimited(alice, 3)

    with pytest.raises(QuotaExhausted) as refusal:
        ledger.take_quota(alice.pk, 1, TODAY)
    assert refusal.value.available == 0


def test_an_expired_tier_pays_with_credits(alice: User) -> None:
    make_unlimited(alice, unlimited_expires_at=datetime(2020, 1, 1, tzinfo=UTC))

    assert not ledger.take_quota(alice.pk, 1, TODAY)


def test_an_ordinary_customer_pays_with_credits(alice: User) -> None:
    assert not ledger.take_quota(alice.pk, 1, TODAY)
    assert not ledger.take_quota(uuid4(), 1, TODAY)


# --- People --------------------------------------------------------------------------------------


def test_customers_of_tests_have_exactly_what_was_asked_for(make_customer: MakeCustomer) -> None:
    assert ledger.balance(make_customer("carol", 7).pk) == 7
    assert ledger.balance(make_customer("dave").pk) == 0
