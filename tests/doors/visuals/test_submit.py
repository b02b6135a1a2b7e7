"""POST submit: what is taken, what is refused and how, and what is never stored or charged twice."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.models import Idempotency, User
from credits.models import Entry, Price
from generation.models import Event, Item, Request
from tests.doors.visuals.desk import API, DRAGON, Customer, faults_of, item_of

pytestmark = pytest.mark.django_db

SEEDS_EXAMPLE = """{
  "type": "coloring-page",
  "prompt": "A friendly dragon playing in a garden",
  "priority": "normal",
  "projectId": "proj_123",
  "pageId": "page_456",
  "metadata": {
    "imageStyle": "cartoon",
    "aspectRatio": "square",
    "maxAttempts": 3
  }
}"""


def assert_nothing_happened(customer: Customer, balance: int = 100) -> None:
    assert customer.balance == balance
    assert not Request.objects.exists()
    assert not Item.objects.exists()
    assert not Event.objects.exists()


# --- Taken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain"],
    ids=["json", "curl without a header", "octets", "text"],
)
def test_the_guides_own_example_is_taken_whatever_its_content_type(alices: Customer, content_type: str) -> None:
    answer = alices.call("POST", "submit", SEEDS_EXAMPLE, content_type=content_type)

    assert answer.status_code == 200
    body = answer.json()
    assert re.fullmatch(r"vga_\d{13}_[0-9a-z]{9}", body.pop("requestId"))
    assert body == {
        "success": True,
        "status": "queued",
        "estimatedWaitTime": 30,
        "queuePosition": 1,
        "creditsCharged": 1,
    }
    assert alices.balance == 99


def test_a_status_read_straight_after_shows_it_queued(alices: Customer) -> None:
    request_id = alices.submit(SEEDS_EXAMPLE).json()["requestId"]
    status = alices.status(request_id)
    when = status["metadata"].pop("requestedAt")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", when)
    assert status == {
        "requestId": request_id,
        "type": "coloring-page",
        "prompt": "A friendly dragon playing in a garden",
        "status": "queued",
        "priority": "normal",
        "progress": 0,
        "metadata": {
            "startedAt": None,
            "completedAt": None,
            "attempts": 0,
            "maxAttempts": 3,
            "generationTime": None,
            "nextAttemptAt": None,
            "imageStyle": "cartoon",
            "aspectRatio": "square",
        },
        "result": None,
        "error": None,
        "projectId": "proj_123",
        "pageId": "page_456",
        "batchId": None,
        "queuePosition": 1,
        "creditsCharged": 1,
        "creditsRefunded": 0,
    }


def test_the_wait_grows_by_half_a_minute_with_each_request_in_the_queue(alices: Customer, bobs: Customer) -> None:
    waits = [customer.submit().json()["estimatedWaitTime"] for customer in (alices, bobs, alices)]
    assert waits == [30, 60, 90]


def test_the_seconds_per_request_are_a_setting(alices: Customer, settings: Any) -> None:
    settings.VISUAL_SECONDS_PER_REQUEST = 7
    assert alices.submit().json()["estimatedWaitTime"] == 7


def test_the_place_in_the_queue_goes_by_priority_and_then_by_fair_turns(alices: Customer, bobs: Customer) -> None:
    assert alices.submit().json()["queuePosition"] == 1
    assert alices.submit().json()["queuePosition"] == 2
    assert bobs.submit().json()["queuePosition"] == 2  # bob's first stands beside alice's first
    assert alices.submit(priority="low").json()["queuePosition"] == 4
    assert bobs.submit(priority="high").json()["queuePosition"] == 1
    assert alices.submit(priority="urgent").json()["queuePosition"] == 1


def test_the_prompt_is_stored_trimmed_and_never_the_enhanced_one(alices: Customer) -> None:
    request_id = alices.submitted(prompt="   A friendly dragon   \n")
    assert alices.status(request_id)["prompt"] == "A friendly dragon"
    assert item_of(request_id).steps[0]["inputs"]["prompt"].startswith("A friendly dragon, coloring book style")


def test_unknown_fields_are_ignored_and_unknown_metadata_is_kept(alices: Customer) -> None:
    request_id = alices.submitted(seed=4, metadata={"session": {"tab": 2}, "note": None})
    assert item_of(request_id).params["metadata"] == {"session": {"tab": 2}, "note": None}


def test_what_no_row_can_hold_is_a_fault_of_its_field(alices: Customer) -> None:
    entry = {"type": "cover\0", "prompt": "A friendly \ud800 dragon", "projectId": "a\0b", "pageId": "\udfff"}
    odd = {"imageStyle": "\0", "provider": "a\0"}
    answer = alices.batch({**entry, "metadata": odd}, {"metadata": {"deep": [{"\0": 1}]}})
    fields = {fault["field"] for fault in answer.json()["errors"]}
    faults = {*entry, "metadata.imageStyle", "metadata.provider"}
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    assert fields == {*(f"requests[0].{name}" for name in faults), "requests[1].metadata"}
    assert_nothing_happened(alices)
    assert alices.submit(note="\0 is in none of our fields").status_code == 200


@pytest.mark.parametrize("absent", [{"metadata": None}, {"priority": None}, {"projectId": None, "pageId": None}])
def test_null_counts_as_absent(alices: Customer, absent: dict[str, Any]) -> None:
    assert alices.status(alices.submitted(**absent))["priority"] == "normal"


@pytest.mark.parametrize(("given", "said"), [(1, 1), (10, 10), (0, 3), (None, 3), (4.0, 4)])
def test_max_attempts(alices: Customer, given: Any, said: int) -> None:
    assert alices.status(alices.submitted(metadata={"maxAttempts": given}))["metadata"]["maxAttempts"] == said


@pytest.mark.parametrize("priority", ["low", "normal", "high", "urgent"])
def test_every_priority_is_echoed_and_weighs(alices: Customer, priority: str) -> None:
    request_id = alices.submitted(priority=priority)
    weights = {"urgent": 1000, "high": 100, "normal": 10, "low": 1}
    assert alices.status(request_id)["priority"] == priority
    assert item_of(request_id).weight == weights[priority]


@pytest.mark.parametrize(
    ("kind", "price"), [("cover", 3), ("character-reference", 5), ("coloring-page", 1), ("background", 1)]
)
def test_each_type_has_its_price(alices: Customer, kind: str, price: int) -> None:
    Price.objects.filter(operation_key=f"visual_{kind.replace('-', '_')}").update(credits_cost=price)
    answer = alices.submit(type=kind)
    assert answer.json()["creditsCharged"] == price
    assert alices.balance == 100 - price
    assert Entry.objects.get(kind="charge").operation_key == f"visual_{kind.replace('-', '_')}"


def test_the_first_authenticated_call_opens_an_account_with_the_welcome_credits(db: None, settings: Any) -> None:
    newcomer = Customer(User.objects.create(username="newcomer"))
    newcomer.submitted()
    assert newcomer.balance == settings.SIGNUP_GRANT_CREDITS - 1


# --- Providers by alias --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "echoed", "lane"),
    [
        ("openai", "provider_d", "provider_d"),
        ("OpenAI", "provider_d", "provider_d"),
        ("PROVIDER_G", "provider_g", "provider_g"),
        (" huggingface ", "provider_g", "provider_g"),
        ("none", "none", "provider_d"),
        ("None", "none", "provider_d"),
    ],
)
def test_a_provider_is_taken_by_name_or_alias_and_echoed_as_alias(
    alices: Customer, given: str, echoed: str, lane: str
) -> None:
    request_id = alices.submitted(metadata={"provider": given})
    assert alices.status(request_id)["metadata"]["provider"] == echoed
    assert item_of(request_id).lane == lane
    with connection.cursor() as cursor:
        cursor.execute("SELECT metadata ->> 'provider' FROM generation_requests")
        assert cursor.fetchone() == (echoed,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("google-imagen", "This provider is not configured here."),
        ("google-imagen2", "This provider is not configured here."),
        ("Google-Vertex", "This provider is not configured here."),
        ("openrouter", "This provider is not configured here."),
        ("provider_c", "This provider is not configured here."),  # makes no pictures
        ("midjourney", "No provider goes by this name."),
        (7, "Must be text."),
    ],
)
def test_a_provider_that_is_not_here_is_refused_by_name(alices: Customer, given: Any, message: str) -> None:
    assert faults_of(alices.submit(metadata={"provider": given})) == {"metadata.provider": message}
    assert_nothing_happened(alices)


def test_a_preferred_provider_without_a_key_is_not_configured(alices: Customer, settings: Any) -> None:
    settings.PROVIDERS_MODE, settings.PROVIDER_KEYS = "real", {"huggingface": "hf-secret"}
    answer = alices.submit(metadata={"provider": "openai"})
    assert faults_of(answer) == {"metadata.provider": "This provider is not configured here."}


@pytest.mark.parametrize("reason", ["no provider", "no price"])
def test_what_is_not_offered_is_refused_and_never_free(alices: Customer, settings: Any, reason: str) -> None:
    if reason == "no provider":
        settings.VISUAL_PROVIDER_ORDER = ["openrouter"]
    else:
        Price.objects.update(is_active=False)

    answer = alices.submit()

    assert (answer.status_code, answer.json()["code"]) == (503, "OPERATION_UNAVAILABLE")
    assert_nothing_happened(alices)


# --- Refused -------------------------------------------------------------------------------------

LENGTH = "Must be 10 to 1000 characters long."
TYPES = "Must be one of: coloring-page, cover, illustration, character-reference, background."
PRIORITIES = "Must be one of: low, normal, high, urgent."
RATIOS = "Must be one of: square, portrait, landscape, wide, 1:1, 3:4, 4:3, 9:16, 16:9."
ATTEMPTS = "Must be a whole number from 1 to 10."


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("type", "poster", TYPES),
        ("type", "COVER", TYPES),
        ("type", 3, TYPES),
        ("type", ["cover"], TYPES),
        ("type", {"is": "cover"}, TYPES),
        ("prompt", "too short", LENGTH),
        ("prompt", "  nine long  ", LENGTH),  # trimmed before it is counted
        ("prompt", "x" * 1001, LENGTH),
        ("prompt", 1234567890, "Must be text."),
        ("prompt", True, "Must be text."),
        ("prompt", ["a prompt in a list"], "Must be text."),
        ("priority", "asap", PRIORITIES),
        ("priority", "", PRIORITIES),
        ("priority", 1, PRIORITIES),
        ("projectId", "p" * 256, "Must be at most 255 characters long."),
        ("pageId", "p" * 256, "Must be at most 255 characters long."),
        ("projectId", 12, "Must be text."),
        ("metadata", "cartoon", "Must be an object."),
        ("metadata", [1], "Must be an object."),
        ("metadata", {"pad": "x" * 16400}, "Must be at most 16384 bytes as JSON."),
        ("metadata.imageStyle", "s" * 101, "Must be at most 100 characters long."),
        ("metadata.imageStyle", 5, "Must be text."),
        ("metadata.aspectRatio", "2:1", RATIOS),
        ("metadata.aspectRatio", 1, RATIOS),
        ("metadata.maxAttempts", 11, ATTEMPTS),
        ("metadata.maxAttempts", -1, ATTEMPTS),
        ("metadata.maxAttempts", 2.5, ATTEMPTS),
        ("metadata.maxAttempts", "3", ATTEMPTS),
        ("metadata.maxAttempts", True, ATTEMPTS),
        ("metadata.maxAttempts", False, ATTEMPTS),
        ("metadata.maxAttempts", 10**30, ATTEMPTS),
    ],
)
def test_a_faulty_field_is_named_with_its_rule(alices: Customer, field: str, value: Any, message: str) -> None:
    outer, _, inner = field.partition(".")
    answer = alices.submit(**{outer: {inner: value} if inner else value})

    assert faults_of(answer) == {field: message}
    assert answer.json()["error"] == "1 field is invalid."
    assert_nothing_happened(alices)


@pytest.mark.parametrize("prompt", ["x" * 10, "x" * 1000, "🐉" * 10, " " + "x" * 1000 + " "])
def test_a_prompt_of_ten_to_a_thousand_characters_is_taken(alices: Customer, prompt: str) -> None:
    assert alices.submit(prompt=prompt).status_code == 200


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"type", "prompt"}),
        ({"type": "cover"}, {"prompt"}),
        ({"prompt": "A friendly dragon"}, {"type"}),
        ({"type": "cover", "prompt": ""}, {"prompt"}),
        ({"type": "", "prompt": "A friendly dragon"}, {"type"}),
        ({"type": "cover", "prompt": None}, {"prompt"}),
        ({"type": None, "prompt": None, "priority": "asap"}, {"type", "prompt", "priority"}),  # all at once
    ],
)
def test_type_and_prompt_are_required(alices: Customer, body: dict[str, Any], fields: set[str]) -> None:
    answer = alices.submit(body)
    assert faults_of(answer).keys() == fields
    assert answer.json()["error"] == "Type and prompt are required"
    assert_nothing_happened(alices)


def test_no_body_at_all_is_a_body_without_fields(alices: Customer) -> None:
    answer = alices.call("POST", "submit")
    assert faults_of(answer).keys() == {"type", "prompt"}


def test_all_faults_are_listed_at_once(alices: Customer) -> None:
    answer = alices.submit(
        type="poster",
        prompt="short",
        priority="asap",
        projectId=1,
        pageId="p" * 256,
        metadata={"imageStyle": 1, "aspectRatio": "2:1", "maxAttempts": 11, "provider": "midjourney"},
    )
    assert faults_of(answer).keys() == {
        "type",
        "prompt",
        "priority",
        "projectId",
        "pageId",
        "metadata.imageStyle",
        "metadata.aspectRatio",
        "metadata.maxAttempts",
        "metadata.provider",
    }
    assert answer.json()["error"] == "9 fields are invalid."


@pytest.mark.parametrize("body", ["{", "[]", "null", '"text"', "type=cover", '{"type": NaN}', b"\xff{}"])
def test_what_is_not_a_json_object_is_malformed(alices: Customer, body: str | bytes) -> None:
    answer = alices.call("POST", "submit", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED_JSON")
    assert_nothing_happened(alices)


def test_a_body_over_a_mebibyte_is_too_large(alices: Customer) -> None:
    answer = alices.submit(metadata={"pad": "x" * 1024 * 1024})
    assert (answer.status_code, answer.json()["code"]) == (413, "INPUT_TOO_LARGE")
    assert_nothing_happened(alices)


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_form_is_not_taken(alices: Customer, content_type: str) -> None:
    answer = alices.call("POST", "submit", "type=cover&prompt=A+friendly+dragon", content_type=content_type)
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "submit"),
        ("PUT", "submit"),
        ("GET", "batch"),
        ("POST", "status/vga_1_x"),
        ("GET", "cancel/vga_1_x"),
        ("POST", "queue/status"),
    ],
)
def test_a_wrong_method_is_405(alices: Customer, method: str, path: str) -> None:
    answer = alices.call(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"]


# --- Credits, rate, idempotency ------------------------------------------------------------------


def test_without_enough_credits_nothing_is_stored(make_customer: Any) -> None:
    poor = Customer(make_customer("poor", 2))
    Price.objects.update(credits_cost=3)

    answer = poor.submit()

    assert answer.status_code == 402
    assert answer.json()["code"] == "INSUFFICIENT_CREDITS"
    assert (answer.json()["required"], answer.json()["available"]) == (3, 2)
    assert_nothing_happened(poor, balance=2)


def test_a_402_is_replayed_and_stores_only_its_answer(make_customer: Any) -> None:
    poor = Customer(make_customer("poor"))
    first, second = poor.submit(key="order-0001"), poor.submit(key="order-0001")
    assert (first.status_code, second.status_code) == (402, 402)
    assert first.content == second.content
    assert second.headers["Idempotency-Replayed"] == "true"
    assert_nothing_happened(poor, balance=0)


def test_the_rate_is_exact_and_shared_with_batches(alices: Customer, bobs: Customer, settings: Any) -> None:
    settings.VISUAL_RATE_LIMIT = 4
    answers = [alices.submit(), alices.batch({}), alices.submit(prompt="short"), alices.call("POST", "batch", "{")]
    refused = alices.submit()

    assert [answer.status_code for answer in answers] == [200, 200, 400, 400]  # whatever its answer
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["3", "2", "1", "0"]
    assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert refused.json()["error"] == "Too many requests"
    assert 1 <= int(refused.headers["Retry-After"]) <= settings.VISUAL_RATE_WINDOW_S
    assert refused.headers["X-RateLimit-Limit"] == "4"
    assert int(refused.headers["X-RateLimit-Reset"]) >= time.time() - 1
    assert Item.objects.count() == 2
    assert bobs.submit().status_code == 200  # per person


def test_reading_is_not_counted_but_tells_the_numbers(alices: Customer, settings: Any) -> None:
    settings.VISUAL_RATE_LIMIT = 2
    request_id = alices.submitted()
    for _ in range(3):
        answer = alices.call("GET", f"status/{request_id}")
        assert answer.status_code == 200
        assert answer.headers["X-RateLimit-Remaining"] == "1"
    assert alices.cancel(request_id).headers["X-RateLimit-Remaining"] == "1"


def test_a_repeat_with_the_same_key_is_answered_again_and_charged_once(alices: Customer) -> None:
    first, second = alices.submit(key="order-0001"), alices.submit(key="order-0001")
    assert first.content == second.content  # to the byte
    assert second.headers["Idempotency-Replayed"] == "true"
    assert alices.balance == 99
    assert Item.objects.count() == 1


def test_the_same_key_for_another_body_is_refused(alices: Customer) -> None:
    alices.submit(key="order-0001")
    answer = alices.submit(key="order-0001", type="cover")
    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert alices.balance == 99


def test_a_malformed_key_is_refused(alices: Customer) -> None:
    answer = alices.submit(key="short")
    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert_nothing_happened(alices)


def test_a_refused_body_leaves_the_key_free(alices: Customer) -> None:
    assert alices.submit(key="order-0001", prompt="short").status_code == 400
    assert not Idempotency.objects.exists()
    assert alices.submit(key="order-0001").status_code == 200


# --- What it costs -------------------------------------------------------------------------------


def test_a_submit_costs_few_queries(alices: Customer) -> None:
    alices.submit()
    with CaptureQueriesContext(connection) as queries:
        alices.submit(key="order-0001")
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) <= 9, "\n".join(statements)


def test_the_fields_are_built_once(alices: Customer) -> None:
    """Checking a body of 100 entries stays far below what storing them costs."""
    from generation.doors.visuals import serializers

    body = {"requests": [json.loads(SEEDS_EXAMPLE)] * 100}
    serializers.read_batch(body)
    began = time.process_time()
    serializers.read_batch(body)
    assert time.process_time() - began < 0.1


def test_the_routes_have_no_trailing_slash(alices: Customer) -> None:
    answer = alices.http.post(f"{API}/submit/", DRAGON, content_type="application/json")
    assert answer.status_code == 404
