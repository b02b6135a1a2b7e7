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
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid4

import django_rq
from django.conf import settings
from django.db import connection, transaction
from redis.commands.core import Script
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job, JobStatus
from rq.utils import as_text, decode_redis_hash, utcformat
from rq.worker_registration import REDIS_WORKER_KEYS

from config.api import sql
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


# KEYS: the queue, the set of queues, and a key for each job that may be made. ARGV: what a job's key begins
# with, then its fields. As many are made as do not wait already, in one round trip: each submit pays for it.
_RING = """
redis.call('SADD', KEYS[2], KEYS[1])
for n = 3, #KEYS - redis.call('LLEN', KEYS[1]) do
  redis.call('HSET', KEYS[n], unpack(ARGV, 2))
  redis.call('RPUSH', KEYS[1], string.sub(KEYS[n], #ARGV[1] + 1))
end
"""


def ring(count: int) -> None:
    """Push bells for `count` items: at most WORKER_THREADS, less those still waiting. Fails soft."""
    if count < 1:
        return
    try:
        queue = bells()
        jobs = [Job.key_for(str(uuid4())) for _ in range(min(count, settings.WORKER_THREADS))]
        now = utcformat(datetime.now(UTC))
        fields = {**_bell(), "created_at": now, "enqueued_at": now}
        _script()(
            keys=[queue.key, queue.redis_queues_keys, *jobs],
            args=[Job.redis_job_namespace_prefix, *(word for field in fields.items() for word in field)],
        )
    except RedisError as error:
        log.warning("the bell cannot be rung, workers look by themselves: %s", type(error).__name__)


@cache
def _script() -> Script:
    return bells().connection.register_script(_RING)


@cache
def _bell() -> dict[str, Any]:
    """The fields of a bell, as RQ stores a job.

    One that was answered is forgotten: at ten a second, a day of them would fill Redis.
    """
    job = bells().create_job(BELL, timeout=-1, result_ttl=0, failure_ttl=KEEP_FAILED_S, status=JobStatus.QUEUED)
    return {**job.to_dict(), "status": JobStatus.QUEUED.value}


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
    host: str = ""

    def is_alive(self, within_s: float) -> bool:
        """Has it been heard of lately?"""
        return self.last_heartbeat is not None and datetime.now(UTC) - self.last_heartbeat < timedelta(seconds=within_s)


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
                datetime.fromisoformat(beat).replace(tzinfo=UTC)
                if beat
                else None,  # RQ's clock is UTC, and says not so
                fields.get("hostname", ""),
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


# What a door's people wait for: nothing made yet, retries included.
_WAITS = "door = %(door)s AND status IN ('QUEUED', 'HELD') AND step = 0"
_ALL = f"SELECT count(*) FROM generation_item WHERE {_WAITS}"  # noqa: S608 no value in these
# The nearest ones, in the order of claims, as the index `item_waiting` has them.
_NEAREST = f"""
SELECT id, weight, rank FROM generation_item WHERE {_WAITS} ORDER BY weight DESC, rank, id LIMIT %(most)s
"""  # noqa: S608
_COUNT = f"SELECT count(*) FROM ({_NEAREST}) AS nearest"  # noqa: S608
_COUNT_AND_AHEAD = f"""
SELECT count(*), count(*) FILTER (WHERE weight > %(weight)s OR weight = %(weight)s AND (rank, id) < (%(rank)s, %(id)s))
  FROM ({_NEAREST}) AS nearest
"""  # noqa: S608
_PLACES = f"""
SELECT id, place FROM (
    SELECT id, row_number() OVER (ORDER BY weight DESC, rank, id) AS place FROM ({_NEAREST}) AS nearest) AS placed
 WHERE id = ANY(%(ids)s)
"""  # noqa: S608

_all_waiting = _Remembered(lambda door: int(_one_row(_ALL, {"door": door})[0]))


def waiting(door: str) -> int:
    """Count a door's items that wait and have nothing made yet, retries included. Exact up to 1,000."""
    return _waiting(door, lambda: int(_one_row(_COUNT, {"door": door, "most": EXACT_UP_TO})[0]))


def position(item: Item) -> int:
    """Return the 1-based place of a waiting item among its door's, in the order of claims. Exact up to 1,000."""
    return waiting_and_position(item)[1]


def waiting_and_position(item: Item) -> tuple[int, int]:
    """Return what `waiting` says of an item's door and `position` of the item itself. One query up to 1,000."""
    near, ahead = _one_row(
        _COUNT_AND_AHEAD,
        {"door": item.door, "weight": item.weight, "rank": item.rank, "id": item.pk, "most": EXACT_UP_TO},
    )
    return _told(item, near, ahead)


class Newcomer:
    """The same of an item that is not stored yet: its `part` asks in the statement that stores it.

    rank: spells it there. Whoever waits at the same rank came before.
    """

    def __init__(self, item: Item, rank: str) -> None:
        self._item = item
        before = f"weight > %(near_weight)s OR weight = %(near_weight)s AND rank <= {rank}"
        self.part = sql.Part(
            f"near AS MATERIALIZED ({_NEAREST})",
            ("(SELECT count(*) FROM near)", f"(SELECT count(*) FROM near WHERE {before})"),  # noqa: S608 no value in it
            {"door": item.door, "most": EXACT_UP_TO, "near_weight": item.weight},
        )

    def read(self, found: tuple[int, int]) -> tuple[int, int]:
        """Say how many wait with it, and its place, once it is stored."""
        near, ahead = found
        return _told(self._item, near + 1, ahead)


def _told(item: Item, near: int, ahead: int) -> tuple[int, int]:
    return _waiting(item.door, lambda: near), ahead + 1 if ahead < EXACT_UP_TO else _far_position(item)


def _waiting(door: str, near: Callable[[], int]) -> int:
    """`near` counts as far as the nearest ones go; beyond those, all are counted once a second."""
    if (many := _all_waiting.recent(door) or 0) > EXACT_UP_TO:
        return many
    return counted if (counted := near()) < EXACT_UP_TO else _all_waiting(door)


def _one_row(statement: str, params: dict[str, Any]) -> Any:
    with sql.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchone()


def positions(items: Sequence[Item]) -> list[int]:
    """Return the places of several waiting items of one door, as `position` does. One query up to 1,000."""
    if not items:
        return []
    with sql.cursor() as cursor:
        cursor.execute(_PLACES, {"door": items[0].door, "most": EXACT_UP_TO, "ids": [item.pk for item in items]})
        near = dict(cursor.fetchall())
    return [near.get(item.pk) or _far_position(item) for item in items]


def _far_position(item: Item) -> int:
    return max(EXACT_UP_TO, min(waiting(item.door), item.rank + 1))
