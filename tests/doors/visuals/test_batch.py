"""POST batch and GET batch/{id}: all or nothing, one charge, members that are ordinary requests."""

from __future__ import annotations

import re
from typing import Any

import pytest

from credits.models import Entry, Price
from generation import engine
from generation.claim import claim
from generation.doors.visuals.present import batch_word_of
from generation.models import Item, ItemStatus, Request, RequestStatus
from tests.doors.visuals.desk import DRAGON, Customer, faults_of, item_of

pytestmark = pytest.mark.django_db

SEEDS_EXAMPLE = """{
  "requests": [
    {
      "type": "coloring-page",
      "prompt": "A cat playing",
      "projectId": "proj_123",
      "pageId": "page_1"
    },
    {
      "type": "coloring-page",
      "prompt": "A dog running",
      "projectId": "proj_123",
      "pageId": "page_2"
    }
  ],
  "batchOptions": {
    "priority": "normal",
    "maxConcurrent": 3
  }
}"""


def test_the_guides_own_example_is_answered_in_the_order_sent(alices: Customer) -> None:
    answer = alices.call("POST", "batch", SEEDS_EXAMPLE, content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 200
    body = answer.json()
    assert re.fullmatch(r"batch_\d{13}_[0-9a-z]{9}", body.pop("batchId"))
    ids = [entry.pop("requestId") for entry in body["requests"]]
    assert all(re.fullmatch(r"vga_\d{13}_[0-9a-z]{9}", request_id) for request_id in ids)
    entry = {"status": "queued", "creditsCharged": 1, "projectId": "proj_123"}
    assert body == {
        "success": True,
        "status": "queued",
        "total": 2,
        "creditsCharged": 2,
        "estimatedWaitTime": 60,
        "requests": [
            {"index": 0, "queuePosition": 1, "estimatedWaitTime": 30, "pageId": "page_1", **entry},
            {"index": 1, "queuePosition": 2, "estimatedWaitTime": 60, "pageId": "page_2", **entry},
        ],
    }
    assert alices.balance == 98
    assert Entry.objects.filter(kind="charge").count() == 1


def test_members_are_ordinary_requests(alices: Customer) -> None:
    body = alices.batch({}, {"type": "cover"}).json()
    status = alices.status(body["requests"][1]["requestId"])
    assert (status["type"], status["status"], status["batchId"]) == ("cover", "queued", body["batchId"])
    assert alices.cancel(body["requests"][0]["requestId"]).json()["creditsRefunded"] == 1
    counts = alices.batch_status(body["batchId"])
    assert (counts["cancelledRequests"], counts["queuedRequests"], counts["progress"]) == (1, 1, 50)
    assert (counts["status"], counts["creditsCharged"], counts["creditsRefunded"]) == ("queued", 2, 1)


def test_an_entrys_own_priority_beats_the_batchs(alices: Customer) -> None:
    entries = alices.batch({}, {"priority": "low"}, {"priority": None}, priority="urgent").json()["requests"]
    said = [alices.status(entry["requestId"])["priority"] for entry in entries]
    assert said == ["urgent", "low", "urgent"]
    assert [entry["queuePosition"] for entry in entries] == [1, 3, 2]


def test_without_any_priority_it_is_normal(alices: Customer) -> None:
    (entry,) = alices.call("POST", "batch", {"requests": [DRAGON]}).json()["requests"]
    assert alices.status(entry["requestId"])["priority"] == "normal"


def test_a_fresh_batch_is_queued_and_says_how_long(alices: Customer) -> None:
    batch_id = alices.batch({}, {}, maxConcurrent=1).json()["batchId"]
    status = alices.batch_status(batch_id)
    assert re.fullmatch(r"\S+Z", status.pop("createdAt"))
    for member in status["requests"]:
        member.pop("requestId")
    assert status == {
        "batchId": batch_id,
        "status": "queued",
        "totalRequests": 2,
        "completedRequests": 0,
        "failedRequests": 0,
        "cancelledRequests": 0,
        "inProgressRequests": 0,
        "queuedRequests": 2,
        "progress": 0,
        "maxConcurrent": 1,
        "completedAt": None,
        "creditsCharged": 2,
        "creditsRefunded": 0,
        "estimatedTimeRemaining": 60,
        "requests": [
            {"index": index, "status": "queued", "progress": 0, "imageUrl": None, "error": None} for index in (0, 1)
        ],
        "errors": [],
    }


def test_no_more_members_than_max_concurrent_are_ever_claimed(alices: Customer) -> None:
    entries = alices.batch({}, {}, {}, {}, maxConcurrent=2).json()["requests"]
    assert [entry["queuePosition"] for entry in entries] == [1, 2, 3, 4]
    assert len(claim(10)) == 2
    assert claim(10) == []
    running = Item.objects.filter(status=ItemStatus.RUNNING).first()
    assert running
    engine.cancel(running.request_id, [running.pk])  # one ends, the next may begin
    assert len(claim(10)) == 1


# --- Refused -------------------------------------------------------------------------------------

COUNT = "Must hold 1 to 100 requests."
CONCURRENT = "Must be a whole number from 1 to 100."


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"requests": "This field is required."}),
        ({"requests": []}, {"requests": COUNT}),
        ({"requests": [DRAGON] * 101}, {"requests": COUNT}),
        ({"requests": {"0": DRAGON}}, {"requests": "Must be a list."}),
        ({"requests": "all of them"}, {"requests": "Must be a list."}),
        ({"requests": [DRAGON, "a dragon", None]}, {"requests[1]": "Must be an object.", "requests[2]": "…"}),
        ({"requests": [DRAGON], "batchOptions": 3}, {"batchOptions": "Must be an object."}),
        ({"requests": [DRAGON], "batchOptions": {"maxConcurrent": 0}}, {"batchOptions.maxConcurrent": CONCURRENT}),
        ({"requests": [DRAGON], "batchOptions": {"maxConcurrent": 101}}, {"batchOptions.maxConcurrent": CONCURRENT}),
        ({"requests": [DRAGON], "batchOptions": {"maxConcurrent": "3"}}, {"batchOptions.maxConcurrent": CONCURRENT}),
        ({"requests": [DRAGON], "batchOptions": {"priority": "now"}}, {"batchOptions.priority": "…"}),
        (
            {
                "requests": [
                    {**DRAGON, "metadata": {"maxAttempts": 99}},
                    DRAGON,
                    {"type": "cover"},
                    {"type": "poster", "prompt": "short"},
                ],
                "batchOptions": {"priority": "now"},
            },
            {
                "requests[0].metadata.maxAttempts": "Must be a whole number from 1 to 10.",
                "requests[2].prompt": "This field is required.",
                "requests[3].type": "…",
                "requests[3].prompt": "Must be 10 to 1000 characters long.",
                "batchOptions.priority": "…",
            },
        ),
    ],
)
def test_every_fault_of_a_batch_is_named_with_its_place(
    alices: Customer, body: dict[str, Any], faults: dict[str, str]
) -> None:
    found = faults_of(alices.call("POST", "batch", body))
    assert found.keys() == faults.keys()
    assert {field: message for field, message in found.items() if faults[field] != "…"} == {
        field: message for field, message in faults.items() if message != "…"
    }
    assert alices.balance == 100
    assert not Request.objects.exists()


def test_a_hundred_requests_are_taken(alices: Customer) -> None:
    answer = alices.call("POST", "batch", {"requests": [DRAGON] * 100})
    assert answer.status_code == 200
    assert [entry["queuePosition"] for entry in answer.json()["requests"]] == list(range(1, 101))
    assert alices.balance == 0


def test_a_batch_beyond_the_balance_is_refused_as_a_whole(make_customer: Any) -> None:
    poor = Customer(make_customer("poor", 4))
    Price.objects.filter(operation_key="visual_cover").update(credits_cost=4)
    answer = poor.batch({}, {"type": "cover"})
    assert (answer.status_code, answer.json()["required"], answer.json()["available"]) == (402, 5, 4)
    assert poor.balance == 4
    assert not Request.objects.exists()


def test_a_repeated_batch_is_answered_again_and_charged_once(alices: Customer) -> None:
    first, second = alices.batch({}, {}, key="order-0001"), alices.batch({}, {}, key="order-0001")
    assert first.json() == second.json()
    assert alices.balance == 98


def test_bob_cannot_see_alices_batch(alices: Customer, bobs: Customer) -> None:
    batch_id = alices.batch({}).json()["batchId"]
    foreign, missing = bobs.call("GET", f"batch/{batch_id}"), bobs.call("GET", "batch/batch_1_none")
    assert (foreign.status_code, missing.status_code) == (404, 404)
    personal = ("instance", "trace_id")
    assert {key: value for key, value in foreign.json().items() if key not in personal} == {
        key: value for key, value in missing.json().items() if key not in personal
    }


# --- The word of a batch -------------------------------------------------------------------------

RUN, QUE = RequestStatus.RUNNING, RequestStatus.QUEUED


@pytest.mark.parametrize(
    ("status", "members", "word"),
    [
        (QUE, "qq", "queued"),  # none has begun
        (QUE, "qx", "queued"),  # one was called off before any began
        (QUE, "qp", "in-progress"),  # claimed this very moment
        (RUN, "qq", "in-progress"),  # one has begun and waits for a retry
        (RUN, "cq", "in-progress"),
        (RequestStatus.COMPLETED, "cc", "completed"),
        (RequestStatus.FAILED, "ff", "failed"),
        (RequestStatus.FAILED, "fx", "failed"),  # none completed, one failed
        (RequestStatus.CANCELLED, "xx", "cancelled"),
        (RequestStatus.COMPLETED, "cf", "partial"),
        (RequestStatus.COMPLETED, "cx", "partial"),
        (RequestStatus.COMPLETED, "cfx", "partial"),
    ],
)
def test_the_word_of_a_batch(status: RequestStatus, members: str, word: str) -> None:
    words = {"q": "queued", "p": "in-progress", "c": "completed", "f": "failed", "x": "cancelled"}
    assert batch_word_of(Request(status=status), [words[letter] for letter in members]) == word


def test_the_cap_holds_back_members_and_not_their_place(alices: Customer) -> None:
    entries = alices.batch({}, {}, maxConcurrent=1).json()["requests"]
    held = item_of(entries[1]["requestId"])
    assert (held.status, alices.status(held.public_id)["status"]) == (ItemStatus.HELD, "queued")
    assert alices.status(held.public_id)["queuePosition"] == 2
