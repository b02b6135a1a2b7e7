"""The source system's two tables as views: its operators' queries run, and nobody writes to them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from generation.models import Item, ItemStatus
from tests.doors.visuals.desk import Customer, item_of, rows

pytestmark = pytest.mark.django_db

# The guide's "Monitoring Queries", in PostgreSQL's spelling of dates.
BACKLOG = """
SELECT
  priority,
  COUNT(*) as count,
  MIN(queued_at) as oldest_request
FROM generation_queue gq
JOIN generation_requests gr ON gq.request_id = gr.id
GROUP BY priority;
"""
PERFORMANCE = """
SELECT
  DATE(created_at) as date,
  COUNT(*) as total_requests,
  AVG(EXTRACT(EPOCH FROM completed_at - started_at)) as avg_processing_time,
  COUNT(CASE WHEN status = 'failed' THEN 1 END) as failed_count
FROM generation_requests
WHERE created_at >= NOW() - INTERVAL '7 days'
GROUP BY DATE(created_at);
"""
# And the statements of its metrics class and its queue processor.
METRICS = """
SELECT COUNT(*) as total,
  COUNT(CASE WHEN status = 'completed' THEN 1 END) as completed,
  COUNT(CASE WHEN status = 'failed' THEN 1 END) as failed,
  COUNT(CASE WHEN status = 'in-progress' THEN 1 END) as active,
  AVG(CASE WHEN completed_at IS NOT NULL THEN EXTRACT(EPOCH FROM completed_at - started_at) END) as avg_time
FROM generation_requests WHERE created_at >= NOW() - INTERVAL '24 hours'
"""
NEXT = """
SELECT generation_requests.id FROM generation_requests
JOIN generation_queue ON generation_requests.id = generation_queue.request_id
WHERE generation_requests.status = 'queued'
ORDER BY generation_queue.priority_weight DESC, generation_queue.queued_at ASC LIMIT 5
"""


def test_the_backlog_query_runs(alices: Customer) -> None:
    for priority in ("high", "normal", "normal"):
        alices.submitted(priority=priority)
    Item.objects.filter(public_id=alices.submitted()).update(status=ItemStatus.RUNNING)
    found = {row["priority"]: row["count"] for row in rows(BACKLOG)}
    assert found == {"high": 1, "normal": 2}


def test_the_performance_queries_run(alices: Customer) -> None:
    for fields in (
        {"status": ItemStatus.SUCCEEDED, "results": {"generate": {"starts": 1}}},
        {"status": ItemStatus.FAILED, "kept": 1},
        {"status": ItemStatus.WAITING},
    ):
        Item.objects.filter(public_id=alices.submitted()).update(**fields)
    now = timezone.now()
    ended = Item.objects.filter(status__in=[ItemStatus.SUCCEEDED, ItemStatus.FAILED])
    ended.update(started_at=now - timezone.timedelta(seconds=4), finished_at=now)

    (day,) = rows(PERFORMANCE)
    assert (day["total_requests"], day["avg_processing_time"], day["failed_count"]) == (3, 4, 1)
    (metrics,) = rows(METRICS)
    assert metrics == {"total": 3, "completed": 1, "failed": 1, "active": 1, "avg_time": 4}


def test_the_queue_is_read_in_the_order_of_weight(alices: Customer) -> None:
    low, normal, urgent = (alices.submitted(priority=word) for word in ("low", "normal", "urgent"))
    assert [row["id"] for row in rows(NEXT)] == [urgent, normal, low]


def test_a_request_has_the_guides_columns(alices: Customer) -> None:
    metadata = {"imageStyle": "cartoon", "provider": "openai"}
    request_id = alices.submitted(projectId="proj_1", pageId="page_1", metadata=metadata)
    (row,) = rows("SELECT * FROM generation_requests")
    item = item_of(request_id)
    assert row == {
        "id": request_id,
        "type": "coloring-page",
        "prompt": "A friendly dragon playing in a garden",
        "priority": "normal",
        "status": "queued",
        "project_id": "proj_1",
        "page_id": "page_1",
        "metadata": '{"provider": "provider_d", "imageStyle": "cartoon"}',
        "result": None,
        "error": None,
        "created_at": item.created_at,
        "started_at": None,
        "completed_at": None,
        "attempts": 0,
        "max_attempts": 3,
    }
    (queued,) = rows("SELECT * FROM generation_queue")
    assert queued == {
        "id": item.pk,
        "request_id": request_id,
        "priority_weight": 10,
        "queued_at": item.queued_at,
    }


def test_a_retry_that_waits_is_queued_from_when_it_is_due(alices: Customer) -> None:
    item = item_of(alices.submitted())
    due = timezone.now() + timezone.timedelta(seconds=30)
    for reason, queued_at in (("retry", due), ("staff", item.queued_at)):
        Item.objects.update(status=ItemStatus.HELD, hold_reason=reason, run_after=due)
        assert rows("SELECT queued_at FROM generation_queue") == [{"queued_at": queued_at}]


def test_the_time_that_a_picture_took_is_the_one_that_the_door_tells(alices: Customer) -> None:
    request_id = alices.submitted()
    began = timezone.now().replace(microsecond=999)
    ended = began.replace(microsecond=142_001)  # 141 whole milliseconds later, and shown 142 later
    made = {"key": "images/a.png", "provider": "provider_d", "model": "main", "width": 1, "height": 1}
    Item.objects.update(status=ItemStatus.SUCCEEDED, started_at=began, finished_at=ended, results={"generate": made})
    (row,) = rows("SELECT result ->> 'generationTime' AS took FROM generation_requests")
    told = alices.status(request_id)
    assert (int(row["took"]), told["metadata"]["generationTime"]) == (142, 142)


@pytest.mark.parametrize(
    ("fields", "status", "is_in_queue"),
    [
        ({"status": ItemStatus.QUEUED}, "queued", True),
        ({"status": ItemStatus.HELD}, "queued", True),
        ({"status": ItemStatus.QUEUED, "step": 1}, "in-progress", False),
        ({"status": ItemStatus.RUNNING}, "in-progress", False),
        ({"status": ItemStatus.WAITING}, "in-progress", False),
        ({"status": ItemStatus.SUCCEEDED, "step": 1}, "completed", False),
        ({"status": ItemStatus.FAILED, "kept": 1}, "failed", False),
        ({"status": ItemStatus.CANCELLED, "kept": 1}, "cancelled", False),
    ],
)
def test_the_views_speak_the_contracts_words(
    alices: Customer, fields: dict[str, Any], status: str, is_in_queue: bool
) -> None:
    alices.submitted()
    Item.objects.update(**fields)
    (row,) = rows("SELECT status, result, error FROM generation_requests")
    assert row["status"] == status
    assert (row["result"] is not None) is (status == "completed")
    assert (row["error"] is not None) is (status == "failed")
    assert bool(rows("SELECT 1 FROM generation_queue")) is is_in_queue


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO generation_requests (id, prompt) VALUES ('vga_1_x', 'A dragon')",
        "UPDATE generation_requests SET status = 'completed'",
        "UPDATE generation_requests SET prompt = 'Another dragon'",
        "DELETE FROM generation_requests",
        "INSERT INTO generation_queue (request_id, priority_weight) VALUES ('vga_1_x', 1)",
        "UPDATE generation_queue SET priority_weight = 1000",
        "DELETE FROM generation_queue",
    ],
)
def test_a_write_to_a_view_is_refused(alices: Customer, sql: str) -> None:
    request_id = alices.submitted()
    with pytest.raises(DatabaseError, match="cannot (insert into|update|delete from) view"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(sql)
    assert alices.status(request_id)["status"] == "queued"


def test_other_doors_items_are_not_in_the_guides_tables(alices: Customer) -> None:
    alices.submitted()
    Item.objects.update(door="poses")
    assert rows("SELECT 1 FROM generation_requests") == rows("SELECT 1 FROM generation_queue") == []
