"""What the last hour, today and the last week brought, for the console's page and its ticks. JSON values only.

Each figure is read at once while that is cheap; the longer a reading takes, the longer it is kept, so that
watching costs at most a twentieth of one database connection, however much there is to count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connection
from django.utils import timezone

from generation.figures import CRITICAL_RATE, WARNING_RATE, figures

MINUTES = 60
DAYS = 7
SHARE = 20
# Days that are over hardly change: a request of yesterday that ends today is counted this much later.
PAST_DAYS_S = 600.0

T = TypeVar("T")

_ENDED = """
SELECT date_trunc('minute', finished_at), count(*) FILTER (WHERE status = 'SUCCEEDED'),
       count(*) FILTER (WHERE status = 'FAILED')
FROM generation_item WHERE finished_at >= %(since)s GROUP BY 1
"""
_TIMES = """
SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM first_started_at - created_at)),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at))
FROM generation_item WHERE finished_at >= %(since)s AND status = 'SUCCEEDED'
"""
_MONEY = """
SELECT (SELECT COALESCE(-sum(amount) FILTER (WHERE kind = 'charge'), 0) FROM credits_entry
        WHERE created_at >= %(midnight)s),
       (SELECT COALESCE(sum(amount) FILTER (WHERE kind = 'refund'), 0) FROM credits_entry
        WHERE created_at >= %(midnight)s),
       asked.cost, asked.lost, asked.lost_cost
FROM (SELECT COALESCE(sum(cost_usd), 0) AS cost, count(*) FILTER (WHERE outcome = 'lost') AS lost,
             COALESCE(sum(cost_usd) FILTER (WHERE outcome = 'lost'), 0) AS lost_cost
      FROM generation_attempt WHERE started_at >= %(midnight)s) AS asked
"""
_REQUESTS = """
SELECT created_at::date, count(*), avg(extract(epoch FROM finished_at - started_at))::float8,
       count(*) FILTER (WHERE status = 'FAILED')
FROM generation_request WHERE created_at >= %(since)s AND created_at < %(until)s GROUP BY 1
"""


class Seldom(Generic[T]):
    """A figure of this process that is kept `SHARE` times as long as it took to read, and at least `keep_s`."""

    def __init__(self, read: Callable[[], T], keep_s: float = 0.0) -> None:
        self._read, self._keep_s = read, keep_s
        self._until, self._known = 0.0, dict[str, T]()

    def __call__(self) -> T:
        if time.monotonic() >= self._until or not self._known:
            began = time.monotonic()
            self._known["it"] = self._read()
            ended = time.monotonic()
            self._until = ended + max(self._keep_s, SHARE * (ended - began))
        return self._known["it"]

    def forget(self) -> None:
        self._known.clear()


def read() -> dict[str, Any]:
    """Read all of it: six queries, fewer while something of it is kept."""
    return {"hour": hour(), "day": _day(), "today": today(), "week": week()}


def forget() -> None:
    """Read everything anew the next time."""
    for kept in (hour, today, past_days):
        kept.forget()


# --- The last hour -------------------------------------------------------------------------------


def _hour() -> dict[str, Any]:
    now = timezone.now().replace(second=0, microsecond=0)
    minutes = [now - timedelta(minutes=ago) for ago in range(MINUTES - 1, -1, -1)]
    with connection.cursor() as cursor:
        cursor.execute(_ENDED, {"since": minutes[0]})
        ended = {minute: (succeeded, failed) for minute, succeeded, failed in cursor.fetchall()}
        cursor.execute(_TIMES, {"since": minutes[0]})
        wait, took = cursor.fetchone()
    counts = [ended.get(minute, (0, 0)) for minute in minutes]
    succeeded, failed = [one[0] for one in counts], [one[1] for one in counts]
    rate = sum(failed) / (sum(failed) + sum(succeeded)) if any(failed) else 0.0
    return {
        "succeeded": succeeded,
        "failed": failed,
        "sum_succeeded": sum(succeeded),
        "sum_failed": sum(failed),
        "failure_percent": round(100 * rate, 1),
        "health": "critical" if rate > CRITICAL_RATE else "warning" if rate > WARNING_RATE else "healthy",
        **_rounded("wait", wait),
        **_rounded("generation", took),
    }


def _rounded(name: str, found: list[Any] | None) -> dict[str, float | None]:
    p50, p95 = (None if value is None else round(float(value), 1) for value in found or (None, None))
    return {f"{name}_p50_s": p50, f"{name}_p95_s": p95}


hour = Seldom(_hour)


# --- Today ---------------------------------------------------------------------------------------


def _day() -> dict[str, Any]:
    day = figures()
    return {
        "completed": day.completed,
        "failure_percent": round(100 * day.failure_rate, 1),
        "health": day.system_status,
    }


def _today() -> dict[str, Any]:
    """Credits that came in and went back since midnight, and beside them what providers asked, in USD."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_MONEY, {"midnight": midnight})
        charged, refunded, cost, lost, lost_cost = cursor.fetchone()
    return {
        "charged": int(charged),
        "refunded": int(refunded),
        "cost_usd": _cents(cost),
        "margin_usd": margin_usd(int(charged) - int(refunded), cost),
        "lost": lost,
        "lost_usd": _cents(lost_cost),
    }


def margin_usd(credits: int, cost: Decimal) -> str | None:
    """What is left of credits, at what one is sold for, when providers are paid. None where nobody said that price.

    Shown to staff and stored nowhere: the two currencies meet in this line alone.
    """
    return _cents(credits * settings.CREDIT_USD - cost) if settings.CREDIT_USD else None


def _cents(usd: Decimal) -> str:
    return f"{usd.quantize(Decimal('0.01')):,}"


today = Seldom(_today)


# --- The last week -------------------------------------------------------------------------------


def week() -> list[dict[str, Any]]:
    """The last seven days, today first, days without a request included."""
    now = timezone.now().date()
    found = {**past_days(), **_requests(now, now + timedelta(days=1))}
    days = [now - timedelta(days=ago) for ago in range(DAYS)]
    return [found.get(day, _told(day, 0, None, 0)) for day in days]


def _past_days() -> dict[date, dict[str, Any]]:
    now = timezone.now().date()
    return _requests(now - timedelta(days=DAYS - 1), now)


def _requests(since: date, until: date) -> dict[date, dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(_REQUESTS, {"since": _midnight(since), "until": _midnight(until)})
        return {row[0]: _told(*row) for row in cursor.fetchall()}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())


def _told(day: date, requests: int, mean_s: float | None, failed: int) -> dict[str, Any]:
    return {
        "day": day.isoformat(),
        "requests": requests,
        "mean_s": None if mean_s is None else round(mean_s, 1),
        "failed": failed,
        "failed_percent": round(100 * failed / requests, 1) if requests else 0.0,
    }


past_days = Seldom(_past_days, PAST_DAYS_S)
