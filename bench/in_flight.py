"""Hundreds of calls in flight: how near two workers come to what the provider's own slowness allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psutil
from django.db import connection

from bench import desk
from bench.figures import Figure
from config.models import User
from providers.models import Lane

WORKERS, THREADS = 2, 100
REQUESTS, DELAY_S = 2000, 4.0
BUSY_REQUESTS, BUSY_DELAY_S = 600, 1.0
PICTURE_BYTES = 200_000
MB = 1024 * 1024


@dataclass
class Load:
    """What a load took: wall clock, CPU seconds by part, and the highest readings while it ran."""

    took_s: float = 0.0
    workers_cpu_s: float = 0.0
    services_cpu_s: float = 0.0
    simulator_cpu_s: float = 0.0
    connections: int = 0
    memory_bytes: int = 0

    def cpu_ms(self, count: int) -> float:
        return 1000 * (self.workers_cpu_s + self.services_cpu_s) / count


def measure(scale: float) -> list[Figure]:
    slots = WORKERS * THREADS
    many, fewer = max(slots, int(REQUESTS * scale)), max(slots, int(BUSY_REQUESTS * scale))
    calm, busy = Load(), Load()
    simulator = desk.simulator(delay_s=DELAY_S, picture_bytes=PICTURE_BYTES)
    with desk.running(simulator) as provider:
        people = desk.people(20)
        with desk.running(*desk.workers(WORKERS, threads=THREADS)) as workers:
            _run(calm, many, people, workers, provider)
        desk.empty()
        desk.simulator_says("POST", "_settings", {"delay_s": BUSY_DELAY_S})
        people = desk.people(20)
        with desk.running(*desk.workers(WORKERS, threads=THREADS)) as workers:
            _run(busy, fewer, people, workers, provider)
    ideal_s = many / slots * DELAY_S
    return [
        Figure(
            f"efficiency of {many:,} requests against the ideal {ideal_s:.0f} s",
            ideal_s / calm.took_s,
            "1 is ideal",
            limit=0.75,
            at_least=True,
            note=f"took {calm.took_s:.1f} s; {_shares(calm, many)}",
        ),
        Figure("CPU of an item at a 1 s provider", busy.cpu_ms(fewer), "ms", note=_shares(busy, fewer)),
        Figure("database connections, most at a time", max(calm.connections, busy.connections), "", limit=20),
        Figure("resident memory of both workers, most", calm.memory_bytes / MB, "MB", limit=400),
    ]


def _shares(load: Load, count: int) -> str:
    parts = {"workers": load.workers_cpu_s, "services": load.services_cpu_s, "simulator": load.simulator_cpu_s}
    return "CPU ms an item: " + ", ".join(f"{name} {1000 * cpu_s / count:.1f}" for name, cpu_s in parts.items())


def _run(
    load: Load, count: int, people: list[User], workers: list[psutil.Process], provider: list[psutil.Process]
) -> None:
    """Submit while nothing may begin, then open the desk and watch until the last thumbnail."""
    Lane.objects.filter(name=desk.LANE).update(cap=WORKERS * THREADS)

    def watch() -> None:
        load.connections = max(load.connections, _connections())
        load.memory_bytes = max(load.memory_bytes, sum(worker.memory_info().rss for worker in workers))

    def cpu() -> Iterable[float]:
        return [desk.cpu_s(part) for part in (workers, desk.services(), provider)]

    with desk.all_at_once():
        desk.submit_all(desk.picture_plan(people[n % len(people)], n) for n in range(count))
        before = cpu()
    desk.await_end(count, 300, watch)
    load.workers_cpu_s, load.services_cpu_s, load.simulator_cpu_s = (
        after - then for after, then in zip(cpu(), before, strict=True)
    )
    load.took_s = desk.began_to_end_s()


def _connections() -> int:
    """Connections of all processes but this one's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])
