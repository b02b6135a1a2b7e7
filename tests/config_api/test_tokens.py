"""Who gets in with which token, and what the others are told."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from django.conf import settings as project
from django.contrib.auth import authenticate
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from config.api.auth import token_expiry, user_for_token
from config.api.errors import ApiError
from config.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config_api.routes")]


def who(client: APIClient, header: str | None, **extra: str) -> Any:
    headers = {} if header is None else {"HTTP_AUTHORIZATION": header}
    return client.get("/api/who", **headers, **extra)  # type: ignore[arg-type]


def token(user: User, kind: type[AccessToken] | type[RefreshToken] = AccessToken, **claims: Any) -> str:
    made = kind.for_user(user)
    for name, value in claims.items():
        made[name] = value
    return str(made)


def signed(user: User, key: str = project.SIMPLE_JWT["SIGNING_KEY"], algorithm: str = "HS256", **claims: Any) -> str:
    """A token as ours, but for what the claims say; None leaves one out."""
    payload = {**AccessToken.for_user(user).payload, "aud": "atelier", "iss": "atelier", **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm)


def unsigned(user: User) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    payload = {**AccessToken.for_user(user).payload, "aud": "atelier", "iss": "atelier"}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(payload)}."


def nested(user: User) -> str:
    deep = base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")
    return f"{token(user).split('.')[0]}.{deep}.c2ln"


def test_an_access_token_opens_the_api_for_one_query(
    client: APIClient, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    header = f"Bearer {token(alice)}"
    with django_assert_num_queries(1):
        answer = who(client, header)
    assert answer.json() == {"id": str(alice.pk), "name": "alice"}
    assert who(client, f"bearer {token(alice)}").status_code == 200


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda user: None, "NOT_AUTHENTICATED"),
        (lambda user: "", "NOT_AUTHENTICATED"),
        (lambda user: "Basic YWxpY2U6YWxpY2U=", "NOT_AUTHENTICATED"),
        (lambda user: "Bearer", "TOKEN_INVALID"),
        (lambda user: f"Bearer {token(user)} more", "TOKEN_INVALID"),
        (lambda user: "Bearer nonsense", "TOKEN_INVALID"),
        (lambda user: "Bearer a.b.c", "TOKEN_INVALID"),
        (lambda user: "Bearer " + "x" * 10_000, "TOKEN_INVALID"),
        (lambda user: f"Bearer {nested(user)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {token(user)[:-4]}AAAA", "TOKEN_INVALID"),
        (lambda user: f"Bearer {unsigned(user)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, key='k' * 40)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, algorithm='HS512')}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, exp=int(time.time()) - 1)}", "TOKEN_EXPIRED"),
        # an expired token of somebody else's making is not even expired
        (lambda user: f"Bearer {signed(user, key='k' * 40, exp=1)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, exp=None)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, aud='other')}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, aud=None)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, iss='https://elsewhere.example')}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, iss=None)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, sub='42')}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, sub=None)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {signed(user, hash_password=None)}", "TOKEN_INVALID"),
        (lambda user: f"Bearer {token(user, RefreshToken)}", "TOKEN_INVALID"),
    ],
)
def test_no_other_token_does(client: APIClient, alice: User, make: Any, code: str) -> None:
    answer = who(client, make(alice))

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.json()["error"] == ("Access denied" if code == "NOT_AUTHENTICATED" else "Invalid token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def disable(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def change_password(user: User) -> None:
    user.set_password("another")
    user.save()


@pytest.mark.parametrize("change", [disable, change_password, User.delete])
def test_every_token_ends_with_its_person_and_password(client: APIClient, alice: User, change: Any) -> None:
    access, refresh = token(alice), token(alice, RefreshToken)
    assert who(client, f"Bearer {access}").status_code == 200

    change(alice)

    for answer in (
        who(client, f"Bearer {access}"),
        client.post("/api/auth/token/refresh", {"refresh": refresh}, format="json"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")
    with pytest.raises(ApiError):  # sockets
        user_for_token(access)


def test_a_session_cookie_opens_nothing(client: APIClient, alice: User) -> None:
    client.force_login(alice)
    assert who(client, None).status_code == 401


def test_a_login_gives_tokens_that_work(client: APIClient, alice: User) -> None:
    pair = client.post("/api/auth/token", {"username": "alice", "password": "alice"}, format="json").json()

    assert pair.keys() == {"access", "refresh"}
    assert who(client, f"Bearer {pair['access']}").status_code == 200
    renewed = client.post("/api/auth/token/refresh", {"refresh": pair["refresh"]}, format="json").json()
    assert who(client, f"Bearer {renewed['access']}").status_code == 200


def test_a_stale_token_does_not_keep_its_owner_from_logging_in(client: APIClient, alice: User) -> None:
    client.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert client.post("/api/auth/token", {"username": "alice", "password": "alice"}, format="json").status_code == 200


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_a_wrong_login_does_not_say_what_was_wrong(client: APIClient, alice: User, name: str) -> None:
    answer = client.post("/api/auth/token", {"username": name, "password": "guess"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (401, "LOGIN_FAILED")
    assert answer.json()["error"] == "Wrong name or password."


def test_a_disabled_person_cannot_log_in(client: APIClient, alice: User) -> None:
    disable(alice)
    answer = client.post("/api/auth/token", {"username": "alice", "password": "alice"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (401, "LOGIN_FAILED")


def test_a_login_lists_what_is_missing(client: APIClient) -> None:
    answer = client.post("/api/auth/token", {}, format="json")
    assert answer.status_code == 400
    assert [fault["field"] for fault in answer.json()["errors"]] == ["username", "password"]


@pytest.mark.parametrize("raw", ["nonsense", "a.b.c"])
def test_a_bad_refresh_token_is_refused(client: APIClient, raw: str) -> None:
    answer = client.post("/api/auth/token/refresh", {"refresh": raw}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")


def test_an_access_token_cannot_be_refreshed(client: APIClient, alice: User) -> None:
    answer = client.post("/api/auth/token/refresh", {"refresh": token(alice)}, format="json")
    assert answer.json()["code"] == "TOKEN_INVALID"


def test_a_socket_learns_when_its_token_ends(alice: User) -> None:
    raw = token(alice)
    expected = jwt.decode(raw, options={"verify_signature": False})["exp"]
    assert token_expiry(raw) == datetime.fromtimestamp(expected, UTC)
    assert token_expiry(signed(alice, exp=10**30)) is None
    with pytest.raises(ApiError) as refusal:
        user_for_token("")
    assert refusal.value.code == "NOT_AUTHENTICATED"


class TestTheWindowOfAnAddress:
    @pytest.fixture(autouse=True)
    def limit(self, settings: Any) -> None:
        settings.LOGIN_LIMIT = settings.REFUSED_TOKEN_LIMIT = 3
        settings.LOGIN_WINDOW_S = 300

    def log_in(self, client: APIClient, password: str, **extra: str) -> Any:
        body = {"username": "alice", "password": password}
        return client.post("/api/auth/token", body, format="json", **extra)  # type: ignore[arg-type]

    def test_bad_tokens_beyond_it_are_429_and_a_good_one_still_works(self, client: APIClient, alice: User) -> None:
        statuses = [who(client, f"Bearer {guess}").status_code for guess in "vwxyz"]
        assert statuses == [401, 401, 401, 429, 429]
        refused = who(client, "Bearer x")
        assert refused.json()["code"] == "RATE_LIMIT_EXCEEDED"
        assert 295 <= int(refused.headers["Retry-After"]) <= 300
        assert who(client, f"Bearer {token(alice)}").status_code == 200
        assert self.log_in(client, "alice").status_code == 200
        assert who(client, "Bearer x", REMOTE_ADDR="192.0.2.7").status_code == 401

    def test_a_token_that_has_expired_is_no_guess(self, client: APIClient, alice: User) -> None:
        # A client that polls learns from 401, never from 429, that it has to fetch another.
        bearer = f"Bearer {signed(alice, exp=int(time.time()) - 60)}"
        assert {who(client, bearer).json()["code"] for _ in range(5)} == {"TOKEN_EXPIRED"}

    def test_a_call_without_a_token_is_no_guess(self, client: APIClient) -> None:
        assert {who(client, None).status_code for _ in range(4)} == {401}
        assert who(client, "Bearer x").status_code == 401

    def test_wrong_logins_beyond_it_are_429_even_with_the_right_password(self, client: APIClient, alice: User) -> None:
        statuses = [self.log_in(client, guess).status_code for guess in ("a", "alice", "b", "c", "alice")]
        # The right one in between is not counted; the right one afterwards is not even tried.
        assert statuses == [401, 200, 401, 401, 429]
        assert int(self.log_in(client, "alice").headers["Retry-After"]) >= 295
        assert self.log_in(client, "alice", REMOTE_ADDR="192.0.2.7").status_code == 200
        assert who(client, f"Bearer {token(alice)}").status_code == 200

    def test_forms_are_behind_the_same_window(self, alice: User) -> None:
        request = RequestFactory().post("/app/login")
        for _ in range(3):
            assert authenticate(request, username="alice", password="guess") is None
        assert authenticate(request, username="alice", password="alice") is None
        assert authenticate(None, username="alice", password="alice") == alice  # not over HTTP

    def test_an_ipv6_subscriber_is_one_address(self, client: APIClient) -> None:
        statuses = [who(client, "Bearer x", REMOTE_ADDR=f"2001:db8::{n}").status_code for n in range(4)]
        assert statuses == [401, 401, 401, 429]
        assert who(client, "Bearer x", REMOTE_ADDR="2001:db8:0:1::1").status_code == 401
