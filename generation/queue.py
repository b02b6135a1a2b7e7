"""With `generation.worker`, the only room that knows RQ: the bell, who works, and counts for people.

The item row is the queue entry. An RQ job is only a bell: it says that there may be work and carries no
item, so a lost, eaten or missing one costs at most a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import django_rq
from django.conf import settings
from django.db import connection, transaction
from redis.exceptions import RedisError
from rq import Queue
from rq.utils import as_text, decode_redis_hash
from rq.worker_registration import REDIS_WORKER_KEYS

from generation.models import Item

log = logging.getLogger(__name__)

QUEUE = "generation"
BELL = "generation.jobs.answer_bell"
KEEP_FAILED_S = 7 * 24 * 3600
# Counts shown to people are exact up to this, beyond it at most a second old.
EXACT_UP_TO = 1000

_pending = threading.local()


@cache
def bells() -> Queue:
    """The one queue object of this process; django_rq would open a new connection at every call."""
    return django_rq.get_queue(QUEUE)


def ring(count: int) -> None:
    """Push bells for `count` items: at most WORKER_THREADS, less those still waiting. Fails soft."""
    if count < 1:
        return
    try:
        queue = bells()
        missing = min(count, settings.WORKER_THREADS) - queue.count
        if missing > 0:
            jobs = [
                # A bell that was answered is forgotten: at ten a second, a day of them would fill Redis.
                Queue.prepare_data(BELL, timeout=-1, result_ttl=0, failure_ttl=KEEP_FAILED_S)
                for _ in range(missing)
            ]
            queue.enqueue_many(jobs)
    except RedisError as error:
        log.warning("the bell cannot be rung, workers look by themselves: %s", type(error).__name__)


def ring_after_commit(count: int) -> None:
    """Ring once after the commit for everything that this transaction queued."""
    # Asked of the connection, because a rollback forgets what was to follow and tells nobody.
    if any(entry[1] is _ring_pending for entry in connection.run_on_commit):
        _pending.count += count
    else:
        _pending.count = count
        transaction.on_commit(_ring_pending)


def _ring_pending() -> None:
    ring(_pending.count)


@dataclass(frozen=True)
class WorkerInfo:
    """A worker process as it last told of itself."""

    name: str
    threads: int
    busy: int
    last_heartbeat: datetime | None


def workers() -> list[WorkerInfo]:
    """Read the workers' last heartbeats from Redis. Raises RedisError when it cannot be reached."""
    redis = bells().connection
    found = []
    for key in map(as_text, redis.smembers(REDIS_WORKER_KEYS)):
        fields = decode_redis_hash(redis.hgetall(key), decode_values=True)
        if not fields or fields.get("death"):
            continue
        beat = fields.get("last_heartbeat")
        found.append(
            WorkerInfo(
                key.removeprefix("rq:worker:"),
                int(fields.get("threads", 0)),
                int(fields.get("busy", 0)),
                datetime.fromisoformat(beat) if beat else None,
            )
        )
    return sorted(found, key=lambda worker: worker.name)


class _Remembered:
    """A figure that is read anew at most once a second in each process."""

    def __init__(self, read: Callable[[str], int]) -> None:
        self._read, self._known = read, dict[str, tuple[float, int]]()

    def __call__(self, key: str) -> int:
        value = self.recent(key)
        if value is None:
            value = self._read(key)
            self._known[key] = time.monotonic(), value
        return value

    def recent(self, key: str) -> int | None:
        """What was read within the last second."""
        at, value = self._known.get(key, (0.0, 0))
        return value if time.monotonic() - at < 1 else None


def _one_figure(sql: str, params: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.fetchone()[0])


_all_waiting = _Remembered(
    lambda door: _one_figure(
        "SELECT count(*) FROM generation_item WHERE door = %(door)s AND status IN ('QUEUED', 'HELD') AND step = 0",
        {"door": door},
    )
)


_WAITING = """
SELECT count(*) FROM (
    SELECT 1 FROM generation_item WHERE door = %(door)s AND status IN ('QUEUED', 'HELD') AND step = 0
    LIMIT %(most)s) AS nearest
"""
# Two ranges of one index: what weighs more, and what stands before it within its weight.
_AHEAD = """
SELECT count(*) FROM (
    (SELECT 1 FROM generation_item WHERE door = %(door)s AND status IN ('QUEUED', 'HELD') AND step = 0
     AND weight > %(weight)s LIMIT %(most)s)
    UNION ALL
    (SELECT 1 FROM generation_item WHERE door = %(door)s AND status IN ('QUEUED', 'HELD') AND step = 0
     AND weight = %(weight)s AND (rank, id) < (%(rank)s, %(id)s) LIMIT %(most)s)) AS nearest
"""


def waiting(door: str) -> int:
    """Count a door's items that wait and have nothing made yet, retries included. Exact up to 1,000."""
    if (many := _all_waiting.recent(door) or 0) > EXACT_UP_TO:
        return many
    capped = _one_figure(_WAITING, {"door": door, "most": EXACT_UP_TO})
    return capped if capped < EXACT_UP_TO else _all_waiting(door)


def position(item: Item) -> int:
    """Return the 1-based place of a waiting item among its door's, in the order of claims. Exact up to 1,000."""
    return _place(item, _one_figure(_AHEAD, _place_of(item)))


def waiting_and_position(item: Item) -> tuple[int, int]:
    """Return what `waiting` says of an item's door and `position` of the item itself, by one query."""
    if (many := _all_waiting.recent(item.door) or 0) > EXACT_UP_TO:
        return many, position(item)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({_WAITING}), ({_AHEAD})", _place_of(item))
        capped, ahead = cursor.fetchone()
    return capped if capped < EXACT_UP_TO else _all_waiting(item.door), _place(item, ahead)


def _place_of(item: Item) -> dict[str, Any]:
    return {"door": item.door, "weight": item.weight, "rank": item.rank, "id": item.pk, "most": EXACT_UP_TO}


def _place(item: Item, ahead: int) -> int:
    return ahead + 1 if ahead < EXACT_UP_TO else _far_position(item)


def positions(items: Sequence[Item]) -> list[int]:
    """Return the places of several waiting items of one door, as `position` does. One query up to 1,000."""
    if not items:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, place FROM (SELECT id, row_number() OVER (ORDER BY weight DESC, rank, id) AS place"
            " FROM generation_item WHERE door = %(door)s AND status IN ('QUEUED', 'HELD') AND step = 0"
            " ORDER BY weight DESC, rank, id LIMIT %(most)s) AS first WHERE id = ANY(%(ids)s)",
            {"door": items[0].door, "most": EXACT_UP_TO, "ids": [item.pk for item in items]},
        )
        near = dict(cursor.fetchall())
    return [near.get(item.pk) or _far_position(item) for item in items]


def _far_position(item: Item) -> int:
    return max(EXACT_UP_TO, min(waiting(item.door), item.rank + 1))
