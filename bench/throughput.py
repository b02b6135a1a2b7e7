"""No-op items through claim, begin, call, keep, store and settle, with every row they make; beside it RQ's own."""

from __future__ import annotations

from django.conf import settings

from bench import desk
from bench.figures import Figure

ITEMS, JOBS, FORKED_JOBS = 3000, 5000, 500
THREADS = 16


def measure(scale: float) -> list[Figure]:
    count = max(50, int(ITEMS * scale))
    people = desk.people(20)
    with desk.running(*desk.workers(1, threads=THREADS, module="bench.noop")) as workers:
        with desk.all_at_once():
            desk.submit_all(desk.bare_plan(people[n % len(people)], n) for n in range(count))
            worker_s, services_s = desk.cpu_s(workers), desk.cpu_s(desk.services())
        desk.await_end(count, 300)
        worker_s, services_s = desk.cpu_s(workers) - worker_s, desk.cpu_s(desk.services()) - services_s
    rate = count / desk.began_to_end_s()
    note = f"CPU ms an item: worker {1000 * worker_s / count:.1f}, PostgreSQL and Redis {1000 * services_s / count:.1f}"
    return [
        Figure(f"items per worker process ({THREADS} threads)", rate, "1/s", note=note),
        Figure("empty jobs, RQ's SimpleWorker", _reference("SimpleWorker", int(JOBS * scale)), "1/s", note="reference"),
        Figure("empty jobs, RQ's Worker", _reference("Worker", int(FORKED_JOBS * scale)), "1/s", note="reference"),
    ]


def _reference(kind: str, jobs: int) -> float:
    task = {"kind": kind, "jobs": max(20, jobs), "redis_url": settings.REDIS_URL}
    part = desk.client("bench.rq_reference", task)
    with desk.running(part):
        return float(desk.await_answer(part, 300)["jobs_per_s"])
