"""The bells' pages: whatever is asked of them they answer, in the console's look, and nothing can be done there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_rq import stats_views
from redis.exceptions import ConnectionError as RedisAway

from config.models import User
from generation import queue

pytestmark = pytest.mark.django_db

LISTS = ("jobs", "started_jobs", "failed_jobs", "workers")


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


@pytest.fixture
def rung() -> Iterator[str]:
    """One bell that waits."""
    queue.bells().empty()
    queue.ring(1)
    yield queue.bells().job_ids[0]
    queue.bells().empty()


@pytest.mark.parametrize("page", ["", "0", "-1", "2", "999999999999999999999", "first", "1.5", "9" * 5000])
def test_a_page_that_is_none_is_the_nearest_one(staff: Client, rung: str, page: str) -> None:
    for name in LISTS:
        assert staff.get(reverse(f"django_rq:{name}"), {"page": page, "desc": page}).status_code == 200, name
    assert rung in staff.get(reverse("django_rq:jobs"), {"page": page}).text


def test_a_bell_tells_when_it_was_rung(staff: Client, rung: str) -> None:
    shown = staff.get(reverse("django_rq:job_detail", args=[rung])).text
    assert "data-ago" in shown
    assert queue.BELL in shown
    for other in ("nobodys", "nobody's", "x" * 5000):
        assert staff.get(f"/admin/queues/jobs/{other}/").status_code == 404


@pytest.mark.parametrize("name", ["empty/", "requeue-all/", "failed/clear/", "{}/delete/", "{}/requeue/", "{}/stop/"])
def test_nothing_can_be_done_to_bells_by_hand(staff: Client, rung: str, name: str) -> None:
    for way in ("queues/0/", "jobs/", ""):
        assert staff.post(f"/admin/queues/{way}{name.format(rung)}").status_code == 404
    assert queue.bells().job_ids == [rung]


def test_without_redis_the_page_says_so(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **named: Any) -> Any:
        raise RedisAway("Error 2 connecting to unix socket")

    monkeypatch.setattr(stats_views, "get_statistics", away)
    answer = staff.get(reverse("django_rq:home"))
    assert answer.status_code == 503
    assert "Redis cannot be asked" in answer.text
