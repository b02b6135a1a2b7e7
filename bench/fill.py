"""Fills the tables by SQL: a million rows in under a minute, without indexes and triggers while it lasts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from bench import desk
from config.models import User
from generation.plan import StepPlan

# One request for each item; its id is made from the item's number.
_REQUESTS = """
INSERT INTO generation_request (id, owner_id, door, "group", params, description, status, round, seq, mirrored_seq,
                                created_at)
SELECT md5('bench' || n)::uuid, (%(owners)s::uuid[])[1 + n %% %(people)s], 'visuals', '', '{}', 'For the bench',
       %(request_status)s, 0, 3, 0, now() - interval '1 hour'
FROM generate_series(%(first)s, %(last)s) AS n
"""
_ITEMS = """
INSERT INTO generation_item (public_id, request_id, owner_id, door, index, prompt, params, status, hold_reason, lane,
                             priority, weight, rank, queued_at, steps, step, pass_no, candidate, results, fence, starts,
                             losses, progress, deadline_s, price_key, price, charged, refunded, kept, cancel_refund,
                             keep_codes, error_code, error_message, error_retryable, created_at, finished_at)
SELECT 'filled-' || n, md5('bench' || n)::uuid, (%(owners)s::uuid[])[1 + n %% %(people)s], 'visuals', 0,
       'A lighthouse on a cliff, with gulls around it, number ' || n, '{"type": "illustration"}', %(status)s, '',
       %(lane)s, 'normal', 10, (n - %(first)s) / %(people)s, now() - interval '1 minute', %(steps)s, 0, 0, 0, '{}', 0,
       0, 0, 0, 21600, 'visual_illustration', 4, 4, 0, 0, 'confirmed', '[]', '', '', false,
       now() - interval '1 hour', CASE WHEN %(status)s = 'SUCCEEDED' THEN now() END
FROM generate_series(%(first)s, %(last)s) AS n
"""


class Filling:
    """Rows that many people left behind, numbered on."""

    def __init__(self, people: list[User]) -> None:
        self._owners = [one.pk for one in people]
        self._next = 1
        plan = desk.picture_plan(people[0], 0)
        self._steps = plan.items[0].steps

    def ended(self, count: int) -> None:
        self._insert(count, "SUCCEEDED", desk.LANE, self._steps)

    def waiting(self, count: int, lane: str = desk.LANE) -> None:
        """Items in a lane, ranked as fair shares would: one of each person, then the next of each."""
        self._insert(count, "QUEUED", lane, self._steps)

    def _insert(self, count: int, status: str, lane: str, steps: tuple[StepPlan, ...]) -> None:
        values: dict[str, Any] = {
            "owners": self._owners,
            "people": len(self._owners),
            "request_status": "COMPLETED" if status == "SUCCEEDED" else "QUEUED",
            "status": status,
            "lane": lane,
            "steps": json.dumps([step.as_json() for step in steps]),
            "first": self._next,
            "last": self._next + count - 1,
        }
        self._next += count
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(_REQUESTS, values)
            cursor.execute(_ITEMS, values)


@contextmanager
def bulk() -> Iterator[None]:
    """Take the plain indexes away while rows are poured in; afterwards they are whole, and the planner knows all."""
    tables = ("generation_request", "generation_item")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s)"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)",
            [list(tables)],
        )
        indexes = dict(cursor.fetchall())
        for name in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        yield
        cursor.execute("SET maintenance_work_mem = '256MB'")
        for definition in indexes.values():
            cursor.execute(definition)
        cursor.execute("RESET maintenance_work_mem")
        for table in tables:
            cursor.execute(f"VACUUM (ANALYZE) {table}")
