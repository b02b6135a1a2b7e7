"""Parked calls: what a hundred of them at an asynchronous vendor cost while they wait there."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

import psutil
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bench import desk
from bench.figures import Figure, percentile, spread
from config.models import User
from generation import engine
from generation.engine import polling
from generation.models import Attempt, Item
from generation.plan import Candidate, ItemPlan, Plan, StepPlan
from providers.models import Lane

PARKED, THREADS, ROUNDS = 100, 2, 5
# While they are parked, nothing of them ends.
FOREVER_S = 3600.0


def measure(scale: float) -> list[Figure]:
    """Park them with a worker of two threads, see that both go on with other work, then ask about them here."""
    with desk.running(desk.simulator(delay_s=FOREVER_S)):
        with desk.running(*desk.workers(1, threads=THREADS)) as worker:
            person = desk.people(1)[0]
            Lane.objects.filter(name=desk.OTHER_LANE).update(cap=None)
            _work_one(person)
            before = _threads(worker[0])
            desk.submit_all(_plan(person, n, desk.OTHER_LANE) for n in range(PARKED))
            _await(lambda: Item.objects.filter(status="WAITING").count() == PARKED)
            waits = [_work_one(person) for _ in range(max(3, int(10 * scale)))]
            held = _threads(worker[0]) - before
            # The worker asks too; it goes before the rounds are counted.
        queries, polled_ms = _rounds()
    return [
        Figure(f"threads held by {PARKED} parked items", held, "", limit=0),
        Figure(
            f"another item while they wait, {THREADS} threads, p50", percentile(waits, 50), "ms", note=spread(waits, 90)
        ),
        Figure(f"queries a round of {polling.MOST_PER_ROUND}, most", max(queries), "", limit=2),
        Figure(
            f"a round of {polling.MOST_PER_ROUND}, p50", percentile(polled_ms, 50), "ms", note=spread(polled_ms, 90)
        ),
    ]


def _threads(worker: psutil.Process) -> int:
    """Count a worker's threads between two rounds: a round is asked by one of them, and over in a moment."""
    seen = []
    for _ in range(200):
        seen.append(worker.num_threads())
        time.sleep(0.01)
    return min(seen)


def _rounds() -> tuple[list[int], list[float]]:
    """Let all fall due and ask, again and again; return each round's queries and milliseconds."""
    queries, took_ms = [], []
    for _ in range(ROUNDS):
        with transaction.atomic():
            Attempt.objects.filter(stage="ACCEPTED", ended_at__isnull=True).update(poll_at=timezone.now())
        for _ in range(PARKED // polling.MOST_PER_ROUND):
            began = time.perf_counter()
            with CaptureQueriesContext(connection) as counted:
                asked = engine.poll()
            took_ms.append(1000 * (time.perf_counter() - began))
            if asked != polling.MOST_PER_ROUND:
                raise RuntimeError(f"a round asked about {asked} calls")
            queries.append(len(counted))
    return queries, took_ms


def _work_one(person: User) -> float:
    """Have one item of another provider made at once; return how long it took, in milliseconds."""
    desk.simulator_says("POST", "_settings", {"delay_s": 0})
    began = time.monotonic()
    request = engine.submit(_plan(person, 0, desk.LANE))
    _await(lambda: request.items.filter(status="SUCCEEDED").exists())
    desk.simulator_says("POST", "_settings", {"delay_s": FOREVER_S})
    return 1000 * (time.monotonic() - began)


def _await(is_so: Callable[[], bool], timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"not so after {timeout_s:.0f} s")
        time.sleep(0.01)


def _plan(owner: User, number: int, lane: str) -> Plan:
    inputs = {"prompt": f"Picture {number}", "width": 256, "height": 256}
    candidates = (Candidate(lane),)
    step = StepPlan(name="generate", operation="text-to-image", inputs=inputs, candidates=candidates, park_s=FOREVER_S)
    item = ItemPlan(public_id=f"parked-{number}-{uuid4().hex[:8]}", steps=(step,), price_key="visual_cover", price=4)
    return Plan(door="visuals", owner_id=owner.pk, items=(item,), description="For the bench")
