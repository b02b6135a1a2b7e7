"""What happens when many call at the same moment, each with its own connection."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from config.api import redis
from config.models import User
from generation.doors.makeit3d.catalogue import OPERATIONS, Operation
from generation.models import Item
from tests.doors.makeit3d.desk import Customer
from tests.doors.visuals.desk import assert_books_are_right

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Do the same so many times at the same moment; the pool's few connections are shared as in a web process."""
    barrier, found = threading.Barrier(count, timeout=20), [None] * count

    def run(nth: int) -> None:
        try:
            barrier.wait()
            found[nth] = act(nth)
        finally:
            connection.close()

    connection.close()
    threads = [threading.Thread(target=run, args=(nth,)) for nth in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return found


def test_of_forty_submits_exactly_the_twelve_that_can_be_paid_are_taken(make_customer: Any) -> None:
    poor = Customer(make_customer("poor", 25))  # 2 credits each: one is left over

    answers = at_once(40, lambda _: Customer(poor.user, token=poor.token).post("text-to-image", provider="openai"))

    assert Counter(answer.status_code for answer in answers) == {200: 12, 402: 28}
    assert {answer.json()["available"] for answer in answers if answer.status_code == 402} <= {1}
    assert Item.objects.count() == 12
    assert poor.balance == 1
    assert len({answer.json()["task_id"] for answer in answers if answer.status_code == 200}) == 12
    assert_books_are_right()


def test_the_same_key_many_times_at_once_is_charged_once(alice: User) -> None:
    answers = at_once(12, lambda _: Customer(alice).post("text-to-image", provider="openai", key="order-0001"))

    kinds = Counter((answer.status_code, answer.headers.get("Idempotency-Replayed")) for answer in answers)
    assert kinds[200, None] == 1
    assert kinds.keys() <= {(200, None), (200, "true"), (409, None)}
    assert (Item.objects.count(), Customer(alice).balance) == (1, 98)


LIMITED = [(f"/generate/{one.name}", one.per_minute) for one in OPERATIONS]


@pytest.mark.parametrize(("path", "limit"), LIMITED, ids=[path.rpartition("/")[2] for path, _ in LIMITED])
def test_each_routes_limit_is_exact_under_fifty_calls(alice: User, settings: Any, path: str, limit: int) -> None:
    settings.MAKEIT3D_PER_MINUTE = {}
    assert_exact(Customer(alice), "POST", path, limit)


@pytest.mark.parametrize(
    ("method", "path", "setting"),
    [
        ("GET", "/tasks/t1/status", "MAKEIT3D_READS_PER_MINUTE"),
        ("GET", "/api/images", "MAKEIT3D_READS_PER_MINUTE"),
        ("GET", "/api/models", "MAKEIT3D_READS_PER_MINUTE"),
        ("GET", "/api/credits/balance", "CREDITS_READS_PER_MINUTE"),
        ("GET", "/api/credits/history", "CREDITS_READS_PER_MINUTE"),
        ("POST", "/api/assets", "MAKEIT3D_UPLOADS_PER_MINUTE"),
    ],
)
def test_each_reads_limit_is_exact_under_fifty_calls(
    alice: User, settings: Any, method: str, path: str, setting: str
) -> None:
    setattr(settings, setting, 17)
    assert_exact(Customer(alice), method, path, 17)


def assert_exact(customer: Customer, method: str, path: str, limit: int) -> None:
    """A faulty call counts, too: who is asked for a body that never comes is asked all the same."""
    redis.client().flushdb()
    answers = at_once(50, lambda _: Customer(customer.user, token=customer.token).call(method, path))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 50 - limit
    for answer in refused:
        assert answer.json()["code"] == "RATE_LIMIT_EXCEEDED"
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["X-RateLimit-Remaining"] == "0"


def test_routes_prefixes_and_people_are_counted_apart(alice: User, bob: User, settings: Any) -> None:
    settings.MAKEIT3D_PER_MINUTE = {"text-to-image": 1, "upscale": 1}
    alices, bobs = Customer(alice), Customer(bob)
    assert alices.post("text-to-image", provider="openai").status_code == 200
    assert alices.call("POST", "/generation/text-to-image", {}).status_code == 429  # the same route by its other name
    assert alices.post("upscale").status_code == 200
    assert bobs.post("text-to-image", provider="openai").status_code == 200


def test_the_contracts_limits_are_the_defaults() -> None:
    from config import env, settings

    assert env.counts("MAKEIT3D_PER_MINUTE") == {}
    assert (settings.MAKEIT3D_READS_PER_MINUTE, settings.MAKEIT3D_UPLOADS_PER_MINUTE) == (120, 30)


@pytest.mark.parametrize("operation", OPERATIONS, ids=[one.name for one in OPERATIONS])
def test_a_limit_of_none_is_no_limit(alice: User, settings: Any, operation: Operation) -> None:
    settings.MAKEIT3D_PER_MINUTE = {operation.name: 0}
    for _ in range(operation.per_minute + 1):
        assert Customer(alice).call("POST", f"/generate/{operation.name}", {}).status_code == 422
