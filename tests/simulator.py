"""The simulator as fixtures: one per session, reset for each test, faults and calls over HTTP.

A test folder that needs it says `from tests.simulator import simulator, simulator_server` in its conftest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from django.conf import settings as django_settings

from providers.simulator.server import Simulator


@dataclass(frozen=True)
class Remote:
    """A running simulator seen from outside, by its control paths."""

    url: str

    def faults(self, provider: str, fault: str, times: int = 1, **params: Any) -> None:
        """Script a fault for the next `times` matching calls; operation=, match= and its own parameters."""
        self._ask("POST", "_faults", {"provider": provider, "fault": fault, "times": times, **params})

    def calls(self, provider: str = "", operation: str = "") -> list[dict[str, Any]]:
        """What it was sent, in order."""
        found: list[dict[str, Any]] = self._ask("GET", f"_calls?provider={provider}&operation={operation}")["calls"]
        return found

    def settings(self, **values: Any) -> None:
        self._ask("POST", "_settings", values)

    def reset(self, delay_s: float = 0.0, **values: Any) -> None:
        """Forget everything; making takes `delay_s` from here on. values: further settings."""
        self._ask("POST", "_reset")
        self.settings(delay_s=delay_s, **values)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, f"{self.url}/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()


@pytest.fixture(scope="session")
def simulator_server() -> Iterator[Remote]:
    """One simulator for the whole run; settings, and processes that the tests start, find it."""
    server = Simulator().start()
    before = django_settings.SIMULATOR_URL, os.environ.get("SIMULATOR_URL")
    django_settings.SIMULATOR_URL = os.environ["SIMULATOR_URL"] = server.url
    yield Remote(server.url)
    django_settings.SIMULATOR_URL = before[0]
    if before[1] is None:
        del os.environ["SIMULATOR_URL"]
    else:
        os.environ["SIMULATOR_URL"] = before[1]
    server.stop()


@pytest.fixture
def simulator(simulator_server: Remote) -> Remote:
    """The session's simulator without calls, faults or delay."""
    simulator_server.reset()
    return simulator_server
