"""One answer per key: run once, replayed after, and only where the charge was decided."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from config.api import idempotency
from config.api.idempotency import fingerprint_of
from config.models import Idempotency, StaffAct, User

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config_api.routes")]

KEY = "order-0001"


@pytest.fixture
def alices(client: APIClient, alice: User) -> APIClient:
    client.force_authenticate(alice)
    return client


def order(client: APIClient, kind: str = "cover", key: str | None = KEY) -> Any:
    headers = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    return client.post("/api/order", {"kind": kind}, format="json", **headers)


def test_a_repeat_gets_the_stored_answer_and_runs_nothing(alices: APIClient) -> None:
    first, second = order(alices), order(alices, key=f'"{KEY}"')  # quotes are optional

    assert first.json() == second.json()
    assert (first.status_code, second.status_code) == (200, 200)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert StaffAct.objects.count() == 1


def test_without_a_key_every_call_runs(alices: APIClient) -> None:
    assert order(alices, key=None).json() != order(alices, key=None).json()
    assert not Idempotency.objects.exists()


def test_the_same_key_with_another_body_is_refused(alices: APIClient) -> None:
    order(alices)
    answer = order(alices, kind="free")
    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert StaffAct.objects.count() == 1


@pytest.mark.parametrize("key", ["short", "x" * 256, "with space", "käse-0001", "", '"seven77"', "tab\tinside"])
def test_a_malformed_key_is_refused(alices: APIClient, key: str) -> None:
    answer = order(alices, key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert not StaffAct.objects.exists()


@pytest.mark.parametrize("key", ["x" * 8, "x" * 255, "!~!~!~!~"])
def test_a_key_of_any_allowed_form_is_taken(alices: APIClient, key: str) -> None:
    assert order(alices, key=key).status_code == 200


def test_no_credits_is_stored_and_what_was_begun_is_undone(alices: APIClient) -> None:
    first, second = order(alices, "dear"), order(alices, "dear")

    assert (first.status_code, first.json()["code"]) == (402, "INSUFFICIENT_CREDITS")
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Content-Type"] == "application/problem+json"
    assert not StaffAct.objects.exists()


@pytest.mark.parametrize(("kind", "status"), [("broken", 500), ("gone", 503), ("no such", 400)])
def test_another_failure_leaves_the_key_free_and_nothing_behind(alices: APIClient, kind: str, status: int) -> None:
    assert order(alices, kind).status_code == status
    assert not StaffAct.objects.exists()
    assert order(alices, "cover").status_code == 200


def test_people_and_paths_have_keys_of_their_own(alices: APIClient, bob: User) -> None:
    order(alices)
    bobs = APIClient()
    bobs.force_authenticate(bob)
    answer = order(bobs)
    assert (answer.status_code, answer.json()["actor"]) == (200, str(bob.pk))


def test_a_day_later_the_key_is_as_new(alices: APIClient) -> None:
    first = order(alices)
    stored = Idempotency.objects.get()
    Idempotency.objects.update(created_at=stored.created_at - timedelta(hours=24, seconds=1))

    second = order(alices, kind="free")

    assert second.status_code == 200
    assert second.json() != first.json()
    assert json.loads(Idempotency.objects.get().body) == second.json()
    assert order(alices, kind="free").headers["Idempotency-Replayed"] == "true"


def test_the_fingerprint_knows_values_and_not_spelling() -> None:
    assert fingerprint_of({"a": 1, "b": ["ä", None]}) == fingerprint_of({"b": ["ä", None], "a": 1})
    assert fingerprint_of({"a": 1}) != fingerprint_of({"a": "1"})
    assert fingerprint_of({"a": [1, 2]}) != fingerprint_of({"a": [2, 1]})


@pytest.mark.django_db(transaction=True)
def test_the_same_key_fifty_times_at_once_runs_once(alice: User) -> None:
    def call(_: int) -> Any:
        client = APIClient()
        client.force_authenticate(alice)
        try:
            return order(client)
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(call, range(50)))

    kinds = Counter((a.status_code, a.headers.get("Idempotency-Replayed")) for a in answers)
    assert StaffAct.objects.count() == 1
    assert kinds[200, None] == 1
    assert kinds.keys() <= {(200, None), (200, "true"), (409, None)}, kinds
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "IDEMPOTENCY_IN_PROGRESS"
            assert answer.headers["Retry-After"] == "1"


@pytest.mark.django_db(transaction=True)
def test_while_the_first_still_runs_the_second_is_told_to_wait(
    alice: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    from tests.config_api import routes

    seen: list[Any] = []
    produce = routes.OrderView.produce

    def slow(self: Any, request: Any, kind: str) -> Any:
        # In the middle of the first call the second comes, from another connection.
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as thread:
            seen.append(thread.submit(call).result())
        return produce(self, request, kind)

    def call() -> Any:
        client = APIClient()
        client.force_authenticate(alice)
        try:
            return order(client)
        finally:
            if seen or connection.in_atomic_block is False:
                connection.close()

    monkeypatch.setattr(routes.OrderView, "produce", slow)
    first = call()

    assert (first.status_code, seen[0].status_code) == (200, 409)
    assert order_again(alice).headers["Idempotency-Replayed"] == "true"


@pytest.mark.django_db(transaction=True)
def test_an_answer_stored_between_look_and_lock_is_found_when_it_would_be_stored_again(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_again(alice)
    looks = []

    def late_once(*asked: Any) -> Any:
        looks.append(idempotency_look(*asked))
        return looks[-1] if len(looks) > 1 else None

    idempotency_look = idempotency._look
    monkeypatch.setattr(idempotency, "_look", late_once)

    answer = order_again(alice)

    assert answer.headers["Idempotency-Replayed"] == "true"
    assert len(looks) == 2
    assert StaffAct.objects.count() == 1


def order_again(alice: User) -> Any:
    client = APIClient()
    client.force_authenticate(alice)
    return order(client)
