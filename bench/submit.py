"""A submit in this process, without HTTP, with a real token and an Idempotency-Key.

Measured twice, in turns: from the view's dispatch to its rendered answer, which is all that a submit consists of
(token and user, throttle, validation, price, idempotency, charge, rows, event, commit, bell, hint), and through the
whole WSGI application, with the middleware around it.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.db import connection
from django.urls import resolve

from bench import desk
from bench.figures import Figure, percentile, spread
from bench.fill import Filling, bulk
from config.asgi import wsgi as application  # after what the web process does at its start
from generation import queue
from generation.models import Item

SAMPLES, WARM_UP, WAITING = 500, 50, 100_000
PATH = "/api/visual-generation/submit"


@dataclass
class Samples:
    """Milliseconds: of each submit, and how long each kept this thread's CPU busy."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def take(self, call: Callable[[], int]) -> None:
        began, busy = time.perf_counter(), time.thread_time()
        status = call()
        self.cpu.append(1000 * (time.thread_time() - busy))
        self.wall.append(1000 * (time.perf_counter() - began))
        assert status == 200, status

    @property
    def p50(self) -> float:
        return percentile(self.wall, 50)


def measure(scale: float) -> list[Figure]:
    count = max(50, int(SAMPLES * scale))
    view, whole = _samples(count)
    desk.empty()
    people = desk.people(100)
    with bulk():
        Filling(people).waiting(int(WAITING * scale))
    busy_view, _ = _samples(count)
    waiting = f"{int(WAITING * scale):,} waiting"
    return [
        Figure("submit in process, from dispatch to answer, p50", view.p50, "ms", limit=5, note=spread(view.wall, 90)),
        Figure(
            "the same with " + waiting, busy_view.p50 / view.p50, "times", limit=1.3, note=f"{busy_view.p50:.2f} ms"
        ),
        Figure("through the whole WSGI application, p50", whole.p50, "ms", limit=5, note=spread(whole.wall, 90)),
        Figure("CPU of the view, p50", percentile(view.cpu, 50), "ms"),
        Figure("CPU of the whole WSGI application, p50", percentile(whole.cpu, 50), "ms"),
    ]


def _samples(count: int) -> tuple[Samples, Samples]:
    """Submit one after another; each finds bells answered and items taken, as where workers keep up, so each rings."""
    person = desk.people(1, "submitter")[0]
    headers = {"HTTP_AUTHORIZATION": f"Bearer {desk.token(person)}", "CONTENT_TYPE": "application/json"}
    view, whole = Samples(), Samples()
    for number in range(2 * (WARM_UP + count)):
        queue.bells().connection.delete(queue.bells().key)
        Item.objects.filter(owner=person, status="QUEUED").update(status="RUNNING")
        body = json.dumps(desk.body(number)).encode()
        environ = _environ(body, {**headers, "HTTP_IDEMPOTENCY_KEY": f"bench-{number:06}"})
        if number % 2:
            view.take(_view(environ))
            connection.close()  # back into the pool, as at the end of each request
        else:
            whole.take(_whole(environ))
    for samples in (view, whole):
        del samples.wall[:WARM_UP], samples.cpu[:WARM_UP]
    return view, whole


def _view(environ: dict[str, Any]) -> Callable[[], int]:
    request = WSGIRequest(environ)
    match = resolve(PATH)

    def call() -> int:
        answer = match.func(request, *match.args, **match.kwargs)
        return int(answer.render().status_code)

    return call


def _whole(environ: dict[str, Any]) -> Callable[[], int]:
    """A call as a WSGI server makes it, until the answer is closed."""

    def call() -> int:
        statuses: list[str] = []
        answer = application(environ, lambda status, headers, exc_info=None: statuses.append(status))
        b"".join(answer)
        answer.close()
        return int(statuses[0][:3])

    return call


def _environ(body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **headers,
    }
