"""A whole desk on the test's own database: uvicorn, a worker and the simulator; and headless Chromium."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from django.db import connection
from playwright.sync_api import Browser

from tests import chromium as chromium_here
from tests.browser.watching import Watched
from tests.simulator import Remote

UP_S = 60.0


@pytest.fixture(scope="session")
def program() -> str:
    """The browser on this machine. Without one these tests are skipped, except where CI is set."""
    found = chromium_here.program()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on PATH: the page tests need one")
        pytest.skip("no Chromium on PATH: the page tests are left out")
    return found


@pytest.fixture
def chromium(program: str, desk: str) -> Iterator[Browser]:
    """A browser for one test; ask for it last: what it says of Django's database holds."""
    with chromium_here.launched() as browser:
        yield browser


@pytest.fixture(autouse=True)
def passwords(settings: Any) -> None:
    """Stored as the web process reads them, which knows nothing of this run's cheap ones."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]


@pytest.fixture
def desk(transactional_db: None, simulator: Remote, tmp_path: Path) -> Iterator[str]:
    """Start web and worker as processes of their own; return the address. They end with the test."""
    connection.close()
    # A picture takes long enough to see its bar move, at a vendor that says how far it is.
    simulator.settings(delay_s=2.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = connection.settings_dict
    environment = {
        **os.environ,
        "LOCAL": "1",
        "DATABASE_URL": _url(config),
        "SIMULATOR_URL": simulator.url,
        "MEDIA_ROOT": str(tmp_path / "media"),
        "WORKER_THREADS": "2",
        "WORKER_DRAIN_S": "3",
        "VISUAL_PROVIDER_ORDER": "huggingface,openai",
        "HUGGINGFACE_POLL_S": "0.3",
        "NO_PROXY": "127.0.0.1",
    }
    web = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port), "--log-level", "warning"]
    web += ["--timeout-graceful-shutdown", "2"]
    worker = [sys.executable, "manage.py", "rqworker", "generation"]
    log = (tmp_path / "desk.log").open("w")
    parts = [
        subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) for command in (web, worker)
    ]
    try:
        base = f"http://127.0.0.1:{port}"
        _await(f"{base}/health/ready", parts, tmp_path / "desk.log")
        yield base
    finally:
        for part in parts:
            part.terminate()
        for part in parts:
            try:
                part.wait(15)
            except subprocess.TimeoutExpired:
                part.kill()
                part.wait()
        log.close()


def _url(config: dict[str, Any]) -> str:
    """The test's own database, named as the settings name theirs."""
    host = config["HOST"] or config["OPTIONS"].get("host", "")
    password = f":{config['PASSWORD']}" if config["PASSWORD"] else ""
    place = (
        f"@/{config['NAME']}?host={host}"
        if host.startswith("/") or not host
        else f"@{host}:{config['PORT'] or 5432}/{config['NAME']}"
    )
    return f"postgresql://{config['USER']}{password}{place}"


def _await(address: str, parts: list[subprocess.Popen[bytes]], log: Path) -> None:
    """Wait until web and worker answer; a part that dies ends the wait at once."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + UP_S
    while time.monotonic() < until:
        if any(part.poll() is not None for part in parts):
            break
        try:
            with opener.open(address, timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the desk did not come up:\n{log.read_text()[-3000:]}")


@pytest.fixture
def watched(chromium: Any, desk: str) -> Iterator[Watched]:
    """A page on which nothing may go wrong until the test ends."""
    context = chromium.new_context(base_url=desk)
    context.set_default_timeout(30_000)
    page = Watched(context.new_page(), desk)
    yield page
    context.close()
    assert page.faults == []
