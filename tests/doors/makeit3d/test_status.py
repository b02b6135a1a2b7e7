"""Polling: each state in the contract's words, one question to the database, and nothing of anybody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generation.doors.makeit3d import present
from generation.models import HoldReason, Item, ItemStatus, Request
from tests.doors.makeit3d.desk import Customer, items_of, refusal_of
from tests.doors.visuals.desk import assert_no_vendor

NOON = datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=UTC)
REQUEST_ID = UUID("6f1c2a52-3d5b-4f0e-9a41-0f6d1f3f9a10")
BASE = "https://atelier.example/"
S = ItemStatus


def made(index: int = 0) -> dict[str, Any]:
    return {"generate": {"key": f"images/t1/{REQUEST_ID}_{index}.png"}, "thumbnail": {"key": "images/x-thumbnail.webp"}}


def make_item(status: ItemStatus, *, provider: str = "provider_a", table: str = "images", **fields: Any) -> Item:
    """An item as it stands in the given state, without a database."""
    params = {
        "table": table,
        "operation": "text-to-image",
        "task_id": "t1",
        "provider": provider,
        "style": None,
        "parameters": {"seed": 7},
        "given": ["seed"],
        "ignored": [],
        "source_input_asset_id": None,
        "source_image_id": None,
    }
    values: dict[str, Any] = {
        "public_id": str(uuid4()),
        "request_id": REQUEST_ID,
        "owner_id": REQUEST_ID,
        "params": params,
        "prompt": "A wooden chair",
        "price_key": "text_to_image_core",
        "created_at": NOON,
        "charged": 2,
    }
    return Item(status=status, **{**values, **fields})


def status_of(*items: Item, polled: str = "p") -> dict[str, Any]:
    return present.status(polled, [present.Shown.of(item) for item in items], BASE)


begun = {"first_started_at": NOON}
DONE = make_item(S.SUCCEEDED, results=made(), progress=100, **begun)
FAILURE = make_item(S.FAILED, error_code="TIMEOUT", refunded=2, **begun)


@pytest.mark.parametrize(
    ("item", "word", "progress"),
    [
        (make_item(S.QUEUED), "pending", 0),
        (make_item(S.HELD, hold_reason=HoldReason.STAFF), "pending", 0),
        (make_item(S.RUNNING, **begun), "processing", 50),
        (make_item(S.WAITING, progress=40, **begun), "processing", 50),
        (make_item(S.HELD, hold_reason=HoldReason.RETRY, **begun), "processing", 50),
        (make_item(S.QUEUED, step=1, progress=99, **begun), "processing", 50),
        (make_item(S.WAITING, provider="provider_c", progress=40, **begun), "processing", 40),
        (make_item(S.RUNNING, provider="provider_c", progress=100, **begun), "processing", 99),
        (make_item(S.QUEUED, provider="provider_c"), "pending", 0),
        (DONE, "complete", 100),
        (FAILURE, "failed", 0),
        (make_item(S.CANCELLED, refunded=2), "failed", 0),
    ],
)
def test_each_state_has_its_word_and_progress(item: Item, word: str, progress: int) -> None:
    document = status_of(item, polled="polled")
    assert (document["status"], document["progress"], document["task_id"]) == (word, progress, "polled")
    assert present.present_item(item, BASE)["status"] == word
    assert (document["asset_url"] is not None) is (word == "complete")
    assert (document["error"] is not None) is (word == "failed")
    assert_no_vendor(str(document))


def test_a_complete_request_has_its_links() -> None:
    document = status_of(DONE)
    assert document["asset_url"].startswith(f"{BASE}files/images/t1/{REQUEST_ID}_0.png?expires=")
    assert document["asset_urls"] == [document["asset_url"]]
    assert document.keys() == {
        *("task_id", "status", "asset_url", "error", "progress", "asset_urls"),
        *("client_task_id", "credits_charged", "credits_refunded"),
    }


def test_a_downscale_repeats_its_url() -> None:
    params = {**DONE.params, "operation": "downscale"}
    item = make_item(S.SUCCEEDED, params=params, results={"downscale": {"key": "images/t1/x_0.jpg"}}, **begun)
    document = status_of(item)
    assert document["image_url"] == document["asset_url"] is not None


@pytest.mark.parametrize(
    ("items", "word", "progress", "links"),
    [
        ([make_item(S.QUEUED), make_item(S.QUEUED)], "pending", 0, 0),
        ([make_item(S.RUNNING, **begun), make_item(S.QUEUED)], "processing", 50, 0),
        ([DONE, make_item(S.QUEUED)], "processing", 50, 1),
        ([FAILURE, make_item(S.QUEUED)], "processing", 50, 0),
        ([DONE, FAILURE], "complete", 100, 1),
        ([FAILURE, DONE], "complete", 100, 1),
        ([DONE, DONE], "complete", 100, 2),
        ([FAILURE, FAILURE], "failed", 0, 0),
    ],
)
def test_several_results_are_complete_when_all_have_ended_and_one_is_there(
    items: list[Item], word: str, progress: int, links: int
) -> None:
    document = status_of(*items)
    assert (document["status"], document["progress"], len(document["asset_urls"])) == (word, progress, links)
    assert (document["asset_url"] is not None) is (word == "complete")
    assert document["credits_charged"] == 4
    assert document["credits_refunded"] == sum(item.refunded for item in items)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("TIMEOUT", "The generation service timed out."),
        ("CONTENT_REJECTED", "The request was rejected by the content filter."),
        ("INVALID_INPUT", "The input could not be processed."),
        ("SERVICE_UNAVAILABLE", "The generation service failed."),
        ("PROVIDER_CREDIT", "The generation service failed."),
        ("", "The generation service failed."),
    ],
)
def test_why_it_failed_is_one_of_a_few_texts(code: str, text: str) -> None:
    item = make_item(S.FAILED, error_code=code, error_message="stability.ai said: no")
    assert status_of(item)["error"] == present.present_item(item, BASE)["error"] == text


def test_a_row_is_the_contracts() -> None:
    item = make_item(S.SUCCEEDED, results=made(), started_at=NOON, finished_at=NOON + timedelta(seconds=9), **begun)
    row = present.present_item(item, BASE)
    link, thumbnail = row.pop("asset_url"), row.pop("thumbnail_url")
    assert link.startswith(f"{BASE}files/images/t1/{REQUEST_ID}_0.png?expires=")
    assert thumbnail.startswith(f"{BASE}files/images/x-thumbnail.webp?expires=")
    assert row == {
        "id": item.public_id,
        "task_id": "t1",
        "celery_task_id": str(REQUEST_ID),
        "user_id": str(REQUEST_ID),
        "prompt": "A wooden chair",
        "style": None,
        "status": "complete",
        "image_type": "ai_generated",
        "source_input_asset_id": None,
        "source_image_id": None,
        "is_public": False,
        "provider": "provider_a",
        "operation_key": "text_to_image_core",
        "metadata": {"seed": 7, "operation": "text-to-image", "ignored": []},
        "error": None,
        "created_at": "2026-01-15T12:00:00.123Z",
        "updated_at": "2026-01-15T12:00:09.123Z",
    }


def test_what_the_vendors_model_did_not_know_is_told_when_the_client_named_it() -> None:
    results = {"generate": {**made()["generate"], "ignored": ["seed", "prompt_upsampling"]}}
    item = make_item(S.SUCCEEDED, results=results, **begun)
    assert present.present_item(item, BASE)["metadata"]["ignored"] == ["seed"]


# --- Over HTTP -----------------------------------------------------------------------------------

SERVICES = [
    "openai",
    "tripoai",
    "tripo",
    "stability",
    "recraft",
    "flux",
    "replicate",
    "provider_a",
    "Provider_F",
    "internal",
]


@pytest.mark.django_db
@pytest.mark.parametrize("service", SERVICES)
def test_any_known_service_works_for_any_task(alices: Customer, service: str) -> None:
    request_id = alices.asked("text-to-image", provider="stability")
    assert alices.status(request_id, f"?service={service}")["status"] == "pending"


@pytest.mark.django_db
@pytest.mark.parametrize("service", ["midjourney", "provider_z", "openai,stability", "%00"])
def test_an_unknown_service_is_400(alices: Customer, service: str) -> None:
    request_id = alices.asked("text-to-image", provider="stability")
    answer = alices.call("GET", f"/tasks/{request_id}/status?service={service}")
    assert refusal_of(answer) == (400, "INVALID_SERVICE")


@pytest.mark.django_db
def test_a_group_is_polled_by_its_newest_request(alices: Customer, bobs: Customer) -> None:
    first = alices.asked("text-to-image", provider="openai", task_id="t1")
    second = alices.asked("text-to-image", provider="openai", task_id="t1", n=2)
    bobs.asked("text-to-image", provider="openai", task_id="t1", n=3)
    Request.objects.filter(pk=first).update(created_at=timezone.now() - timedelta(hours=1))
    assert alices.status("t1")["credits_charged"] == 4
    assert alices.status("t1")["task_id"] == "t1"
    assert alices.status(first)["credits_charged"] == 2
    assert alices.status(second)["task_id"] == second
    assert bobs.status("t1")["credits_charged"] == 6


@pytest.mark.django_db
def test_a_requests_own_id_wins_over_a_task_of_that_name(alices: Customer) -> None:
    first = alices.asked("text-to-image", provider="openai", n=2)
    alices.asked("text-to-image", provider="openai", task_id=first)
    assert alices.status(first)["credits_charged"] == 4
    assert alices.status(first.upper())["credits_charged"] == 4


@pytest.mark.django_db
def test_a_poll_asks_the_database_once_beside_the_token(alices: Customer) -> None:
    request_id = alices.asked("text-to-image", provider="openai", n=10)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        alices.status(request_id)
    assert len([one for one in asked.captured_queries if "config_user" not in one["sql"]]) == 1
    assert len(asked) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
def test_a_poll_reads_one_request_however_many_its_owner_has(alices: Customer, plan: str) -> None:
    request_id = alices.asked("text-to-image", provider="openai")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO generation_request SELECT made.* FROM generation_request r, generate_series(1, 1000) AS n,"
            " jsonb_populate_record(r, jsonb_build_object('id', md5(n::text))) AS made WHERE r.id = %s",
            [request_id],
        )
        cursor.execute("ANALYZE generation_request")
        cursor.execute(f"SET LOCAL plan_cache_mode = {plan}")
        before = requests_read()
        alices.status(request_id)
        assert requests_read() - before == 1


def requests_read() -> int:
    """How many rows of requests this transaction has looked at."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'generation_request'"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
@pytest.mark.parametrize("odd", ["a%00b", "%F0%9F%A6%8A", "x" * 201, "..", "a%2Fb", "6f1c2a52", str(REQUEST_ID)])
def test_an_id_that_is_none_of_ones_own_is_missing(alices: Customer, odd: str) -> None:
    answer = alices.call("GET", f"/tasks/{odd}/status")
    assert answer.status_code == 404
    assert answer.json()["code"] in ("TASK_NOT_FOUND", "NOT_FOUND")


@pytest.mark.django_db
def test_another_doors_request_is_none_of_this_doors(alices: Customer) -> None:
    request_id = alices.asked("text-to-image", provider="openai", task_id="t1")
    Request.objects.update(door="visuals")
    assert len(items_of(request_id)) == 1
    for name in (request_id, "t1"):
        assert refusal_of(alices.call("GET", f"/tasks/{name}/status")) == (404, "TASK_NOT_FOUND")
