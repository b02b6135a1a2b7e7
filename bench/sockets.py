"""From a commit to the browser: 500 people, each with a socket on `/ws/live` that follows a request of theirs."""

from __future__ import annotations

import time
from pathlib import Path

from django.db import transaction

from bench import desk
from bench.figures import Figure, percentile, spread
from generation import engine, events
from generation.models import EventKind, Request

SOCKETS, COMMITS, COMMITS_PER_S = 500, 1500, 100
CONNECT_S, LAST_WORD_S = 120.0, 2.0


def measure(scale: float) -> list[Figure]:
    commits = max(100, int(COMMITS * scale))
    port = desk.free_port()
    requests = [engine.submit(desk.bare_plan(one, nth)) for nth, one in enumerate(desk.people(SOCKETS))]
    followed = [{"token": desk.token(request.owner), "request": str(request.pk)} for request in requests]
    done = desk.answer("bench.socket_client").with_suffix(".done")
    ready = done.with_suffix(".ready")
    task = {"port": port, "followed": followed, "ready": str(ready), "done": str(done)}
    client = desk.client("bench.socket_client", task)
    with desk.running(desk.web(port)) as web, desk.running(client):
        _await(ready)
        before_s = desk.cpu_s(web)
        committed = _commit(requests, commits)
        time.sleep(LAST_WORD_S)
        web_ms = 1000 * (desk.cpu_s(web) - before_s) / commits
        done.touch()
        heard = {(request, seq): at for request, seq, at in desk.await_answer(client, 60)["heard"]}
    waits = [1000 * (heard[told] - at) for told, at in committed.items() if told in heard]
    note = f"{spread(waits, 50, 90)}; CPU ms a message: web {web_ms:.1f}"
    name = f"commit to socket, {SOCKETS} sockets, {COMMITS_PER_S} commits a second"
    return [
        Figure(f"{name}, p99", percentile(waits, 99), "ms", limit=50, note=note),
        Figure("commits that were not heard", len(committed) - len(waits), "", limit=0),
    ]


def _commit(requests: list[Request], commits: int) -> dict[tuple[str, int], float]:
    """Change one request after the other at a steady pace; return when each (request, seq) was committed."""
    committed: dict[tuple[str, int], float] = {}
    began = time.monotonic()
    for nth in range(commits):
        time.sleep(max(0.0, began + nth / COMMITS_PER_S - time.monotonic()))
        request = requests[nth % len(requests)]
        seq, at = _change(request, nth % 100)
        committed[str(request.pk), seq] = at
    return committed


def _change(request: Request, progress: int) -> tuple[int, float]:
    """Commit one event of a request; return its seq, and when."""
    moments: list[float] = []
    with transaction.atomic():
        # Before the change adds its own: what is asked for first is done first after the commit.
        transaction.on_commit(lambda: moments.append(time.time()))
        with events.change(request.pk) as change:
            change.record(EventKind.PROGRESS, request.new_items[0].pk, progress=progress)
    return change.events[-1].seq, moments[0]


def _await(file: Path) -> None:
    deadline = time.monotonic() + CONNECT_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the sockets did not connect")
        time.sleep(0.05)
    file.unlink()
