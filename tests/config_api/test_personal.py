"""Personal tokens: what they open, what ends them, and that nobody can read one here."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from config.api import personal
from config.api.auth import token_expiry, user_for_token
from config.models import PersonalToken, StaffAct, User
from generation.live.auth import Token
from tests.db import race

pytestmark = pytest.mark.django_db


def call(raw: str) -> Any:
    return APIClient().get("/api/credits/balance", headers={"Authorization": f"Bearer {raw}"})


def code(raw: str) -> str:
    answer = call(raw)
    assert answer.status_code == 401
    return str(answer.json()["code"])


def test_it_opens_what_its_person_may_and_nothing_else(alice: User, bob: User) -> None:
    _, of_alice = personal.make(alice, "laptop")
    _, of_bob = personal.make(bob, "laptop")
    assert (user_for_token(of_alice), user_for_token(of_bob)) == (alice, bob)
    assert call(of_alice).status_code == call(of_bob).status_code == 200


def test_nobody_can_read_it_here(alice: User) -> None:
    token, raw = personal.make(alice, "laptop")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {PersonalToken._meta.db_table}")
        stored = " ".join(map(str, cursor.fetchall()))
    assert raw not in stored
    assert raw.removeprefix(personal.PREFIX) not in stored
    assert token.ending == raw[-4:]
    assert len(raw) > 40


def test_a_call_asks_once_and_notes_its_use_once_a_minute(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    token, raw = personal.make(alice, "laptop")
    with django_assert_num_queries(2):
        user_for_token(raw)
    with django_assert_num_queries(1):
        user_for_token(raw)
    first = PersonalToken.objects.get(pk=token.pk).last_used_at
    assert first is not None
    PersonalToken.objects.update(last_used_at=first - timedelta(seconds=61))
    with django_assert_num_queries(2):
        user_for_token(raw)
    assert PersonalToken.objects.get(pk=token.pk).last_used_at == first


@pytest.mark.parametrize(
    "altered", [lambda raw: raw[:-1] + ("A" if raw[-1] != "A" else "B"), lambda raw: "atl_", str.upper]
)
def test_another_text_opens_nothing(alice: User, altered: Any) -> None:
    _, raw = personal.make(alice, "laptop")
    assert code(altered(raw)) == "TOKEN_INVALID"


def revoke(alice: User) -> None:
    assert personal.revoke(personal.of(alice.pk), by="alice") == 1


def disable(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)


def change_password(alice: User) -> None:
    alice.set_password("another")
    alice.save()


def change_it_alone(alice: User) -> None:
    alice.set_password("another")
    alice.save(update_fields=["password"])


def take_the_password_away(alice: User) -> None:
    alice.set_unusable_password()
    alice.save()


@pytest.mark.parametrize("end", [revoke, disable, change_password, change_it_alone, take_the_password_away])
def test_it_ends_at_once(alice: User, end: Any) -> None:
    _, raw = personal.make(alice, "laptop")
    assert call(raw).status_code == 200
    end(alice)
    assert code(raw) == "TOKEN_INVALID"


def test_it_ends_on_its_day(alice: User) -> None:
    token, raw = personal.make(alice, "laptop", days=30)
    assert token.expires_at is not None
    assert token.expires_at - timezone.now() > timedelta(days=29)
    assert call(raw).status_code == 200
    PersonalToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert code(raw) == "TOKEN_EXPIRED"
    assert not personal.of(alice.pk).exists()


def test_a_password_that_is_only_hashed_anew_ends_nothing(alice: User, settings: Any) -> None:
    _, raw = personal.make(alice, "laptop")
    before = alice.password
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    assert authenticate(None, username="alice", password="alice") == alice
    alice.refresh_from_db()
    assert alice.password != before
    alice.save()
    assert call(raw).status_code == 200


def test_a_socket_asks_again_within_a_minute(alice: User) -> None:
    _, raw = personal.make(alice, "laptop")
    assert token_expiry(raw) is None
    with time_machine.travel(timezone.now(), tick=False):
        person = Token(raw).check()
        assert person.user_id == alice.pk
        assert person.check_at - timezone.now() <= timedelta(minutes=1)


def test_one_has_so_many_and_no_more(alice: User, bob: User) -> None:
    made = [personal.make(alice, f"{number}")[0] for number in range(personal.MOST)]
    with pytest.raises(personal.TooMany):
        personal.make(alice, "one more")
    personal.make(bob, "somebody else's")
    personal.revoke(PersonalToken.objects.filter(pk=made[0].pk), by="alice")
    personal.make(alice, "one more")


@pytest.mark.django_db(transaction=True)
def test_two_at_once_do_not_make_one_too_many(alice: User) -> None:
    for number in range(personal.MOST - 1):
        personal.make(alice, f"{number}")
    outcomes = race(lambda: personal.make(alice, "left"), lambda: personal.make(alice, "right"))
    assert [type(outcome) for outcome in outcomes].count(personal.TooMany) == 1
    assert personal.of(alice.pk).count() == personal.MOST


# --- Staff ----------------------------------------------------------------------------------------


def test_support_revokes_a_lost_token_with_a_reason(client: Client, alice: User, sam: User) -> None:
    token, raw = personal.make(alice, "laptop")
    address = reverse("admin:config_personaltoken_verb", args=["revoke"])
    form = {"row": token.pk, "reason": "left on a train", "form_key": str(uuid.uuid4())}
    client.force_login(sam)
    assert client.post(address, form).status_code == 403
    assert call(raw).status_code == 200

    sam.groups.add(Group.objects.get(name="support"))
    assert raw not in client.get(reverse("admin:config_personaltoken_changelist")).text
    assert client.post(address, form).status_code == 302
    assert code(raw) == "TOKEN_INVALID"
    act = StaffAct.objects.get()
    assert (act.actor, act.verb, act.reason) == (sam, "revoke", "left on a train")
    token.refresh_from_db()
    assert token.revoked_by == "sam"
