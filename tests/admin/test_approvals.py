"""The rule of two: what moves more credits than one member of staff may alone waits for another one's yes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from config.models import Approval, StaffAct, User
from credits.models import Account, Entry
from tests.admin.test_verbs import ask, balance, do
from tests.pages import NASTY, finish, live_nodes, submit

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def limit(settings: Any) -> None:
    settings.STAFF_CREDITS_ALONE = 5


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


@pytest.fixture
def second(make_customer: Any) -> Client:
    """Somebody else who may do everything."""
    other = Client()
    other.force_login(make_customer("sue", is_staff=True, is_superuser=True))
    return other


def test_a_big_refund_waits_and_moves_nothing(staff: Client, alice: User) -> None:
    request = finish(submit(alice, 3))
    assert do(staff, request, "refund", reason="all of it")[0].startswith("More than 5 credits: this waits")
    assert balance(alice) == 94
    asked = Approval.objects.get()
    assert (asked.verb, asked.credits, asked.reason, asked.decided_at) == ("refund", 6, "all of it", None)
    assert StaffAct.objects.get().verb == "ask-refund"
    for page in (reverse("admin:index"), reverse("admin:generation_request_change", args=[request.pk])):
        assert "for a second person" in staff.get(page).text


def test_a_yes_does_it_in_the_name_of_both(staff: Client, second: Client, alice: User) -> None:
    request = finish(submit(alice, 3))
    do(staff, request, "refund", reason="all of it")
    assert do(second, Approval.objects.get(), "approve", reason="I looked") == ["1 approved and done, 6 credits moved."]
    assert balance(alice) == 100
    assert set(Entry.objects.filter(kind="refund").values_list("actor", "description")) == {
        ("stella, approved by sue", "Refund: all of it")
    }
    assert set(StaffAct.objects.values_list("actor__username", "verb")) == {
        ("stella", "ask-refund"),
        ("stella", "refund"),
        ("sue", "approve"),
    }


def test_a_no_leaves_all_as_it_is(staff: Client, second: Client, alice: User) -> None:
    request = finish(submit(alice, 3))
    do(staff, request, "refund")
    assert do(second, Approval.objects.get(), "decline") == ["1 declined."]
    assert balance(alice) == 94
    assert do(second, Approval.objects.get(), "approve")[0].endswith("this was decided already.")


def test_nobody_approves_their_own(staff: Client, stella: User, alice: User) -> None:
    do(staff, finish(submit(alice, 3)), "refund")
    assert do(staff, Approval.objects.get(), "approve")[0].endswith("somebody else must decide what you asked for.")
    with pytest.raises(IntegrityError, match="nobody_decides_their_own"), transaction.atomic():
        Approval.objects.update(decided_by=stella, decided_at="2026-01-01T00:00Z", is_approved=True)
    assert balance(alice) == 94


def test_whoever_decides_needs_the_verbs_own_permission(staff: Client, sam: User, alice: User) -> None:
    do(staff, finish(submit(alice, 3)), "refund")
    sam.user_permissions.set(Permission.objects.filter(codename__in=["view_approval", "decide_approval"]))
    other = Client()
    other.force_login(sam)
    assert "must be allowed to do it" in do(other, Approval.objects.get(), "approve")[0]
    sam.user_permissions.add(Permission.objects.get(codename="refund_item"))
    do(other, Approval.objects.get(), "approve")
    assert balance(alice) == 100


def test_up_to_the_limit_one_is_enough(staff: Client, alice: User) -> None:
    item = finish(submit(alice)).items.get()
    assert do(staff, item, "refund") == ["1 refunded, 2 credits given back."]
    assert not Approval.objects.exists()


def test_a_limit_of_zero_is_none(staff: Client, alice: User, settings: Any) -> None:
    settings.STAFF_CREDITS_ALONE = 0
    assert do(staff, finish(submit(alice, 3)), "refund") == ["3 refunded, 6 credits given back."]


def test_many_rows_in_one_form_are_weighed_together(staff: Client, alice: User, bob: User) -> None:
    accounts = list(Account.objects.filter(owner__in=[alice, bob]).order_by("pk"))
    key = ask(staff, accounts[0], "grant")
    answer = {"row": [one.pk for one in accounts], "credits": 3, "reason": "sorry", "form_key": key}
    staff.post(reverse("admin:credits_account_verb", args=["grant"]), answer)
    assert Approval.objects.count() == 2
    assert balance(alice) == balance(bob) == 100


def test_a_big_adjustment_downwards_waits_too(staff: Client, second: Client, alice: User) -> None:
    do(staff, Account.objects.get(owner=alice), "adjust", credits=-50)
    assert balance(alice) == 100
    do(second, Approval.objects.get(), "approve")
    assert balance(alice) == 50


def test_a_double_click_asks_once(staff: Client, alice: User) -> None:
    request = finish(submit(alice, 3))
    key = ask(staff, request, "refund")
    for _ in range(2):
        do(staff, request, "refund", key=key)
    assert Approval.objects.count() == 1
    assert StaffAct.objects.count() == 1


def test_what_cannot_be_done_any_more_stays_open_and_says_why(staff: Client, second: Client, alice: User) -> None:
    request = finish(submit(alice, 3))
    do(staff, request, "refund", credits=6)
    do(staff, request.items.order_by("pk")[0], "refund")
    assert "only 4 of the 6 credits are left" in do(second, Approval.objects.get(), "approve")[0]
    assert Approval.objects.get().decided_at is None


@pytest.mark.parametrize("text", NASTY)
def test_nothing_a_stranger_wrote_is_alive(staff: Client, alice: User, text: str) -> None:
    User.objects.filter(pk=alice.pk).update(username=text[:150])
    alice.refresh_from_db()
    do(staff, finish(submit(alice, 3, prompt=text)), "refund", reason=text)
    asked = Approval.objects.get()
    for page in (
        reverse("admin:config_approval_changelist"),
        reverse("admin:config_approval_change", args=[asked.pk]),
        reverse("admin:config_approval_verb", args=["approve"]) + f"?row={asked.pk}",
    ):
        assert live_nodes(staff.get(page).text) == []
