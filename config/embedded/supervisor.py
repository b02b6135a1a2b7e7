"""Keeps the parts of a desk running, and shows what they complain about. One thread, one look at a time."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from config.embedded.children import Part

LOOK_S = 0.1
# A part that lived this long is well; one that keeps ending sooner waits longer each time.
WELL_S = 30.0
MAX_PAUSE_S = 30.0
HOPELESS = 3
MAX_LINES = 40

_FACT = re.compile(r"^(\d\d:\d\d:\d\d |\{)")
_COMPLAINT = re.compile(r"^(\d\d:\d\d:\d\d (WARNING|ERROR|CRITICAL) |\{.*\"level\": ?\"(WARNING|ERROR|CRITICAL)\")")


class PartError(Exception):
    """Something the desk cannot do without is not there. The text shows the log's end."""


@dataclass
class _Kept:
    part: Part
    is_service: bool
    read_bytes: int
    started_at: float = 0.0
    failures: int = 0
    start_at: float | None = None
    is_complaining: bool = False


class Supervisor:
    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self._is_waiting = False

    def add(self, part: Part, *, is_service: bool = False) -> None:
        """Start a part and keep it. Services are stopped after everything else; their logs are not shown."""
        kept = _Kept(part, is_service, part.log.stat().st_size if part.log.exists() else 0)
        self._kept.append(kept)  # first: a signal may come while it starts
        self._start(kept)

    def look(self) -> None:
        """Start what has ended and is due again; print what the parts complained about."""
        for kept in self._kept:
            if not kept.is_service:
                self._show_complaints(kept)
            if kept.start_at is None and not kept.part.is_running():
                self._mourn(kept)
            if kept.start_at is not None and time.monotonic() >= kept.start_at:
                self._start(kept)

    def until(self, is_so: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
        """Look until `is_so`. Raises PartError when a part keeps ending or the time is over."""
        deadline = time.monotonic() + timeout_s
        self._is_waiting = True
        while not is_so():
            self.look()
            hopeless = [kept.part for kept in self._kept if kept.failures >= HOPELESS]
            if hopeless:
                raise PartError(f"{hopeless[0].name} keeps ending; its log ends with:\n{hopeless[0].last_lines()}")
            if time.monotonic() > deadline:
                raise PartError(
                    f"{otherwise} within {timeout_s:.0f} s; see the logs in {self._kept[0].part.log.parent}"
                )
            time.sleep(LOOK_S)
        self._is_waiting = False

    def stop(self) -> None:
        """Stop everything: the parts together, then the services they stood on, last come first."""
        parts = [kept.part for kept in self._kept if not kept.is_service]
        for part in parts:
            part.ask_to_stop()
        for part in parts:
            part.stop()
        for kept in reversed(self._kept):
            if kept.is_service:
                kept.part.stop()
        self._kept.clear()

    def hurry(self) -> None:
        """Kill the parts that are still being waited for; services keep their time to end well."""
        for kept in self._kept:
            if not kept.is_service and kept.part.process is not None and kept.part.is_running():
                kept.part.process.kill()

    def _start(self, kept: _Kept) -> None:
        kept.start_at, kept.started_at = None, time.monotonic()
        kept.part.start()

    def _mourn(self, kept: _Kept) -> None:
        lived_s = time.monotonic() - kept.started_at
        kept.failures = 1 if lived_s >= WELL_S else kept.failures + 1
        pause_s = min(MAX_PAUSE_S, 0.2 * 2 ** (kept.failures - 1))
        kept.start_at = time.monotonic() + pause_s
        say(f"{kept.part.name} {_how_it_ended(kept.part)}; starting it again in {pause_s:.1f} s")
        if kept.failures == HOPELESS and not self._is_waiting:
            say(f"{kept.part.name} keeps ending; its log ends with:\n{kept.part.last_lines()}")

    def _show_complaints(self, kept: _Kept) -> None:
        """Print warnings and errors that came into the log, with the traceback that follows one."""
        with kept.part.log.open("rb") as log:
            log.seek(kept.read_bytes)
            fresh = log.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        kept.read_bytes += len(whole)
        shown = []
        for line in whole.decode(errors="replace").splitlines():
            if _FACT.match(line):
                kept.is_complaining = bool(_COMPLAINT.match(line))
            if kept.is_complaining:
                shown.append(f"[{kept.part.name}] {line}")
        if shown:
            rest = [f"[{kept.part.name}] … more in {kept.part.log}"] if len(shown) > MAX_LINES else []
            say("\n".join(shown[:MAX_LINES] + rest))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _how_it_ended(part: Part) -> str:
    code = part.process.returncode if part.process is not None else 0
    return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with {code}"
