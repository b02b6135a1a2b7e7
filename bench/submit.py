"""A submit in this process, without HTTP: the whole WSGI application with a real token, and an Idempotency-Key."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any

from bench import desk
from bench.figures import Figure, percentile, spread
from bench.fill import Filling, bulk
from config.wsgi import application
from generation import queue

SAMPLES, WARM_UP, WAITING = 500, 50, 100_000
PATH = "/api/visual-generation/submit"


def measure(scale: float) -> list[Figure]:
    count = max(50, int(SAMPLES * scale))
    calm = _submit_ms(count)
    desk.empty()
    people = desk.people(100)
    with bulk():
        Filling(people).waiting(int(WAITING * scale))
    busy = _submit_ms(count)
    calm_ms, busy_ms = percentile(calm, 50), percentile(busy, 50)
    waiting = f"{int(WAITING * scale):,} waiting"
    return [
        Figure("submit in process (whole WSGI application), p50", calm_ms, "ms", limit=5, note=spread(calm, 90)),
        Figure(f"the same with {waiting}, p50", busy_ms / calm_ms, "times", limit=1.3, note=f"{busy_ms:.2f} ms"),
    ]


def _submit_ms(count: int) -> list[float]:
    """Submit one after another; each finds the bells answered, as where workers keep up, so each rings."""
    person = desk.people(1, "submitter")[0]
    headers = {"HTTP_AUTHORIZATION": f"Bearer {desk.token(person)}", "CONTENT_TYPE": "application/json"}
    samples = []
    for number in range(WARM_UP + count):
        queue.bells().connection.delete(queue.bells().key)
        call = _call(json.dumps(desk.body(number)).encode(), {**headers, "HTTP_IDEMPOTENCY_KEY": f"bench-{number:06}"})
        began = time.perf_counter()
        status = call()
        samples.append(1000 * (time.perf_counter() - began))
        assert status.startswith("200"), status
    return samples[WARM_UP:]


def _call(body: bytes, headers: dict[str, str]) -> Callable[[], str]:
    """A call as a WSGI server makes it, until the answer is closed."""
    environ: dict[str, Any] = {
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

    def call() -> str:
        statuses: list[str] = []
        answer = application(environ, lambda status, headers, exc_info=None: statuses.append(status))
        b"".join(answer)
        answer.close()
        return statuses[0]

    return call
