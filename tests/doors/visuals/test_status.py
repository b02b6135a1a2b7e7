"""The status document and the live update: each state in the contract's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from generation import storage
from generation.claim import claim
from generation.doors.visuals import present
from generation.models import EventKind, HoldReason, Item, ItemStatus, Request
from tests.doors.visuals.desk import Customer, assert_no_vendor, item_of

NOON = datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=UTC)
MADE = {
    "key": "images/1/vga_1-generate-1.webp",
    "starts": 2,
    "provider": "provider_g",
    "model": "main",
    "content_type": "image/webp",
    "width": 864,
    "height": 1152,
}
BASE = "https://atelier.example/"


def make_item(status: ItemStatus, **fields: Any) -> Item:
    """An item as it stands in the given state, without a database."""
    values: dict[str, Any] = {
        "public_id": "vga_1700000000000_k3j9x0q2a",
        "request": Request(public_id="batch_1_a"),
        "door": "visuals",
        "params": {"type": "cover", "projectId": "p", "pageId": None, "metadata": {"aspectRatio": "portrait"}},
        "prompt": "A friendly dragon",
        "steps": [{"retry": {"max_starts": 3}}, {}],
        "created_at": NOON,
        "charged": 1,
        "starts": 2,
    }
    return Item(status=status, **{**values, **fields})


def document_of(item: Item, **options: Any) -> dict[str, Any]:
    with patch("generation.queue.position", return_value=4):
        document = present.present_item(item, BASE, **options)
    assert_no_vendor(str(document))
    return document


S = ItemStatus


@pytest.mark.parametrize(
    ("item", "word", "progress", "position"),
    [
        (make_item(S.QUEUED), "queued", 0, 4),
        (make_item(S.HELD, hold_reason=HoldReason.RETRY, progress=40), "queued", 0, 4),  # back to 0 on a retry
        (make_item(S.HELD, hold_reason=HoldReason.BUNDLE), "queued", 0, 4),
        (make_item(S.RUNNING), "in-progress", 0, None),
        (make_item(S.WAITING, progress=40), "in-progress", 40, None),
        (make_item(S.QUEUED, step=1, progress=95), "in-progress", 95, None),  # made; made small next
        (make_item(S.RUNNING, step=1, progress=100), "in-progress", 99, None),  # never 100 before it is completed
        (make_item(S.SUCCEEDED, step=1, progress=100, results={"generate": MADE}), "completed", 100, None),
        (make_item(S.FAILED, progress=40, error_code="TIMEOUT"), "failed", 0, None),
        (make_item(S.CANCELLED, progress=40), "cancelled", 0, None),
    ],
)
def test_each_state_has_its_word_and_progress(item: Item, word: str, progress: int, position: int | None) -> None:
    document = document_of(item)
    assert (document["status"], document["progress"], document["queuePosition"]) == (word, progress, position)
    assert (document["result"] is not None) is (word == "completed")
    assert (document["error"] is not None) is (word == "failed")


def test_a_completed_request_shows_its_picture_and_how_long_it_took() -> None:
    begun, ended = NOON + timedelta(minutes=2), NOON + timedelta(minutes=5, microseconds=900)
    item = make_item(
        S.SUCCEEDED, step=1, starts=1, results={"generate": MADE}, started_at=begun, finished_at=ended, refunded=0
    )
    document = document_of(item)
    url = document["result"].pop("imageUrl")
    assert url.startswith(f"{BASE}files/images/1/vga_1-generate-1.webp?expires=")
    assert document["metadata"] == {
        "requestedAt": "2026-01-15T12:00:00.123Z",
        "startedAt": "2026-01-15T12:02:00.123Z",
        "completedAt": "2026-01-15T12:05:00.124Z",
        "attempts": 2,  # of the picture; the item itself now counts the thumbnail's
        "maxAttempts": 3,
        "generationTime": 180001,
        "nextAttemptAt": None,
        "aspectRatio": "portrait",
    }
    assert document["result"] == {
        "provider": "provider_g",
        "model": "main",
        "generationTime": 180001,
        "width": 864,
        "height": 1152,
        "contentType": "image/webp",
    }
    assert document["batchId"] == "batch_1_a"


def test_the_picture_itself_comes_as_a_data_url_of_its_real_type() -> None:
    item = make_item(S.SUCCEEDED, step=1, results={"generate": MADE}, started_at=NOON, finished_at=NOON)
    with patch("generation.storage.read", return_value=b"RIFF"):
        document = document_of(item, image_data=True)
    assert document["result"]["imageData"] == "data:image/webp;base64,UklGRg=="


def test_a_waiting_retry_says_when_and_has_no_start() -> None:
    due = NOON + timedelta(seconds=20)
    item = make_item(S.HELD, hold_reason=HoldReason.RETRY, run_after=due, started_at=NOON, starts=1)
    metadata = document_of(item)["metadata"]
    assert metadata["nextAttemptAt"] == "2026-01-15T12:00:20.123Z"
    assert (metadata["startedAt"], metadata["attempts"]) == (None, 1)


def test_what_staff_or_a_cap_hold_back_names_no_time() -> None:
    item = make_item(S.HELD, hold_reason=HoldReason.STAFF, run_after=NOON)
    assert document_of(item)["metadata"]["nextAttemptAt"] is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("RATE_LIMITED", "RATE_LIMITED"),
        ("TIMEOUT", "TIMEOUT"),
        ("CONTENT_REJECTED", "CONTENT_REJECTED"),
        ("INVALID_IMAGE", "INVALID_IMAGE"),
        ("HTTP_418", "HTTP_418"),
        ("STORAGE_ERROR", "UNKNOWN_ERROR"),  # the desk's own words stay inside
        ("HTTP_4180", "UNKNOWN_ERROR"),
        ("", "UNKNOWN_ERROR"),
    ],
)
def test_an_error_has_a_code_of_the_contract(code: str, said: str) -> None:
    item = make_item(S.FAILED, error_code=code, error_message="It did not work.", error_retryable=True)
    assert document_of(item)["error"] == {"message": "It did not work.", "code": said, "retryable": True}


# --- Live ----------------------------------------------------------------------------------------

K = EventKind
DONE = make_item(S.SUCCEEDED, step=1, results={"generate": MADE}, started_at=NOON, finished_at=NOON)
FAILURE = make_item(S.FAILED, error_code="TIMEOUT", error_message="The provider took too long.")


@pytest.mark.parametrize(
    ("item", "kind", "name", "message"),
    [
        (make_item(S.QUEUED), None, "snapshot", "Waiting in the queue."),
        (make_item(S.WAITING, progress=40), None, "snapshot", "40 % done."),
        (DONE, None, "snapshot", "The picture is ready."),
        (make_item(S.QUEUED), K.SUBMITTED, "request-queued", "Waiting in the queue."),
        (make_item(S.QUEUED), K.RELEASED, "request-queued", "Waiting in the queue."),
        (make_item(S.RUNNING), K.STARTED, "request-started", "The generation has started."),
        (make_item(S.RUNNING), K.REQUEST_STARTED, "request-started", "The generation has started."),
        (make_item(S.WAITING, progress=40), K.PROGRESS, "request-progress", "40 % done."),
        (make_item(S.QUEUED, step=1, progress=95), K.STEP, "request-progress", "95 % done."),
        (
            make_item(S.HELD, hold_reason=HoldReason.RETRY),
            K.RETRYING,
            "request-retrying",
            "It did not work out; another attempt follows.",
        ),
        (DONE, K.SUCCEEDED, "request-completed", "The picture is ready."),
        (DONE, K.REQUEST_COMPLETED, "request-completed", "The picture is ready."),
        (DONE, K.STARTED, "request-completed", "The picture is ready."),  # the document is newer than the hint
        (FAILURE, K.FAILED, "request-failed", "The provider took too long."),
        (make_item(S.CANCELLED), K.CANCELLED, "request-cancelled", "The request was cancelled."),
        (make_item(S.CANCELLED), K.REFUNDED, "snapshot", "The request was cancelled."),
    ],
)
def test_an_update_is_the_document_with_an_event_a_text_and_a_number(
    item: Item, kind: str | None, name: str, message: str
) -> None:
    with patch("generation.queue.position", return_value=4):
        update = present.present_event(item, kind, 17, BASE)
        document = present.present_item(item, BASE)
    assert (update["event"], update["message"], update["seq"]) == (name, message, 17)
    assert {key: value for key, value in update.items() if key in document} == document
    assert "imageData" not in (update["result"] or {})


# --- Over HTTP -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_claimed_request_is_in_progress(alices: Customer) -> None:
    request_id = alices.submitted()
    claim(1)
    status = alices.status(request_id)
    assert (status["status"], status["queuePosition"], status["metadata"]["attempts"]) == ("in-progress", None, 1)


@pytest.mark.django_db
def test_bob_sees_alices_request_as_one_that_never_was(alices: Customer, bobs: Customer) -> None:
    request_id = alices.submitted()
    foreign, missing = bobs.call("GET", f"status/{request_id}"), bobs.call("GET", "status/vga_1_none")
    for answer in (foreign, missing):
        assert answer.status_code == 404
        assert (answer.json()["error"], answer.json()["code"]) == ("Request not found", "NOT_FOUND")
    personal = ("instance", "trace_id")
    assert {key: value for key, value in foreign.json().items() if key not in personal} == {
        key: value for key, value in missing.json().items() if key not in personal
    }


@pytest.mark.django_db
def test_a_picture_that_cannot_be_read_is_a_503_and_its_link_still_there(alices: Customer) -> None:
    request_id = alices.submitted()
    Item.objects.filter(public_id=request_id).update(
        status=S.SUCCEEDED, step=1, results={"generate": MADE}, started_at=NOON, finished_at=NOON
    )
    with patch("generation.storage.read", side_effect=storage.StorageError("no such host s3.internal")):
        answer = alices.call("GET", f"status/{request_id}")
    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert "s3.internal" not in answer.content.decode()
    assert alices.status(request_id)["result"]["imageUrl"].startswith("http://testserver/files/images/1/vga_1")


@pytest.mark.django_db
def test_another_doors_item_is_none_of_this_doors(alices: Customer) -> None:
    request_id = alices.submitted()
    Item.objects.update(door="poses")
    assert alices.call("GET", f"status/{request_id}").status_code == 404
    assert alices.cancel(request_id).status_code == 404
    assert item_of(request_id).status == S.QUEUED


@pytest.mark.parametrize("odd", ["a%00b", "%F0%9F%A6%8A", "vga_" + "x" * 80, "vga-1"])
def test_an_id_that_could_not_be_ours_is_missing_like_any_other(alices: Customer, odd: str) -> None:
    for method, route in (("get", "status"), ("get", "batch"), ("delete", "cancel")):
        answer = alices.call(method, f"{route}/{odd}")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
