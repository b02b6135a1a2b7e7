"""The desk's figures, of one door or all: who waits, what the last 24 hours brought, and whether that is healthy.

Definitions and thresholds are the visual-generation contract's (section 10); API, console and metrics rows agree.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import connection

# Counts are exact while so many wait, totals while a day holds no more; beyond it they are at most a second old.
EXACT_UP_TO = 1000
REMEMBERED_S = 1.0

CRITICAL_RATE, WARNING_RATE, WARNING_LENGTH = 0.5, 0.2, 100

# `queued` for people is an item that waits at its first step; once something is made it is in progress.
_WAITING = """
WITH waiting AS (
    SELECT count(*) FILTER (WHERE step = 0 AND priority = 'urgent') AS urgent,
           count(*) FILTER (WHERE step = 0 AND priority = 'high') AS high,
           count(*) FILTER (WHERE step = 0 AND priority = 'normal') AS normal,
           count(*) FILTER (WHERE step = 0 AND priority = 'low') AS low,
           count(*) FILTER (WHERE step > 0) AS half_made
    FROM generation_item WHERE door = ANY(%(doors)s) AND status IN ('QUEUED', 'HELD')
)"""
_COUNTS = """
SELECT urgent, high, normal, low,
       half_made
       + (SELECT count(*) FROM generation_item WHERE door = ANY(%(doors)s) AND status = 'RUNNING')
       + (SELECT count(*) FROM generation_item WHERE door = ANY(%(doors)s) AND status = 'WAITING')"""
_NOW = f"{_WAITING} {_COUNTS} FROM waiting"
_FIGURES = f"""{_WAITING}, day AS (
    SELECT count(*) AS total,
           count(*) FILTER (WHERE status = 'SUCCEEDED') AS completed,
           count(*) FILTER (WHERE status = 'FAILED') AS failed,
           avg(extract(epoch FROM finished_at - started_at)) AS average_generation_s
    FROM generation_item WHERE door = ANY(%(doors)s) AND created_at >= now() - interval '24 hours'
)
{_COUNTS},
       total, completed, failed, COALESCE(average_generation_s, 0)::float8,
       COALESCE((SELECT avg(extract(epoch FROM first_started_at - created_at)) FROM generation_item
                 WHERE door = ANY(%(doors)s) AND first_started_at >= now() - interval '24 hours'), 0)::float8
FROM waiting, day
"""  # noqa: S608 no value in it


@dataclass(frozen=True)
class Figures:
    """Counts of now; totals and means (in seconds) of the last 24 hours."""

    urgent: int
    high: int
    normal: int
    low: int
    active: int
    total: int
    completed: int
    failed: int
    average_generation_s: float
    average_wait_s: float

    @property
    def queue_length(self) -> int:
        return self.urgent + self.high + self.normal + self.low

    @property
    def failure_rate(self) -> float:
        """Failed of all created; cancelled and unfinished ones count as created."""
        return self.failed / self.total if self.total else 0.0

    @property
    def system_status(self) -> str:
        """Strict comparisons, as the source system made them."""
        if self.failure_rate > CRITICAL_RATE:
            return "critical"
        if self.failure_rate > WARNING_RATE or self.queue_length > WARNING_LENGTH:
            return "warning"
        return "healthy"


_known: dict[str, tuple[float, Figures]] = {}


def figures(door: str = "") -> Figures:
    """Read the figures of a door, or of all. One query; a busy day's, or a long queue's, may be a second old.

    Who waits and runs now is counted anew as long as few do, however much the day has brought.
    """
    doors = [door] if door else list(settings.DOORS)
    read_at, found = _known.get(door, (0.0, None))
    if found and time.monotonic() - read_at < REMEMBERED_S:
        return found if found.queue_length > EXACT_UP_TO else _with_counts_of_now(found, doors)
    found = Figures(*_one_row(_FIGURES, doors))
    if found.total > EXACT_UP_TO or found.queue_length > EXACT_UP_TO:
        _known[door] = time.monotonic(), found
    else:
        _known.pop(door, None)
    return found


def _with_counts_of_now(known: Figures, doors: list[str]) -> Figures:
    urgent, high, normal, low, active = _one_row(_NOW, doors)
    return replace(known, urgent=urgent, high=high, normal=normal, low=low, active=active)


def _one_row(query: str, doors: list[str]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"doors": doors})
        row: tuple[Any, ...] = cursor.fetchone()
    return row
