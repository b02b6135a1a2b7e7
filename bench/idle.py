"""An idle desk: how long after a submit's commit the provider is asked, with a real worker and its bell."""

from __future__ import annotations

import time
from datetime import datetime

from django.db import transaction

from bench import desk
from bench.figures import Figure, percentile, spread
from config.models import User
from generation import engine

SAMPLES = 100
PAUSE_S = 0.1  # after each item, so that no thread of the worker is awake any more


def measure(scale: float) -> list[Figure]:
    count = max(10, int(SAMPLES * scale))
    person = desk.people(1)[0]
    with desk.running(desk.simulator(delay_s=0)):
        with desk.running(*desk.workers(1, threads=16)):
            _submit(person, 0)  # opens connections and imports what is imported late
            desk.await_end(1, 30)
            desk.simulator_says("DELETE", "_calls")
            committed = []
            for number in range(1, count + 1):
                committed.append(_submit(person, number))
                desk.await_end(number + 1, 30)
                time.sleep(PAUSE_S)
        calls = desk.simulator_says("GET", "_calls")["calls"]
    arrived = [datetime.fromisoformat(call["at"]).timestamp() for call in calls]
    waits = [1000 * (came - gone) for gone, came in zip(committed, arrived, strict=True)]
    note = spread(waits, 90, 99)
    return [Figure("submit's commit to provider's arrival, p50", percentile(waits, 50), "ms", limit=20, note=note)]


def _submit(person: User, number: int) -> float:
    """Submit one picture; return the moment of the commit, before the bell rings."""
    moments: list[float] = []
    with transaction.atomic():
        transaction.on_commit(lambda: moments.append(time.time()))
        engine.submit(desk.picture_plan(person, number))
    return moments[0]
