"""Whatever strangers write stays text in a browser too: on the pages that scripts fill in while work moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from generation import engine
from tests.browser.conftest import program
from tests.chromium import launched
from tests.site.house import House
from tests.site.pages import PAGES
from tests.site.test_xss import ALL, poisoned

__all__ = ["poisoned", "program"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(300)]

# Those that a script changes after they were loaded, and what it fetches or hears meanwhile.
MOVING = {
    *("home", "work", "request-waiting", "request-running", "request-model", "gallery", "picture", "story"),
    *("story-new", "poses-new", "generation", "pose", "desk", "queue", "request-story", "generation-bulk"),
}
BEAT_S = 0.2
ALIVE = """() => [
  ...(window.pwned === undefined ? [] : ["it ran"]),
  ...[...document.querySelectorAll("script")].filter((one) => one.textContent.includes("pwned")),
  ...document.querySelectorAll("img[src='x'], [onerror], [onload], [href^='javascript:'], [src^='javascript:']"),
].map((one) => one.outerHTML?.slice(0, 200) ?? one)"""


def test_nothing_comes_alive_while_scripts_fill_in_the_pages(poisoned: House, program: str, base: str) -> None:
    pages = [page for page in PAGES if page.name in MOVING]
    assert {page.name for page in pages} == MOVING
    visits = [(page.name, page.address(poisoned), session_of(page.person(poisoned))) for page in pages]
    with moving(poisoned), launched() as browser:
        alive = {name: found for name, *visit in visits if (found := looked_at(browser, base, *visit))}
    assert alive == {}


def session_of(person: Any) -> str:
    client = Client()
    client.force_login(person)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def looked_at(browser: Any, base: str, address: str, session: str) -> list[str]:
    """Open a page, let a few changes reach it, and list what lives there that should not."""
    context = browser.new_context(base_url=base)
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base}])
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.dismiss())
    answer = page.goto(address)
    assert answer, address
    assert answer.ok, (address, answer.status)
    page.wait_for_timeout(3 * 1000 * BEAT_S)
    found: list[str] = page.evaluate(ALIVE)
    context.close()
    return found


@contextmanager
def moving(house: House) -> Iterator[None]:
    """Change something of what waits a few times a second, so that all who watch are told."""
    over = threading.Event()

    def change() -> None:
        try:
            for number in range(10_000):
                engine.reprioritise(house.waiting.pk, ("high", "low")[number % 2], actor=ALL[:150])
                if over.wait(BEAT_S):
                    return
        finally:
            connection.close()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)
