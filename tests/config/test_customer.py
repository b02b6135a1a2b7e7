"""`manage.py customer`: a person with a balance, from the command line."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from config.models import User
from credits import ledger

pytestmark = pytest.mark.django_db


def customer(*words: str) -> str:
    out = StringIO()
    call_command("customer", *words, stdout=out)
    return out.getvalue()


def test_a_new_person_has_exactly_the_credits_and_no_welcome_gift() -> None:
    said = customer("carol", "--password", "secret", "--credits", "40")

    carol = User.objects.get(username="carol")
    assert ledger.balance(carol.pk) == 40
    assert carol.check_password("secret")
    assert not carol.is_staff
    assert said == "Made carol, who has 40 credits now.\n"


def test_a_person_without_credits_has_none() -> None:
    customer("carol", "--password", "secret")

    assert ledger.balance(User.objects.get(username="carol").pk) == 0


def test_one_who_is_there_is_topped_up_each_time(alice: User) -> None:
    customer("alice", "--credits", "5")
    said = customer("alice", "--credits", "5")

    alice.refresh_from_db()
    assert said == "Found alice, who has 110 credits now.\n"
    assert alice.check_password("alice")
    assert ledger.check() == []


def test_staff_may_do_everything() -> None:
    customer("stan", "--password", "secret", "--staff")

    stan = User.objects.get(username="stan")
    assert (stan.is_staff, stan.is_superuser) == (True, True)


def test_topping_up_leaves_staff_as_they_are(stella: User) -> None:
    customer("stella", "--credits", "1")

    stella.refresh_from_db()
    assert stella.is_staff


def test_a_new_person_needs_a_password() -> None:
    with pytest.raises(CommandError, match="give --password"):
        customer("carol", "--credits", "5")

    assert not User.objects.filter(username="carol").exists()


def test_credits_are_given_never_taken(alice: User) -> None:
    with pytest.raises(CommandError, match="0 or more"):
        customer("alice", "--credits=-5")
