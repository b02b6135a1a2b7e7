"""First paint of the same pages in a browser: from the address to the first letters or pictures that it draws.

A whole web process and headless Chromium share this machine's CPUs. The browser has seen the style sheets before, as
it has on every page but a visitor's first.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from django.conf import settings
from django.db import connection
from playwright.sync_api import Page

from bench import desk, pages
from bench.figures import Figure
from tests.chromium import launched

SAMPLES, WARM_UP = 5, 2
SIZE = {"width": 1440, "height": 900}
PAINTED = """() => new Promise((done) => {
  const found = () => performance.getEntriesByName("first-contentful-paint")[0];
  const wait = () => { const entry = found(); entry ? done(entry.startTime) : requestAnimationFrame(wait); };
  wait();
})"""


def measure(scale: float) -> list[Figure]:
    visits = pages.addresses(scale)
    connection.close()
    port = desk.free_port()
    base = f"http://127.0.0.1:{port}"
    with desk.running(desk.web(port)):
        painted = _painted(base, visits)
    figures = [
        Figure(
            pages.named(address),
            statistics.median(samples),
            "ms",
            limit=pages.LIMIT_MS,
            note=", ".join(f"{one:.0f}" for one in samples),
        )
        for address, samples in painted
    ]
    return sorted(figures, key=lambda figure: -figure.value)


def _painted(base: str, visits: Iterable[tuple[str, str]]) -> list[tuple[str, list[float]]]:
    """Open each page several times; return the ms until each first paint."""
    found = []
    with launched() as browser:
        for session in dict.fromkeys(session for _, session in visits):
            context = browser.new_context(base_url=base, viewport=SIZE)
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base}])
            page = context.new_page()
            for address in (address for address, of in visits if of == session):
                samples = [_first_paint(page, address) for _ in range(WARM_UP + SAMPLES)]
                found.append((address, samples[WARM_UP:]))
            context.close()
    return found


def _first_paint(page: Page, address: str) -> float:
    answer = page.goto(address, wait_until="load")
    if answer is None or answer.status != 200:
        raise RuntimeError(f"{address} answered {answer and answer.status}")
    return float(page.evaluate(PAINTED))
