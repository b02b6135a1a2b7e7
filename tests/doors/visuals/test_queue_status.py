"""GET queue/status: counts, waits, health."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generation import figures
from generation.figures import Figures
from generation.models import Item, ItemStatus
from tests.doors.visuals.desk import Customer

S = ItemStatus


def make_figures(**some: Any) -> Figures:
    none = dict.fromkeys(("urgent", "high", "normal", "low", "active", "total", "completed", "failed"), 0)
    return Figures(**{**none, "average_generation_s": 0.0, "average_wait_s": 0.0, **some})


@pytest.mark.parametrize(
    ("some", "word"),
    [
        ({}, "healthy"),  # nobody has asked for anything
        ({"total": 10, "failed": 2}, "healthy"),  # exactly a fifth
        ({"total": 100, "failed": 21}, "warning"),
        ({"total": 10, "failed": 5}, "warning"),  # exactly half
        ({"total": 100, "failed": 51}, "critical"),
        ({"normal": 60, "low": 40}, "healthy"),  # exactly a hundred
        ({"normal": 60, "low": 41}, "warning"),
        ({"normal": 500, "total": 2, "failed": 2}, "critical"),  # the rate comes first
    ],
)
def test_health_is_told_by_strict_comparisons(some: dict[str, int], word: str) -> None:
    assert make_figures(**some).system_status == word


@pytest.mark.django_db
def test_an_idle_desk(alices: Customer) -> None:
    assert alices.queue() == {
        "queueLength": 0,
        "activeRequests": 0,
        "averageWaitTime": 0,
        "queuedByPriority": {"urgent": 0, "high": 0, "normal": 0, "low": 0},
        "systemStatus": "healthy",
        "metrics": {
            "requestsTotal": 0,
            "requestsCompleted": 0,
            "requestsFailed": 0,
            "averageGenerationTime": 0,
            "queueLength": 0,
            "activeRequests": 0,
        },
    }


@pytest.mark.django_db
def test_everybody_reads_the_whole_desks_numbers(alices: Customer, bobs: Customer) -> None:
    ids = [alices.submitted(priority=word) for word in ("urgent", "high", "high", "normal", "low", "normal", "normal")]
    items = {item.public_id: item for item in Item.objects.all()}
    now = timezone.now()

    def put(nth: int, **fields: Any) -> None:
        Item.objects.filter(pk=items[ids[nth]].pk).update(**fields)

    put(2, status=S.HELD, hold_reason="retry", weight=1)  # a waiting retry counts, by the caller's priority
    put(3, status=S.RUNNING)
    put(4, status=S.QUEUED, step=1)  # made, and made small next: in progress
    put(5, status=S.SUCCEEDED, started_at=now - timedelta(seconds=10), finished_at=now, first_started_at=now)
    put(5, created_at=now - timedelta(seconds=90))
    put(6, status=S.FAILED, kept=1, started_at=now - timedelta(seconds=5), finished_at=now, first_started_at=now)
    put(6, created_at=now - timedelta(seconds=31))

    assert bobs.queue() == {
        "queueLength": 3,
        "activeRequests": 2,
        "averageWaitTime": 60,  # (90 + 31) / 2, rounded
        "queuedByPriority": {"urgent": 1, "high": 2, "normal": 0, "low": 0},
        "systemStatus": "healthy",
        "metrics": {
            "requestsTotal": 7,
            "requestsCompleted": 1,
            "requestsFailed": 1,
            "averageGenerationTime": 7.5,
            "queueLength": 3,
            "activeRequests": 2,
        },
    }


@pytest.mark.django_db
def test_what_is_older_than_a_day_counts_no_more(alices: Customer) -> None:
    alices.submitted()
    alices.submitted()
    Item.objects.update(
        status=S.FAILED,
        kept=1,
        created_at=F("created_at") - timedelta(hours=25),
        first_started_at=F("created_at") - timedelta(hours=24, minutes=59),
    )
    assert alices.queue()["metrics"]["requestsTotal"] == 0
    assert alices.queue()["averageWaitTime"] == 0
    # Asked for long ago, but first started only now: its wait belongs to today.
    Item.objects.filter(pk=Item.objects.earliest("pk").pk).update(
        first_started_at=F("created_at") + timedelta(hours=25)
    )
    assert alices.queue()["averageWaitTime"] == 25 * 3600


@pytest.mark.django_db
def test_metrics_can_be_switched_off(alices: Customer, settings: Any) -> None:
    settings.ENABLE_METRICS = False
    assert "metrics" not in alices.queue()


@pytest.mark.django_db
def test_small_figures_are_exact_and_a_long_queues_are_remembered_for_a_second(
    alices: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alices.queue()
    alices.submitted()
    assert alices.queue()["queueLength"] == 1

    monkeypatch.setattr(figures, "EXACT_UP_TO", 0)
    figures.figures()
    with CaptureQueriesContext(connection) as queries:
        assert figures.figures().queue_length == 1
    assert not queries.captured_queries


@pytest.mark.django_db
def test_a_short_queue_is_counted_anew_on_a_busy_day(alices: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "EXACT_UP_TO", 2)
    ended = [alices.submitted() for _ in range(3)]
    Item.objects.update(status=S.CANCELLED, kept=1)
    assert alices.queue()["queueLength"] == 0  # from now on the day is remembered

    alices.submitted(priority="high")
    running = alices.submitted()
    Item.objects.filter(public_id=running).update(status=S.RUNNING)
    told = alices.queue()
    assert (told["queueLength"], told["queuedByPriority"]["high"], told["activeRequests"]) == (1, 1, 1)
    assert (told["metrics"]["queueLength"], told["metrics"]["activeRequests"]) == (1, 1)
    assert told["metrics"]["requestsTotal"] == len(ended)  # of a second ago


@pytest.mark.django_db
def test_the_figures_cost_one_query(db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        figures.figures()
    assert len(queries) == 1
