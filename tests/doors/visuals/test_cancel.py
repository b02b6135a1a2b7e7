"""DELETE cancel/{id}: from each state, and what is given back."""

from __future__ import annotations

from typing import Any

import pytest

from generation import engine
from generation.claim import claim
from generation.models import HoldReason, Item, ItemStatus, Request, RequestStatus
from tests.doors.visuals.desk import Customer, assert_books_are_right, item_of

pytestmark = pytest.mark.django_db

NOT_CANCELLABLE = "Request not found or cannot be cancelled"


def test_a_queued_request_is_cancelled_and_refunded(alices: Customer) -> None:
    request_id = alices.submitted()

    answer = alices.cancel(request_id)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "Request cancelled successfully",
        "creditsRefunded": 1,
        "status": "cancelled",
    }
    status = alices.status(request_id)
    assert (status["status"], status["progress"], status["creditsRefunded"]) == ("cancelled", 0, 1)
    assert status["metadata"]["completedAt"]
    assert (status["result"], status["error"], status["queuePosition"]) == (None, None, None)
    assert alices.balance == 100
    assert alices.queue()["queueLength"] == 0
    assert Request.objects.get().status == RequestStatus.CANCELLED
    assert_books_are_right()


def test_a_request_that_waits_for_a_retry_is_refunded_too(alices: Customer) -> None:
    request_id = alices.submitted()
    Item.objects.update(status=ItemStatus.HELD, hold_reason=HoldReason.RETRY, starts=1, run_after="2100-01-01T00:00Z")
    assert alices.cancel(request_id).json()["creditsRefunded"] == 1
    assert alices.balance == 100


@pytest.mark.parametrize(("rule", "refunded"), [("never", 0), ("confirmed", 0), ("always", 1)])
def test_a_running_request_is_cancelled_at_once_and_refunded_by_rule(
    alices: Customer, settings: Any, rule: str, refunded: int
) -> None:
    settings.VISUAL_RUNNING_CANCEL_REFUND = rule
    request_id = alices.submitted()
    (taken,) = claim(1)

    answer = alices.cancel(request_id)

    assert (answer.status_code, answer.json()["creditsRefunded"]) == (200, refunded)
    assert alices.status(request_id)["status"] == "cancelled"
    assert alices.balance == 99 + refunded
    assert item_of(request_id).fence > taken.fence  # its holder has lost it
    assert_books_are_right()


@pytest.mark.parametrize("ended", ["completed", "failed", "cancelled"])
def test_what_has_ended_cannot_be_cancelled(alices: Customer, ended: str) -> None:
    request_id = alices.submitted()
    words = {"completed": ItemStatus.SUCCEEDED, "failed": ItemStatus.FAILED, "cancelled": ItemStatus.CANCELLED}
    Item.objects.update(status=words[ended], kept=1)

    answer = alices.cancel(request_id)

    assert answer.status_code == 404
    assert (answer.json()["error"], answer.json()["code"]) == (NOT_CANCELLABLE, "NOT_CANCELLABLE")
    assert item_of(request_id).status == words[ended]


def test_bob_cannot_cancel_alices_request(alices: Customer, bobs: Customer) -> None:
    request_id = alices.submitted()
    for wanted in (request_id, "vga_1_none"):
        answer = bobs.cancel(wanted)
        assert answer.status_code == 404
        assert (answer.json()["error"], answer.json()["code"]) == (NOT_CANCELLABLE, "NOT_FOUND")
    assert item_of(request_id).status == ItemStatus.QUEUED


def test_cancelling_twice_refunds_once(alices: Customer) -> None:
    request_id = alices.submitted()
    assert alices.cancel(request_id).status_code == 200
    assert alices.cancel(request_id).status_code == 404
    assert alices.balance == 100


def test_a_cancelled_member_lets_the_next_one_begin(alices: Customer) -> None:
    first, second = alices.batch({}, {}, maxConcurrent=1).json()["requests"]
    assert item_of(second["requestId"]).status == ItemStatus.HELD
    alices.cancel(first["requestId"])
    assert item_of(second["requestId"]).status == ItemStatus.QUEUED


def test_a_cancel_by_staff_reads_the_same(alices: Customer) -> None:
    request_id = alices.submitted()
    item = item_of(request_id)
    engine.cancel(item.request_id, [item.pk], actor="stella")
    assert alices.status(request_id)["status"] == "cancelled"
