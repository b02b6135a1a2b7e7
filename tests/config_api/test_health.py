"""What machines ask, and what the front of the house answers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from redis.exceptions import ConnectionError
from rest_framework.test import APIClient

from config import health
from config.models import User
from generation import queue
from generation.queue import WorkerInfo

pytestmark = pytest.mark.django_db


@pytest.fixture
def all_is_well(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    beat = datetime.now(UTC) - timedelta(seconds=20)
    monkeypatch.setattr(queue, "workers", lambda: [WorkerInfo("w1", 16, 3, beat), WorkerInfo("new", 16, 0, None)])
    settings.MEDIA_ROOT = tmp_path


def test_alive_needs_nothing(client: APIClient, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


def test_alive_whatever_name_a_platform_asks_by(client: APIClient, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["desk.example.com"]
    for name in ("healthcheck.railway.app", "10.1.2.3:8000"):
        assert client.get("/health", headers={"Host": name}).status_code == 200
        assert client.get("/health/ready", headers={"Host": name}).status_code != 200


@pytest.mark.usefixtures("all_is_well")
def test_ready_when_every_service_answers(client: APIClient) -> None:
    answer = client.get("/health/ready")
    assert answer.json() == {
        "status": "ready",
        "checks": {name: {"ok": True} for name in ("database", "redis", "storage", "workers")},
    }
    assert answer.status_code == 200


def raising(error: Exception) -> Any:
    def check() -> str:
        raise error

    return check


@pytest.mark.usefixtures("all_is_well")
@pytest.mark.parametrize(
    ("service", "check", "text"),
    [
        ("database", raising(OperationalError("connection to 10.0.0.1 failed for user atelier")), "does not answer"),
        ("redis", raising(ConnectionError("redis://:password@10.0.0.1")), "does not answer"),
        ("storage", lambda: "is not writable", "is not writable"),
        ("workers", raising(RuntimeError("anything")), "does not answer"),
    ],
)
def test_not_ready_names_the_service_and_nothing_else(
    client: APIClient, monkeypatch: pytest.MonkeyPatch, service: str, check: Any, text: str
) -> None:
    monkeypatch.setitem(health.CHECKS, service, check)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert [name for name, found in answer.json()["checks"].items() if not found["ok"]] == [service]
    assert answer.json()["checks"][service] == {"ok": False, "error": text}


@pytest.mark.usefixtures("all_is_well")
def test_a_service_that_hangs_costs_two_seconds_at_most(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(health, "CHECK_S", 0.2)
    monkeypatch.setitem(health.CHECKS, "storage", lambda: str(let_go.wait(10)))
    answer = client.get("/health/ready")
    let_go.set()
    assert answer.json()["checks"]["storage"] == {"ok": False, "error": "does not answer in time"}
    assert answer.json()["checks"]["database"] == {"ok": True}


@pytest.mark.usefixtures("all_is_well")
def test_workers_that_went_silent_are_no_workers(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    old = datetime.now(UTC) - timedelta(seconds=health.WORKER_SILENT_S + 1)
    monkeypatch.setattr(queue, "workers", lambda: [WorkerInfo("w1", 16, 3, old)])
    assert client.get("/health/ready").json()["checks"]["workers"]["ok"] is False


@pytest.mark.usefixtures("all_is_well")
def test_a_folder_that_does_not_exist_yet_is_ready_when_it_can_be_made(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "not" / "yet"
    assert health.check_storage() == ""


# --- Metrics -------------------------------------------------------------------------------------


def test_metrics_are_for_staff_and_the_scraper(client: APIClient, settings: Any, alice: User) -> None:
    settings.METRICS_TOKEN = "scrape-me-please"

    def status(**headers: str) -> int:
        return int(client.get("/metrics", **headers).status_code)  # type: ignore[arg-type]

    assert status() == 401
    assert client.get("/metrics").json()["code"] == "NOT_AUTHENTICATED"
    assert client.get("/metrics").headers["WWW-Authenticate"] == "Bearer"
    for header in ("Bearer wrong", "Bearer", "scrape-me-please", "Basic scrape-me-please"):
        assert status(HTTP_AUTHORIZATION=header) == 401
    assert status(HTTP_AUTHORIZATION="Bearer scrape-me-please") == 200
    client.force_login(alice)
    assert status() == 401
    User.objects.update(is_staff=True)
    assert status() == 200


def test_no_token_is_no_open_door(client: APIClient, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer ").status_code == 401


def test_metrics_tell_the_desk_and_the_calls(client: APIClient, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.METRICS_TOKEN = "scrape-me-please"
    monkeypatch.setattr(queue, "workers", lambda: [WorkerInfo("w1", 16, 3, datetime.now(UTC))])
    client.get("/health")
    client.get("/no/such/path")

    answer = client.get("/metrics", HTTP_AUTHORIZATION="Bearer scrape-me-please")

    text = answer.content.decode()
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'atelier_items_open{status="QUEUED"} 0.0' in text
    assert 'atelier_worker_threads{worker="w1"} 16.0' in text
    assert 'atelier_worker_busy{worker="w1"} 3.0' in text
    assert "# TYPE atelier_lane_in_flight gauge" in text
    assert 'atelier_http_request_seconds_count{method="GET",route="health",status="2xx"}' in text
    assert 'route="unmatched"' in text
    assert "no/such/path" not in text


def test_metrics_without_redis_say_nothing_of_workers(
    client: APIClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.METRICS_TOKEN = "scrape-me-please"
    monkeypatch.setattr(queue, "workers", raising(ConnectionError("away")))
    answer = client.get("/metrics", HTTP_AUTHORIZATION="Bearer scrape-me-please")
    assert answer.status_code == 200
    assert "atelier_worker_threads" not in answer.content.decode()


# --- The front -----------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "application/json, text/html;q=0.5"])
def test_programs_get_a_word_about_the_api(client: APIClient, accept: str) -> None:
    answer = client.get("/", HTTP_ACCEPT=accept)
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "version", "endpoints"}
    assert "Accept" in answer.headers["Vary"]


def test_browsers_are_sent_to_their_pages(client: APIClient) -> None:
    answer = client.get("/", HTTP_ACCEPT="text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/app/")


@pytest.mark.parametrize("path", ["/", "/health", "/health/ready", "/metrics", "/files/images/any.png"])
def test_only_reading_is_possible(path: str) -> None:
    """Said to programs that hold no form's token, and not only by Accept."""
    answer = APIClient(enforce_csrf_checks=True).post(path, HTTP_ACCEPT="*/*")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, HEAD"


# --- CORS, documents, the database away ----------------------------------------------------------


def test_a_named_origin_may_read_the_headers_that_matter(client: APIClient, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://studio.example"]
    answer = client.get("/api/credits/balance", HTTP_ORIGIN="https://studio.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://studio.example"
    assert set(answer.headers["Access-Control-Expose-Headers"].split(", ")) >= {
        "Retry-After",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "X-Total-Count",
        "Location",
        "Idempotency-Replayed",
    }
    preflight = client.options(
        "/api/credits/balance",
        HTTP_ORIGIN="https://studio.example",
        HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST",
        HTTP_ACCESS_CONTROL_REQUEST_HEADERS="authorization, idempotency-key, content-type, x-api-key",
    )
    allowed = preflight.headers["Access-Control-Allow-Headers"]
    assert all(name in allowed for name in ("authorization", "idempotency-key", "content-type", "x-api-key"))


def test_no_other_origin_may(client: APIClient, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://studio.example"]
    answer = client.get("/api/credits/balance", HTTP_ORIGIN="https://evil.example")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_documents_are_public_and_complete(client: APIClient) -> None:
    client.credentials(HTTP_AUTHORIZATION="Bearer stale")
    schema = client.get("/api/schema", HTTP_ACCEPT="application/json").json()
    assert schema["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "code" in schema["components"]["schemas"]["Problem"]["properties"]
    token = schema["paths"]["/api/auth/token"]["post"]
    assert token["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    assert token.get("security", [{}]) in ([], [{}])
    assert schema["paths"]["/api/credits/balance"]["get"]["security"] == [{"bearer": []}]
    calls = [call for path in schema["paths"].values() for call in path.values() if "tags" in call]
    assert not [call for call in calls if "*/*" in call.get("requestBody", {}).get("content", {})]  # no client knows it
    assert {tag for call in calls for tag in call["tags"]} == {tag["name"] for tag in schema["tags"]}


def test_the_docs_page_needs_nothing_inline_and_nothing_from_elsewhere(client: APIClient) -> None:
    answer = client.get("/api/docs")
    page = answer.content.decode()
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "<style" not in page
    assert "http://" not in page
    assert "https://" not in page
    script = client.get("/api/docs?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert "/api/schema" in script.content.decode()


@pytest.mark.parametrize(
    ("path", "accept", "content_type"),
    [("/metrics", "*/*", "application/problem+json"), ("/admin/", "text/html", "text/html; charset=utf-8")],
)
def test_a_database_that_is_away_is_503_on_pages_too(
    client: APIClient, alice: User, monkeypatch: pytest.MonkeyPatch, path: str, accept: str, content_type: str
) -> None:
    client.force_login(alice)
    client.raise_request_exception = False
    monkeypatch.setattr(connection, "cursor", raising(OperationalError("10.0.0.1 refused")))
    answer = client.get(path, HTTP_ACCEPT=accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, content_type)
    assert answer.headers["Retry-After"] == "5"
    assert b"10.0.0.1" not in answer.content
