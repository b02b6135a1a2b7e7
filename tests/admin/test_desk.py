"""The desk's front page: its figures, its chart, and what it says where there is nothing to say."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.models import User
from generation import engine, queue
from generation.admin import charts
from generation.live import pulse, totals
from generation.models import Attempt, Item, ItemStatus, Request
from tests.pages import finish, live_nodes, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client, stella: User, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(queue, "workers", list)
    client.force_login(stella)
    return client


def test_the_last_hour_is_told_by_the_minute(alice: User) -> None:
    now = timezone.now().replace(second=0, microsecond=0)
    finish(submit(alice, 3))
    items = list(Item.objects.order_by("pk"))
    for item, minutes, waited in zip(items, (0, 1, 59), (1, 2, 9), strict=True):
        began = now - timedelta(minutes=minutes)
        Item.objects.filter(pk=item.pk).update(
            created_at=began - timedelta(seconds=waited),
            first_started_at=began,
            started_at=began,
            finished_at=began + timedelta(seconds=4),
        )
    Item.objects.filter(pk=items[1].pk).update(status=ItemStatus.FAILED, kept=2)
    hour = pulse.read()["hour"]
    assert (hour["succeeded"][-1], hour["failed"][-2], hour["succeeded"][0]) == (1, 1, 1)
    assert (hour["sum_succeeded"], hour["sum_failed"], hour["failure_percent"], hour["health"]) == (
        *(2, 1),
        *(33.3, "warning"),
    )
    assert (hour["wait_p50_s"], hour["generation_p95_s"]) == (5.0, 4.0)


def test_an_hour_without_work_has_no_times_and_draws_an_empty_chart() -> None:
    hour = pulse.read()["hour"]
    assert hour["wait_p50_s"] is None
    drawn = charts.hour(hour)
    assert (drawn.peak, len(drawn.minutes), drawn.width) == (0, 60, 240)
    assert all(minute.good_height == minute.bad_height == 0 for minute in drawn.minutes)


def test_a_minutes_bar_stands_on_the_ground_and_failures_on_top() -> None:
    drawn = charts.hour({"succeeded": [3, 0], "failed": [1, 2]})
    assert drawn.peak == 4
    first, second = drawn.minutes
    assert (first.good_y, first.good_height, first.bad_y, first.bad_height) == (15, 45, 0, 15)
    assert (second.x, second.bad_y, second.bad_height) == (4, 30, 30)


def test_today_tells_revenue_refunds_spend_and_margin(alice: User, settings: Any) -> None:
    settings.CREDIT_USD = Decimal("0.10")
    request = finish(submit(alice, 2))
    engine.refund(request.items.order_by("pk")[0].pk, 1, reason="a present", actor="stella", form_key="form")
    Attempt.objects.update(cost_usd="0.05")
    assert pulse.read()["today"] == {
        "charged": 4,
        "refunded": 1,
        "cost_usd": "0.10",
        "margin_usd": "0.20",
        "lost": 0,
        "lost_usd": "0.00",
    }


def test_no_margin_is_told_where_nobody_said_what_a_credit_is_sold_for(staff: Client, settings: Any) -> None:
    settings.CREDIT_USD = Decimal(0)
    assert pulse.read()["today"]["margin_usd"] is None
    assert "no margin without CREDIT_USD" in staff.get(reverse("admin:index")).text


def test_the_week_has_seven_days_and_says_what_failed(alice: User) -> None:
    finish(submit(alice))
    old = submit(alice)
    Request.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=6), status="FAILED")
    week = pulse.read()["week"]
    assert len(week) == 7
    assert [day["requests"] for day in week] == [1, 0, 0, 0, 0, 0, 1]
    assert week[6]["failed_percent"] == 100.0


def test_figures_that_take_long_are_kept_for_twenty_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, reads = [0.0], []

    def read() -> int:
        clock[0] += 2.0
        reads.append(clock[0])
        return len(reads)

    monkeypatch.setattr(pulse.time, "monotonic", lambda: clock[0])
    figure = pulse.Seldom(read)
    assert (figure(), figure()) == (1, 1)
    clock[0] += 39.0
    assert figure() == 1
    clock[0] += 1.0
    assert figure() == 2


def test_a_provider_without_a_key_is_off(settings: Any) -> None:
    assert {lane["state"] for lane in totals.read()["lanes"]} == {"flowing"}
    settings.PROVIDERS_MODE, settings.PROVIDER_KEYS = "real", {}
    states = {lane["name"]: lane["state"] for lane in totals.read()["lanes"]}
    assert (states["provider_d"], states["internal"]) == ("no key", "flowing")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.9, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (273600, "3 d 4 h")]
)
def test_lengths_of_time_are_spelled_for_people(seconds: float, said: str) -> None:
    assert totals.span(seconds) == said


def test_the_desk_holds_nothing_alive(staff: Client, alice: User) -> None:
    engine.pause("provider_d", actor="<img src=x onerror=pwned>", reason='"><script>pwned</script>')
    engine.pause("desk", actor="<b>", reason="</svg><script>pwned</script>")
    page = staff.get(reverse("admin:index")).text
    assert live_nodes(page) == []
    assert "&lt;/svg&gt;&lt;script&gt;pwned" in page
