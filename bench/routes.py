"""Every route of the API in process, with a real token and everything around it, on a small furnished desk.

The calls are those of the tests' table of routes, so that a new route is measured without a word. What can happen only
once (a cancel, a removal) is refused from the second call on, and the note says how often each status came.
"""

from __future__ import annotations

import json
import time
from collections import Counter

from django.conf import settings

from bench import desk, wsgi
from bench.figures import Figure, percentile
from config.api import redis
from tests.simulator import Remote
from tests.site import house as houses
from tests.site.house import House
from tests.site.routes import OPEN, ROUTES, STAFF, Route

SAMPLES, WARM_UP = 100, 3


def measure(scale: float) -> list[Figure]:
    with desk.running(desk.simulator(delay_s=0)):
        house = houses.build(Remote(settings.SIMULATOR_URL))
        removals_last = sorted(ROUTES, key=lambda route: route.method == "DELETE")
        return [_measured(route, house, max(10, int(SAMPLES * scale))) for route in removals_last]


def _measured(route: Route, house: House, count: int) -> Figure:
    address, body = route.address(house), route.body(house)
    raw = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    raw = raw.replace(b"//testserver/", b"//localhost/")  # links to Alice's files, as this host gives them
    person = house.stella if route.who == STAFF else house.alice
    header = {} if route.who == OPEN else {"HTTP_AUTHORIZATION": f"Bearer {desk.token(person)}"}
    walls, statuses = [], Counter[int]()
    for number in range(WARM_UP + count):
        redis.client().flushdb()  # nobody is limited
        began = time.perf_counter()
        status = wsgi.call(route.method, address, header, raw)
        if number >= WARM_UP:
            walls.append(1000 * (time.perf_counter() - began))
            statuses[status] += 1
    said = ", ".join(f"{status} × {times}" for status, times in statuses.items())
    note = f"p99 {percentile(walls, 99):.1f}; {said}"
    return Figure(f"{route.method} /{route.path}, p50", percentile(walls, 50), "ms", note=note)
