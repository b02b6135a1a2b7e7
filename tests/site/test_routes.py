"""Who gets in where: every route of the API against every token that should not do, and against other people's ids."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings as project
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone
from django.utils.regex_helper import _lazy_re_compile
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from config.api import personal, redis
from config.models import PersonalToken, User
from generation.models import Item, Request
from tests.site import house as houses
from tests.site.house import House
from tests.site.routes import CUSTOMER, OPEN, ROUTES, STAFF, Route

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

_CONVERTER = _lazy_re_compile(r"<(?:\w+:)?(\w+)>")
# Of function views, which do not say it themselves.
METHODS = {
    "": ["GET"],
    "health": ["GET"],
    "health/ready": ["GET"],
    "metrics": ["GET"],
    "files/{key}": ["GET"],
    "hooks/{alias}/{token}": ["POST"],
}
# A name that nobody has is whoever's asks for it first.
MADE_ON_FIRST_USE = "api/story-sessions/{session_id}/files/{name}"


def routes(patterns: list[Any], before: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of everything that is no page."""
    for one in patterns:
        path = before + _CONVERTER.sub(r"{\1}", str(one.pattern))
        if path.startswith(("app/", "admin/")):
            continue
        if not isinstance(one, URLPattern):
            yield from routes(one.url_patterns, path)
            continue
        view = getattr(one.callback, "cls", None)
        names = [name for name in view.http_method_names if hasattr(view, name)] if view else METHODS[path]
        yield from ((name.upper(), path) for name in names if name != "options")


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    known = [(route.method, route.path) for route in ROUTES]
    assert sorted(known) == sorted(routes(get_resolver().url_patterns)), "a route without a row in tests/site/routes.py"


# --- Tokens --------------------------------------------------------------------------------------


def signed(user: User, key: Any = project.SIMPLE_JWT["SIGNING_KEY"], **claims: Any) -> str:
    payload = {**AccessToken.for_user(user).payload, "aud": "atelier", "iss": "atelier", **claims}
    return jwt.encode(payload, key, algorithm="HS256")


def ended(user: User, **how: Any) -> str:
    """A personal token that was good once."""
    token, raw = personal.make(user, "A program of old")
    PersonalToken.objects.filter(pk=token.pk).update(**how)
    return raw


# What is sent -> the code it is refused by. `user` may do everything on the route.
TOKENS: dict[str, tuple[Callable[[User], str | None], str]] = {
    "missing": (lambda user: None, "NOT_AUTHENTICATED"),
    "of another kind": (lambda user: "Basic YWxpY2U6YWxpY2U=", "NOT_AUTHENTICATED"),
    "empty": (lambda user: "Bearer", "TOKEN_INVALID"),
    "malformed": (lambda user: "Bearer nonsense", "TOKEN_INVALID"),
    "signed by a stranger": (lambda user: f"Bearer {signed(user, key='k' * 40)}", "TOKEN_INVALID"),
    "expired": (lambda user: f"Bearer {signed(user, exp=int(time.time()) - 1)}", "TOKEN_EXPIRED"),
    "for another audience": (lambda user: f"Bearer {signed(user, aud='elsewhere')}", "TOKEN_INVALID"),
    "of a foreign issuer": (lambda user: f"Bearer {signed(user, iss='https://elsewhere.example')}", "TOKEN_INVALID"),
    "personal, of nobody": (lambda user: f"Bearer {personal.PREFIX}{'x' * 43}", "TOKEN_INVALID"),
    "personal, revoked": (
        lambda user: f"Bearer {ended(user, revoked_at=timezone.now(), revoked_by='herself')}",
        "TOKEN_INVALID",
    ),
    "personal, expired": (
        lambda user: f"Bearer {ended(user, expires_at=timezone.now() - timedelta(minutes=1))}",
        "TOKEN_EXPIRED",
    ),
    "for refreshing": (lambda user: f"Bearer {RefreshToken.for_user(user)}", "TOKEN_INVALID"),
}


@pytest.fixture(scope="module")
def http() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture(scope="module")
def bob(house: House) -> User:
    """Another customer, who can pay."""
    return houses.person("bob", 1000)


@pytest.fixture(scope="module")
def calls(house: House) -> dict[Route, tuple[str, dict[str, Any]]]:
    """Each route's address and content, made once: some bodies store a file first."""
    return {route: (route.address(house), content(route.body(house))) for route in ROUTES}


def content(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    if isinstance(body, str):
        return {"data": body, "content_type": "text/markdown"}
    return {"data": json.dumps(body), "content_type": "application/json"}


@pytest.fixture(autouse=True)
def unlimited(settings: Any) -> None:
    settings.LOGIN_LIMIT = settings.REFUSED_TOKEN_LIMIT = 1_000_000
    settings.VISUAL_RATE_LIMIT = 1_000_000
    redis.client().flushdb()


def call(http: Client, route: Route, made: tuple[str, dict[str, Any]], header: str | None) -> Any:
    headers = {"Authorization": header} if header is not None else {}
    return http.generic(route.method, made[0], headers=headers, **made[1])


def person_of(route: Route, house: House) -> User:
    return house.stella if route.who == STAFF else house.alice


def problem(answer: Any) -> tuple[int, str, str]:
    """(status, code, text) of a refusal, whose shape is every door's."""
    assert answer["Content-Type"] == "application/problem+json"
    found = answer.json()
    assert found["type"] == "about:blank"
    assert found["title"]
    assert found["trace_id"]
    assert found["status"] == answer.status_code
    assert found["detail"] == found["error"] == found["message"]
    return answer.status_code, found["code"], found["error"]


@pytest.mark.parametrize("kind", TOKENS)
def test_no_route_takes_a_token_that_should_not_do(http: Client, house: House, calls: Any, kind: str) -> None:
    make, code = TOKENS[kind]
    text = "Access denied" if code == "NOT_AUTHENTICATED" else "Invalid token"
    headers = {who: make(person) for who, person in ((CUSTOMER, house.alice), (STAFF, house.stella))}
    before = everything()
    for route in (route for route in ROUTES if route.who != OPEN):
        answer = call(http, route, calls[route], headers[route.who])
        assert problem(answer) == (401, code, text), route
        assert answer["WWW-Authenticate"] == "Bearer", route
    assert everything() == before


def test_no_route_takes_the_token_of_somebody_who_was_shut_out(http: Client, house: House, calls: Any) -> None:
    headers = {}
    for who, person in ((CUSTOMER, house.alice), (STAFF, house.stella)):
        headers[who] = f"Bearer {AccessToken.for_user(person)}"
        User.objects.filter(pk=person.pk).update(is_active=False)
    before = everything()
    for route in (route for route in ROUTES if route.who != OPEN):
        answer = call(http, route, calls[route], headers[route.who])
        assert problem(answer) == (401, "TOKEN_INVALID", "Invalid token"), route
    assert everything() == before


def test_a_session_opens_no_route(house: House, calls: Any) -> None:
    http = Client()
    http.force_login(house.stella)
    for route in (route for route in ROUTES if route.who != OPEN):
        assert problem(call(http, route, calls[route], None))[:2] == (401, "NOT_AUTHENTICATED"), route


@pytest.mark.parametrize("header", [None, "Bearer nonsense"])
def test_what_is_open_asks_for_no_token(http: Client, house: House, calls: Any, header: str | None) -> None:
    for route in (route for route in ROUTES if route.who == OPEN):
        assert call(http, route, calls[route], header).status_code == route.ok, route


# --- People --------------------------------------------------------------------------------------


def bearer(user: User) -> str:
    return f"Bearer {AccessToken.for_user(user)}"


def test_every_route_serves_whom_it_is_for(
    http: Client, house: House, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what the others are refused is refused for who they are."""
    # Some give their connection back while they are at the store, and with it this test's transaction.
    monkeypatch.setattr(connection, "close", lambda: None)
    for route in (route for route in ROUTES if route.who != OPEN):
        with transaction.atomic():
            answer = call(http, route, calls[route], bearer(person_of(route, house)))
            told = b"".join(answer.streaming_content)[:9] if answer.streaming else answer.content
            transaction.set_rollback(True)
        assert answer.status_code == route.ok, (route, told)


def test_customers_are_kept_out_of_staffs_routes(http: Client, house: House, calls: Any) -> None:
    before = everything()
    for route in (route for route in ROUTES if route.who == STAFF):
        answer = call(http, route, calls[route], bearer(house.alice))
        assert problem(answer)[:2] == (403, "PERMISSION_DENIED"), route
    assert everything() == before


def test_what_is_anothers_is_as_missing_as_what_never_was(http: Client, house: House, bob: User, calls: Any) -> None:
    before = everything()
    for route in (route for route in ROUTES if route.missing):
        refused = call(http, route, calls[route], bearer(bob))
        assert problem(refused)[:2] == (404, route.missing), route
        if route.names(house) and route.path != MADE_ON_FIRST_USE:
            nowhere = call(http, route, (route.nowhere(house), calls[route][1]), bearer(bob))
            assert told(nowhere) == told(refused), route
    assert everything() == before


def told(answer: Any) -> dict[str, Any]:
    """A refusal without what is of this one call."""
    return {name: value for name, value in answer.json().items() if name not in ("instance", "trace_id")}


def test_every_route_that_names_something_has_its_404() -> None:
    """Open ones and staff's aside; a pose of the library is everybody's."""
    bare = {route.path for route in ROUTES if "{" in route.path and route.who == CUSTOMER and not route.missing}
    assert bare == {"api/apps/pose-generator/library/{pose_id}"}


def test_lists_hold_ones_own_only(http: Client, house: House, bob: User, calls: Any) -> None:
    hers = {str(row.pk) for row in Request.objects.filter(owner=house.alice)}
    hers |= set(Item.objects.filter(owner=house.alice).values_list("public_id", flat=True))
    hers |= {str(house.avatar.pk), str(house.wish.pk), house.session.session_id, "alice", str(house.alice.pk)}
    for route in (one for one in ROUTES if one.method == "GET" and one.who == CUSTOMER and not one.missing):
        address, body = calls[route]
        for query in ("", f"?userId={house.alice.pk}&user_id={house.alice.pk}&owner={house.alice.pk}"):
            answer = call(http, route, (address + query, body), bearer(bob))
            assert answer.status_code == 200, route
            assert [one for one in hers if one in answer.text] == [], route


def everything() -> dict[str, str]:
    """What stands in the tables, so that a refused call can be seen to have changed nothing."""
    with connection.cursor() as cursor:
        found = {}
        for table in connection.introspection.table_names(cursor):
            if table.startswith(("config_", "credits_", "generation_", "providers_")):
                cursor.execute(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} AS t")
                found[table] = cursor.fetchone()[0]
    return found
