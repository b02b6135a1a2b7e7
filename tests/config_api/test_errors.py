"""Every refusal has one shape, its own code, and no word too many."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from rest_framework.test import APIClient

from config.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config_api.routes")]


@pytest.fixture
def alices(client: APIClient, alice: User) -> APIClient:
    client.force_authenticate(alice)
    return client


def problem(answer: Any) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert body["detail"] == body["error"] == body["message"]
    assert body["trace_id"] == answer.headers["X-Request-ID"]
    return body


@pytest.mark.parametrize(
    ("fault", "status", "code", "text"),
    [
        ("bug", 500, "INTERNAL_ERROR", "Internal server error"),
        ("database", 503, "SERVICE_UNAVAILABLE", "The service is unavailable for a moment."),
        ("redis", 503, "SERVICE_UNAVAILABLE", "The service is unavailable for a moment."),
        ("http404", 404, "NOT_FOUND", "Not found."),  # Django's own text names a model
        ("not-found", 404, "NOT_FOUND", "Request not found"),
        ("forbidden", 403, "PERMISSION_DENIED", "You may not do this."),
        ("own", 409, "BUSY", "Busy."),
        ("credits", 402, "INSUFFICIENT_CREDITS", "Not enough credits: this request needs 12, the account has 3."),
    ],
)
def test_an_exception_is_told_by_its_code(client: APIClient, fault: str, status: int, code: str, text: str) -> None:
    answer = client.get(f"/api/fault/{fault}")

    body = problem(answer)
    assert (answer.status_code, body["code"], body["error"]) == (status, code, text)
    assert body["instance"] == f"/api/fault/{fault}"
    assert ("Retry-After" in answer.headers) == (status in (409, 503))


def test_a_refusal_may_carry_keys_of_its_own(client: APIClient) -> None:
    assert client.get("/api/fault/own").json()["extra_key"] == 7
    body = client.get("/api/fault/credits").json()
    assert (body["title"], body["required"], body["available"]) == ("Payment Required", 12, 3)


def test_a_bug_is_logged_once(client: APIClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        client.get("/api/fault/bug")
    assert [record.message for record in caplog.records] == ["unexpected error"]
    assert caplog.records[0].exc_info is not None


def test_all_field_faults_are_listed_at_once(alices: APIClient) -> None:
    answer = alices.post(
        "/api/order",
        {"kind": "nothing", "requests": [{"prompt": "fine"}, {"prompt": "x", "metadata": {"tries": "many"}}, {}]},
        format="json",
    )

    body = problem(answer)
    assert (answer.status_code, body["code"], body["error"]) == (400, "VALIDATION_ERROR", "4 fields are invalid.")
    assert [(fault["field"], fault["code"]) for fault in body["errors"]] == [
        ("kind", "INVALID_CHOICE"),
        ("requests[1].prompt", "MIN_LENGTH"),
        ("requests[1].metadata.tries", "INVALID"),
        ("requests[2].prompt", "REQUIRED"),
    ]
    for fault in body["errors"]:
        assert fault["path"] == fault["field"]
        assert fault["msg"] == fault["message"] != ""


def test_a_view_may_choose_the_text_and_the_status(alices: APIClient) -> None:
    assert problem(alices.post("/api/order", {}, format="json"))["error"] == "Kind is required"
    answer = alices.post("/api/strict", {"kind": "cover", "requests": "no list"}, format="json")
    assert answer.status_code == 422
    assert problem(answer)["error"] == "1 field is invalid."


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ('{"kind": "cover"}', "application/json", 200, None),
        ('{"kind": "cover"}', "text/plain", 200, None),
        ('{"kind": "cover"}', "application/x-www-form-urlencoded", 200, None),  # curl without a header
        ('{"kind": "cover"}', "", 200, None),
        ('\ufeff{"kind": "cover"}', "application/json", 200, None),  # the mark that some editors put first
        ("kind=cover", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("<kind>cover</kind>", "application/xml", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("cover", "text/plain; charset=utf-8", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ('{"kind": ', "text/plain", 400, "MALFORMED_JSON"),
        ('--b\r\n\r\n{"kind": 1}\r\n--b--', "multipart/form-data; boundary=b", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ('{"kind": ', "application/json", 400, "MALFORMED_JSON"),
        ('["cover"]', "application/json", 400, "MALFORMED_JSON"),
        ('"cover"', "application/json", 400, "MALFORMED_JSON"),
        ("null", "application/json", 400, "MALFORMED_JSON"),
        ('{"kind": NaN}', "application/json", 400, "MALFORMED_JSON"),
        ('{"kind": 1e999}', "application/json", 400, "MALFORMED_JSON"),  # infinity by another name
        ('{"kind": ' + "9" * 5000 + "}", "application/json", 400, "MALFORMED_JSON"),
        ('{"kind": "\\u0000"}', "application/json", 400, "MALFORMED_JSON"),  # PostgreSQL holds no NUL
        ('{"kind": "\\ud800"}', "application/json", 400, "MALFORMED_JSON"),  # half of a pair
        (b'{"kind": "\xff"}', "application/json", 400, "MALFORMED_JSON"),
        ('{"a":' * 33 + "1" + "}" * 33, "application/json", 400, "MALFORMED_JSON"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "application/json", 400, "MALFORMED_JSON"),
        ('{"kind": "cover", "a": ' + "[" * 31 + "]" * 31 + "}", "application/json", 200, None),
        ('{"kind": "cover", "a": "\\\\u0000"}', "application/json", 200, None),  # a backslash, then text
        ('{"kind": "cover", "a": "\\ud83d\\ude00"}', "application/json", 200, None),  # a whole pair
        ('{"kind": "' + "x" * 1024 * 1024 + '"}', "application/json", 413, "INPUT_TOO_LARGE"),
    ],
)
def test_a_body_must_be_a_json_object(
    alices: APIClient, body: str | bytes, content_type: str, status: int, code: str | None
) -> None:
    answer = alices.generic("POST", "/api/order", body, content_type=content_type)
    assert answer.status_code == status, answer.content
    if code:
        assert problem(answer)["code"] == code


def test_a_wrong_method_is_405_and_names_the_right_ones(alices: APIClient) -> None:
    answer = alices.put("/api/order", {}, format="json")
    assert problem(answer)["code"] == "METHOD_NOT_ALLOWED"
    assert "POST" in answer.headers["Allow"]


@pytest.mark.urls("config.urls")
def test_an_unknown_path_is_json_for_programs_and_a_page_for_browsers(client: APIClient) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert problem(client.get("/api/nothing/here", HTTP_ACCEPT=browser))["code"] == "NOT_FOUND"
    assert client.get("/nothing", HTTP_ACCEPT=browser).headers["Content-Type"].startswith("text/html")
    for accept in ("application/json", "*/*"):  # the second is what most programs send
        assert problem(client.get("/nothing", HTTP_ACCEPT=accept))["status"] == 404
        assert problem(client.post("/generate", HTTP_ACCEPT=accept))["status"] == 404
    # Scripts of our own pages send that too, and show what comes.
    assert client.get("/app/nothing", HTTP_ACCEPT="*/*").headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("accept", ["application/problem+json", "text/html", "image/png", ""])
def test_what_is_json_only_is_answered_as_json_whatever_a_caller_accepts(alices: APIClient, accept: str) -> None:
    answer = alices.get("/api/who?format=xml", HTTP_ACCEPT=accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert problem(alices.post("/api/order", {}, format="json", HTTP_ACCEPT=accept))["code"] == "VALIDATION_ERROR"


@pytest.mark.urls("config.urls")
@pytest.mark.parametrize(
    ("accept", "given"), [("application/json", "application/json"), ("image/png", "application/vnd.oai.openapi")]
)
def test_a_caller_chooses_among_several_forms(client: APIClient, accept: str, given: str) -> None:
    answer = client.get("/api/schema", HTTP_ACCEPT=accept)
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, given)


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("limit=0&offset=-1", ["limit", "offset"]),
        ("limit=201", ["limit"]),
        ("limit=x", ["limit"]),
        ("offset=1e3", ["offset"]),
    ],
)
def test_a_page_beyond_the_bounds_is_refused(alices: APIClient, query: str, faults: list[str]) -> None:
    answer = alices.get(f"/api/strict?{query}")
    assert [fault["field"] for fault in problem(answer)["errors"]] == faults


def test_a_page_has_defaults(alices: APIClient) -> None:
    assert alices.get("/api/strict").json() == {"limit": 50, "offset": 0}
    assert alices.get("/api/strict?limit=200&offset=7").json() == {"limit": 200, "offset": 7}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"HTTP_X_REQUEST_ID": "order-4711.a_b"}, "order-4711.a_b"),
        ({"HTTP_TRACEPARENT": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}, "ab" * 16),
        ({"HTTP_TRACEPARENT": "00-" + "0" * 32 + "-" + "cd" * 8 + "-01"}, None),
        ({"HTTP_X_REQUEST_ID": "a\tb\tc\td\te"}, None),  # would forge log fields
        ({"HTTP_X_REQUEST_ID": "x" * 200}, None),
        ({}, None),
    ],
)
def test_the_callers_trace_is_taken_when_it_is_sane(
    client: APIClient, headers: dict[str, str], expected: str | None
) -> None:
    trace = client.get("/api/fault/own", **headers).headers["X-Request-ID"]  # type: ignore[arg-type]
    assert trace == expected if expected else len(trace) == 32


def test_the_log_line_of_a_call_holds_no_query(client: APIClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/api/fault/own?token=eyJhbGciOi")
    assert any(record.message == "GET /api/fault/own 409" for record in caplog.records)
    assert "eyJ" not in json.dumps([record.__dict__ for record in caplog.records], default=str)
