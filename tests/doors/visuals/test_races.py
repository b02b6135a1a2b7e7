"""What happens when two calls come at the same moment, each with its own connection."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from config.models import User
from generation.models import Item, ItemStatus
from tests.db import race, race_until_both_orders
from tests.doors.visuals.desk import DRAGON, Customer, assert_books_are_right, item_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_same_submit_twice_at_once_is_charged_once(alice: User) -> None:
    answers = race(*(lambda: Customer(alice).submit(key="order-0001") for _ in range(5)))

    kinds = Counter((answer.status_code, answer.headers.get("Idempotency-Replayed")) for answer in answers)
    assert kinds[200, None] == 1
    assert kinds.keys() <= {(200, None), (200, "true"), (409, None)}, kinds
    assert len({answer.json()["requestId"] for answer in answers if answer.status_code == 200}) == 1
    assert Item.objects.count() == 1
    assert Customer(alice).balance == 99
    assert_books_are_right()


def test_the_last_credit_is_spent_once(make_customer: Any) -> None:
    poor = make_customer("poor", 1)

    answers = race(*(lambda: Customer(poor).submit() for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [200, 402, 402, 402]
    assert Item.objects.count() == 1
    assert Customer(poor).balance == 0
    assert_books_are_right()


def test_the_rate_is_exact_when_many_call_at_once(alice: User, settings: Any) -> None:
    settings.VISUAL_RATE_LIMIT = 3

    answers = race(*(lambda: Customer(alice).submit() for _ in range(6)))

    assert Counter(answer.status_code for answer in answers) == {200: 3, 429: 3}
    assert Item.objects.count() == 3


def test_a_submit_and_a_batch_count_in_one_window(alice: User, settings: Any) -> None:
    settings.VISUAL_RATE_LIMIT = 1

    def round_of(number: int) -> Any:
        from config.api import redis

        redis.client().flushdb()
        return (
            lambda: Customer(alice).submit().status_code == 200,
            lambda: Customer(alice).call("POST", "batch", {"requests": [DRAGON]}).status_code == 200,
        )

    race_until_both_orders(round_of)


def test_two_cancels_refund_once(alice: User) -> None:
    request_id = Customer(alice).submitted()

    answers = race(*(lambda: Customer(alice).cancel(request_id) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [200, 404, 404]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 404} == {"NOT_CANCELLABLE"}
    assert Customer(alice).balance == 100
    assert item_of(request_id).status == ItemStatus.CANCELLED
    assert_books_are_right()
