"""Child processes that cannot outlive us.

The kernel sends each child its signal when the process that started it is gone, however it went, so
that not even `kill -9` of a launcher leaves anything behind. Must not know what the children do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a child between fork and exec must not import anything.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None

Signal = signal.Signals


@dataclass(frozen=True)
class Identity:
    """Whom a child runs as, when not as ourselves."""

    uid: int
    gid: int


@dataclass
class Part:
    """A long-lived child: what to run, where it logs, how it is asked to end, and when it counts as up.

    `on_our_death` is sent by the kernel when we die, `stop_signal` by us; SIGKILL follows after `grace_s`.
    """

    name: str
    argv: Sequence[str | Path]
    log: Path
    on_our_death: Signal = Signal.SIGKILL
    stop_signal: Signal = Signal.SIGTERM
    grace_s: float = 10.0
    identity: Identity | None = None
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cwd: Path = Path("/")
    is_ready: Callable[[], bool] = lambda: True
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Must be called on the main thread: the kernel watches the thread that forked."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("children are started from the main thread only")
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [str(word) for word in self.argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env=dict(self.env),
                # A session of its own, so that Ctrl-C in the terminal reaches us alone and we stop all in order.
                start_new_session=True,
                preexec_fn=_promise_to_die(self.on_our_death),
                **_become(self.identity),
            )

    def await_ready(self, timeout_s: float) -> bool:
        """Wait until it is up; False when it ended or the time did."""
        deadline = time.monotonic() + timeout_s
        while self.is_running() and time.monotonic() < deadline:
            if self.is_ready():
                return True
            time.sleep(0.02)
        return False

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask_to_stop(self) -> None:
        if self.process is not None and self.is_running():
            self.process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Ask, wait for the grace, then kill what is still there."""
        self.ask_to_stop()
        if self.process is not None:
            try:
                self.process.wait(self.grace_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def last_lines(self, count: int = 12) -> str:
        """The end of its log, for a person who has to find out why it ended."""
        lines = self.log.read_bytes()[-16_384:].decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-count:]) or "    (its log is empty)"


def run(argv: Sequence[str | Path], *, identity: Identity | None = None, stdin: bytes = b"") -> str:
    """Run a short command to its end. Returns "" or, when it failed, what it said."""
    done = subprocess.run(
        [str(word) for word in argv],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        preexec_fn=_promise_to_die(Signal.SIGKILL),
        **_become(identity),
    )
    if done.returncode == 0:
        return ""
    return done.stdout.decode(errors="replace").strip() or f"{argv[0]} ended with {done.returncode}"


def die_with_parent(sig: Signal = Signal.SIGTERM) -> None:
    """Ask the kernel for `sig` when the process that started this one dies."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(sig))


def find(program: str, mention: str) -> list[int]:
    """The processes called `program` whose command line mentions `mention`."""
    return [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if _read(folder / "comm").strip() == program.encode() and mention.encode() in _read(folder / "cmdline")
    ]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it ended while we looked
        return b""


def _become(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {}
    return {"user": identity.uid, "group": identity.gid, "extra_groups": []}


def _promise_to_die(sig: Signal) -> Callable[[], None]:
    parent = os.getpid()

    def promise() -> None:
        # Runs after the change of user, which would have cleared the promise.
        if _libc is not None and _libc.prctl(_PR_SET_PDEATHSIG, int(sig)) != 0:
            os._exit(126)
        if os.getppid() != parent:  # we died before the promise was made
            os._exit(126)

    return promise
