"""What every test with a browser does: sign in, and hold nothing wrong on the way against the pages."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import connection

T = TypeVar("T")


class Watched:
    """A page of which every console error, failed call and call to elsewhere is remembered."""

    def __init__(self, page: Any, base: str) -> None:
        self.page, self.faults = page, list[str]()
        page.on("console", lambda line: self._note(_is_bad(line), f"console: {line.text}"))
        page.on("pageerror", lambda error: self._note(True, f"error: {error}"))
        page.on("response", lambda answer: self._note(answer.status >= 400, f"{answer.status} {answer.url}"))
        page.on("request", lambda call: self._note(not call.url.startswith((base, "data:")), f"elsewhere: {call.url}"))
        page.on("websocket", lambda socket: self._note(base.split("://")[1] not in socket.url, f"socket: {socket.url}"))

    def forgive(self, text: str) -> None:
        """Forget what was provoked: there has to be something, and all of it says this."""
        assert self.faults
        assert all(text in fault for fault in self.faults), self.faults
        self.faults.clear()

    def _note(self, is_fault: bool, text: str) -> None:
        if is_fault:
            self.faults.append(text)


def _is_bad(line: Any) -> bool:
    """Errors and warnings; not what a machine without graphics says of its drawing by hand."""
    return line.type in ("error", "warning") and "GPU stall due to ReadPixels" not in line.text


# Remembers every value that the bar ever showed, also between two looks of the test.
REMEMBER = """() => {
  window.seen = [];
  const look = () => {
    const bar = document.querySelector("[data-bar]");
    if (bar && bar.value !== window.seen.at(-1)) window.seen.push(bar.value);
  };
  look();
  new MutationObserver(look).observe(document.body, { attributes: true, childList: true, subtree: true });
}"""


def sign_in(page: Any, name: str, to: str = "/app/") -> None:
    page.goto(f"/app/login?next={to}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(name)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: url.endswith(to) and "?" not in url)


def aside(question: Callable[[], T]) -> T:
    """Ask the database from a thread of its own: Playwright's has an event loop, with which Django refuses."""

    def ask() -> T:
        try:
            return question()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ask).result()
