"""Real workers of the database under test, in processes of their own, and a Redis that may be emptied or ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
import requests
from django.conf import settings
from django.db import connection

from config.embedded import services

ROOT = Path(settings.BASE_DIR)
PATIENCE_S = 60.0
RQWORKER = [
    "rqworker",
    "generation",
    "--worker-class",
    "generation.worker.ThreadedWorker",
    "--serializer",
    "rq.serializers.JSONSerializer",
]


def until(is_so: Callable[[], object], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Watch for something that other processes bring about."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert process is None or process.poll() is None, f"the process ended before {what}"
        assert time.monotonic() < deadline, f"it did not come to this: {what}"
        time.sleep(0.02)


def database_url() -> str:
    """The database under test as its workers are told of it."""
    params = connection.get_connection_params()
    login = params["user"] + (f":{quote(params['password'])}" if params.get("password") else "")
    host, port = str(params.get("host") or ""), params.get("port")
    if host.startswith("/"):
        return f"postgresql://{login}@/{params['dbname']}?host={host}" + (f"&port={port}" if port else "")
    return f"postgresql://{login}@{host}:{port or 5432}/{params['dbname']}"


def environment(media: Path, **more: str) -> dict[str, str]:
    """What a worker's process is told; a lease of 2 s and a sweep each 100 ms, so that nobody waits for them."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.REDIS_URL,
        "MEDIA_ROOT": str(media),
        "SIMULATOR_URL": settings.SIMULATOR_URL,
        "PROVIDERS_MODE": "simulated",
        "HUGGINGFACE_POLL_S": "0.1",
        "LEASE_S": "2",
        "QUEUE_PROCESSING_INTERVAL": "100",
        "ENABLE_METRICS": "false",
        "WORKER_THREADS": "8",
        "LOG_LEVEL": "warning",
        **more,
    }


@contextmanager
def program(words: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with these words until the end of the block; what it wrote is shown when the test fails."""
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        print(log.read_text())


def worker(env: dict[str, str], log: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A stock worker as the README starts it."""
    return program([str(ROOT / "manage.py"), *RQWORKER], env, log)


class OwnRedis:
    """A Redis of this test alone."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.log = folder / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket))

    def start(self) -> None:
        argv = [str(services._redis_program()), "--port", "0", "--unixsocket", str(self.socket)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen([*argv, "--save", "", "--appendonly", "no"], stdout=out, stderr=out)
        until(self.answers, "Redis answers", self.process)

    def answers(self) -> bool:
        try:
            with self.client as line:
                return bool(line.ping())
        except redis.ConnectionError:
            return False

    def empty(self) -> None:
        with self.client as line:
            line.flushall()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def _signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)


class OwnDesk:
    """A whole desk of this test alone, whose PostgreSQL may be restarted: database, web and worker."""

    def __init__(self, folder: Path, logs: Path, media: Path, port: int) -> None:
        self.postgres = services.postgres(durable=False)
        self.logs, self.base = logs, f"http://127.0.0.1:{port}"
        web = {"VISUAL_RATE_LIMIT": "0", "SIGNUP_GRANT_CREDITS": "0", "LOCAL": "1", "ATELIER_STATE_DIR": str(folder)}
        self.env = environment(media, **web, LEASE_S="10") | {"DATABASE_URL": services.database_url()}
        self.web_words = ["-m", "uvicorn", "config.asgi:application", "--port", str(port), "--log-level", "warning"]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything is up and answers within this block."""
        self.start_postgres()
        try:
            self.manage("migrate", "--verbosity", "0")
            self.manage("customer", "carol", "--password", "carol-password", "--credits", "1000")
            with program(self.web_words, self.env, self.logs / "web.log") as web:
                with worker(self.env, self.logs / "worker.log"):
                    until(self.is_up, "the web answers", web)
                    yield
        finally:
            self.postgres.stop()

    def start_postgres(self) -> None:
        self.postgres.start()
        services.await_start(self.postgres)

    def restart_postgres(self) -> None:
        self.postgres.stop()
        self.start_postgres()

    def manage(self, *words: str) -> str:
        argv = [sys.executable, str(ROOT / "manage.py"), *words]
        return subprocess.run(argv, cwd=ROOT, env=self.env, check=True, capture_output=True, text=True).stdout

    def is_up(self) -> bool:
        try:
            return self.ask("GET", "/health").ok
        except requests.ConnectionError:
            return False

    def ask(self, method: str, path: str, token: str = "", body: Any = None) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return session.request(method, self.base + path, json=body, headers=headers, timeout=60)
