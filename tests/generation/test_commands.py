"""The commands that an operator, or a container's health check, calls."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from redis.exceptions import ConnectionError as RedisDown

from generation import queue
from generation.queue import WorkerInfo


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Any:
    def of(*workers: WorkerInfo) -> None:
        monkeypatch.setattr(queue, "workers", lambda: list(workers))

    return of


def worker(*, host: str, silent_s: float | None) -> WorkerInfo:
    beat = None if silent_s is None else datetime.now(UTC) - timedelta(seconds=silent_s)
    return WorkerInfo("a1b2", 16, 3, beat, host)


def test_this_hosts_worker_is_alive(heard: Any) -> None:
    heard(worker(host=socket.gethostname(), silent_s=5))
    call_command("workers", "--alive")


@pytest.mark.parametrize(
    ("host", "silent_s"), [("elsewhere", 5), (socket.gethostname(), 600), (socket.gethostname(), None)]
)
def test_a_silent_worker_is_not_alive(heard: Any, host: str, silent_s: float | None) -> None:
    heard(worker(host=host, silent_s=silent_s))
    with pytest.raises(CommandError):
        call_command("workers", "--alive")


def test_without_redis_nobody_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> Any:
        raise RedisDown("no")

    monkeypatch.setattr(queue, "workers", down)
    call_command("workers", "--alive")
    with pytest.raises(CommandError, match="Redis"):
        call_command("workers")


def test_the_list_says_who_works(heard: Any, capsys: pytest.CaptureFixture[str]) -> None:
    heard(worker(host="box", silent_s=1))
    call_command("workers")
    assert "box  3/16 busy" in capsys.readouterr().out
    heard()
    call_command("workers")
    assert "No worker" in capsys.readouterr().out
