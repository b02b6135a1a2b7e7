"""What every test with a browser does: sign in, and hold nothing wrong on the way against the pages."""

from __future__ import annotations

from typing import Any


class Watched:
    """A page of which every console error, failed call and call to elsewhere is remembered."""

    def __init__(self, page: Any, base: str) -> None:
        self.page, self.faults = page, list[str]()
        page.on("console", lambda line: self._note(line.type in ("error", "warning"), f"console: {line.text}"))
        page.on("pageerror", lambda error: self._note(True, f"error: {error}"))
        page.on("response", lambda answer: self._note(answer.status >= 400, f"{answer.status} {answer.url}"))
        page.on("request", lambda call: self._note(not call.url.startswith((base, "data:")), f"elsewhere: {call.url}"))
        page.on("websocket", lambda socket: self._note(base.split("://")[1] not in socket.url, f"socket: {socket.url}"))

    def _note(self, is_fault: bool, text: str) -> None:
        if is_fault:
            self.faults.append(text)


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
