"""The visual-generation guide's flow from end to end: submit, wait, fetch; and what a person sees when it goes wrong.

The work is done in the test's own thread against the simulator over HTTP; see `tests.doors.visuals.desk`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import time
from typing import Any

import pytest
from PIL import Image

from generation import chores, engine, storage
from generation.claim import claim
from generation.models import Asset, Attempt, Event, Item, ItemStatus
from tests.db import lags, race_until_both_orders
from tests.doors.visuals.desk import Customer, assert_books_are_right, assert_no_vendor, item_of, work
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

GUIDES_EXAMPLE = """{
  "type": "coloring-page",
  "prompt": "A friendly dragon playing in a garden",
  "priority": "normal",
  "projectId": "proj_123",
  "pageId": "page_456",
  "metadata": {"imageStyle": "cartoon", "aspectRatio": "square", "maxAttempts": 3}
}"""


def told(request_id: str) -> list[str]:
    return list(Event.objects.filter(item__public_id=request_id).order_by("seq").values_list("kind", flat=True))


def fetched(customer: Customer, link: str) -> bytes:
    answer = customer.http.get(link)
    assert answer.status_code == 200
    try:
        return b"".join(answer.streaming_content)  # type: ignore[arg-type]
    finally:
        answer.close()


# --- It works ------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openai", "huggingface"])  # one answers at once, the other parks
def test_a_picture_is_submitted_made_and_fetched(alices: Customer, simulator: Remote, provider: str) -> None:
    request_id = alices.submitted(metadata={"provider": provider, "aspectRatio": "portrait"}, prompt=" A tall dragon ")
    assert alices.status(request_id)["status"] == "queued"

    work()

    status = alices.status(request_id, "")
    assert (status["status"], status["progress"], status["error"]) == ("completed", 100, None)
    alias = {"openai": "provider_d", "huggingface": "provider_g"}[provider]
    result, metadata = status["result"], status["metadata"]
    assert (result["provider"], result["model"], metadata["provider"]) == (alias, "main", alias)
    assert metadata["attempts"] == 1
    assert metadata["requestedAt"] < metadata["startedAt"] < metadata["completedAt"]
    assert result["generationTime"] == metadata["generationTime"] > 0
    assert (status["creditsCharged"], status["creditsRefunded"], alices.balance) == (1, 0, 99)

    head, _, data = result["imageData"].partition(",")
    assert head == f"data:{result['contentType']};base64"
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.size == (result["width"], result["height"])
    assert picture.height > picture.width  # portrait, as asked
    assert Image.MIME[str(picture.format)] == result["contentType"]

    link = result["imageUrl"].removeprefix("http://testserver")
    assert fetched(alices, link) == base64.b64decode(data)

    (paid,) = [call for call in simulator.calls(provider) if call["method"] == "POST"]
    assert "A tall dragon, coloring book style" in str(paid)
    assert status["prompt"] == "A tall dragon"
    assert sorted(Asset.objects.values_list("kind", flat=True)) == ["image", "thumbnail"]
    assert_books_are_right()


def test_the_guides_example_end_to_end(alices: Customer) -> None:
    answer = alices.call("POST", "submit", GUIDES_EXAMPLE, content_type="application/x-www-form-urlencoded")
    work()
    status = alices.status(answer.json()["requestId"], "?imageData=true")
    assert status["result"]["imageData"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert "imageData" not in alices.status(answer.json()["requestId"], "?imageData=false")["result"]


def test_while_it_is_made_small_it_is_in_progress(alices: Customer) -> None:
    engine.pause("internal", actor="sam", reason="busy")  # else it is made along with the picture
    request_id = alices.submitted()
    engine.work(claim(1)[0])
    status = alices.status(request_id)
    assert (status["status"], status["progress"], status["result"]) == ("in-progress", 95, None)
    assert status["metadata"]["completedAt"] is None
    assert alices.queue()["activeRequests"] == 1
    assert alices.queue()["queueLength"] == 0
    engine.resume("internal")
    work()
    assert alices.status(request_id)["status"] == "completed"


def test_a_batch_is_worked_through_and_reports(alices: Customer, simulator: Remote) -> None:
    simulator.faults("openai", "filtered", match="forbidden")
    batch = alices.batch({"pageId": "p1"}, {"prompt": "A forbidden dragon", "pageId": "p2"}, maxConcurrent=1).json()

    work()

    status = alices.batch_status(batch["batchId"])
    assert (status["status"], status["progress"]) == ("partial", 100)
    assert (status["completedRequests"], status["failedRequests"], status["queuedRequests"]) == (1, 1, 0)
    assert (status["creditsCharged"], status["creditsRefunded"], alices.balance) == (2, 1, 99)
    assert status["completedAt"]
    assert status["estimatedTimeRemaining"] == 0
    done, failed = status["requests"]
    assert fetched(alices, done["imageUrl"].removeprefix("http://testserver")).startswith(b"\x89PNG")
    assert (failed["status"], failed["imageUrl"], failed["error"]["code"]) == ("failed", None, "CONTENT_REJECTED")
    assert status["errors"] == [
        {
            "requestId": failed["requestId"],
            "pageId": "p2",
            "projectId": None,
            "error": failed["error"]["message"],
            "retryable": False,
        }
    ]
    assert_books_are_right()


# --- It goes wrong -------------------------------------------------------------------------------


def test_a_refused_content_fails_at_once_and_is_refunded(alices: Customer, simulator: Remote) -> None:
    simulator.faults("openai", "filtered", times=9)
    request_id = alices.submitted()
    assert alices.balance == 99

    work()

    status = alices.status(request_id)
    assert (status["status"], status["progress"], status["result"]) == ("failed", 0, None)
    assert (status["error"]["code"], status["error"]["retryable"]) == ("CONTENT_REJECTED", False)
    assert status["metadata"]["attempts"] == 1
    assert (status["creditsRefunded"], alices.balance) == (1, 100)
    assert len(simulator.calls("openai")) == 1
    assert_books_are_right()


@pytest.mark.parametrize(
    ("fault", "code"), [("503", "SERVICE_UNAVAILABLE"), ("500", "SERVICE_UNAVAILABLE"), ("504", "TIMEOUT")]
)
def test_a_passing_fault_is_retried_max_attempts_times_and_then_refunded(
    alices: Customer, simulator: Remote, fault: str, code: str
) -> None:
    simulator.faults("openai", fault, times=9)
    request_id = alices.submitted(metadata={"maxAttempts": 2})

    work()

    status = alices.status(request_id)
    assert (status["status"], status["error"]["code"], status["error"]["retryable"]) == ("failed", code, True)
    assert status["metadata"]["attempts"] == 2
    assert len(simulator.calls("openai")) == 2
    assert (status["creditsRefunded"], alices.balance) == (1, 100)
    assert told(request_id) == ["started", "retrying", "released", "started", "failed"]
    assert_books_are_right()


def test_a_fault_that_passes_costs_an_attempt_and_nothing_else(alices: Customer, simulator: Remote) -> None:
    simulator.faults("openai", "503")
    request_id = alices.submitted()
    work()
    status = alices.status(request_id)
    assert (status["status"], status["metadata"]["attempts"], alices.balance) == ("completed", 2, 99)


def test_a_waiting_retry_is_queued_with_the_least_weight_and_says_when(
    alices: Customer, simulator: Remote, settings: Any
) -> None:
    settings.VISUAL_RETRY_BASE_S = 10_000.0
    simulator.faults("openai", "503")
    request_id = alices.submitted(priority="urgent")

    engine.work(claim(1)[0])

    status = alices.status(request_id)
    assert (status["status"], status["progress"], status["priority"]) == ("queued", 0, "urgent")
    assert status["metadata"]["nextAttemptAt"] > status["metadata"]["requestedAt"]
    assert (status["metadata"]["startedAt"], status["metadata"]["attempts"]) == (None, 1)
    assert item_of(request_id).weight == 1
    assert alices.queue()["queuedByPriority"]["urgent"] == 1
    assert alices.cancel(request_id).json()["creditsRefunded"] == 1
    assert_books_are_right()


def test_too_busy_a_provider_costs_no_attempt(alices: Customer, simulator: Remote) -> None:
    simulator.faults("openai", "rate-limit", retry_after="120")
    request_id = alices.submitted()
    engine.work(claim(1)[0])
    status = alices.status(request_id)
    assert (status["status"], status["metadata"]["attempts"]) == ("queued", 0)


def test_a_provider_that_cannot_gives_way_to_the_next(alices: Customer, simulator: Remote) -> None:
    simulator.faults("openai", "model-gone")
    request_id = alices.submitted()
    work()
    status = alices.status(request_id)
    assert (status["status"], status["result"]["provider"]) == ("completed", "provider_a")
    assert status["metadata"]["attempts"] == 1  # moving on is no start


def test_what_is_no_picture_is_tried_once_more_and_then_refunded(alices: Customer, simulator: Remote) -> None:
    simulator.faults("openai", "wrong-type", times=9)
    request_id = alices.submitted(metadata={"maxAttempts": 5})
    work()
    status = alices.status(request_id)
    assert (status["status"], status["error"]["code"]) == ("failed", "INVALID_IMAGE")
    assert (status["metadata"]["attempts"], alices.balance) == (2, 100)
    assert_books_are_right()


# --- It is called off ----------------------------------------------------------------------------


def test_a_parked_call_that_the_vendor_stops_is_refunded(alices: Customer, simulator: Remote) -> None:
    simulator.settings(delay_s=60)
    request_id = alices.submitted(metadata={"provider": "huggingface"})
    engine.work(claim(1)[0])
    assert alices.status(request_id)["status"] == "in-progress"

    answer = alices.cancel(request_id)

    assert (answer.status_code, answer.json()["creditsRefunded"]) == (200, 0)
    status = alices.status(request_id)
    assert (status["status"], status["creditsRefunded"]) == ("cancelled", 0)
    while chores.do_next():
        pass
    assert [call["operation"] for call in simulator.calls("huggingface", "cancel")] == ["cancel"]
    is_stopped = Attempt.objects.get().ended_at is not None
    assert alices.balance == 99 + is_stopped
    assert alices.status(request_id)["creditsRefunded"] == int(is_stopped)
    assert_books_are_right()


def test_a_picture_that_comes_after_the_cancel_is_neither_kept_nor_shown(alices: Customer) -> None:
    request_id = alices.submitted()
    taken = claim(1)[0]
    begun = item_of(request_id)
    assert begun.status == ItemStatus.RUNNING

    original = storage.save

    def save_after_the_cancel(key: str, body: Any) -> None:
        assert alices.cancel(request_id).status_code == 200
        original(key, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "save", save_after_the_cancel)
        engine.work(taken)

    status = alices.status(request_id)
    assert (status["status"], status["result"]) == ("cancelled", None)
    assert not Asset.objects.exists()
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.cost_usd > 0) == ("late", True)
    with pytest.raises(storage.KeyMissing):
        storage.read(attempt.key)
    assert_books_are_right()


def test_of_cancel_and_completion_exactly_one_wins(make_customer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alices = Customer(make_customer("alice", 1000))
    stored = threading.Barrier(2, timeout=10)
    late_s: dict[str, float] = {}
    original = storage.save

    def save_and_meet(key: str, body: Any) -> None:
        original(key, body)
        if "-thumbnail-" in key:
            stored.wait()
            time.sleep(late_s["complete"])

    def round_of(number: int) -> Any:
        late_s["complete"], late_s["cancel"] = lags(number)
        request_id = alices.submitted()
        taken = claim(1)[0]

        def complete() -> bool:
            engine.work(taken)  # its thumbnail is stored last, then both are settled
            return alices.status(request_id)["status"] == "completed"

        def cancel() -> bool:
            stored.wait()
            time.sleep(late_s["cancel"])
            return bool(engine.cancel(taken.item.request_id, [taken.item.pk]).item_ids)

        return complete, cancel

    monkeypatch.setattr(storage, "save", save_and_meet)
    race_until_both_orders(round_of)
    assert_books_are_right()


# --- Nobody learns who made it -------------------------------------------------------------------


def test_the_database_alone_names_no_vendor(alices: Customer, simulator: Remote) -> None:
    simulator.faults("openai", "503")
    for provider in ("openai", "huggingface", "none"):
        alices.submitted(metadata={"provider": provider})
    work()
    for model in (Item, Attempt, Asset, Event):
        for row in model.objects.values():  # type: ignore[attr-defined]
            assert_no_vendor(str(row))


def test_the_picture_is_stored_as_it_was_received(alices: Customer) -> None:
    request_id = alices.submitted()
    work()
    asset = Asset.objects.get(kind="image")
    data = storage.read(asset.key)
    assert hashlib.sha256(data).hexdigest() == asset.sha256
    assert request_id in asset.key
