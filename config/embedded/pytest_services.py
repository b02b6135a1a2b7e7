"""Throwaway PostgreSQL and Redis for a test run.

A pytest plugin named with `-p`, because pytest-django reads the settings before any conftest. Nothing
is started for what the environment names already. Each run has a folder of its own, so it meets neither
the desk nor another run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from config import env
from config.embedded import services
from config.embedded.children import Part

PREFIX = "atelier-test-"
OLD_S = 86_400

_run = ExitStack()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None]:
    # A wrapper runs before every plain hook, pytest-django's reading of the settings included.
    try:
        _begin()
    except (services.ServiceError, env.SettingError) as error:
        _run.close()
        raise pytest.UsageError(f"atelier: {error}") from None
    yield


def pytest_unconfigure() -> None:
    _run.close()


def _begin() -> None:
    os.environ["LOCAL"] = "1"
    os.environ.setdefault("PROVIDERS_MODE", "simulated")
    _remove_what_killed_runs_left()
    folder = _run.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX))
    Path(folder).chmod(0o711 if os.getuid() == 0 else 0o700)
    os.environ["ATELIER_STATE_DIR"] = folder
    os.environ.pop("MEDIA_ROOT", None)
    wants_database = not env.text("DATABASE_URL", "")
    wants_redis = not (env.text("REDIS_URL", "") or env.text("REDIS_HOST", ""))
    if not (wants_database or wants_redis):
        return
    _run.enter_context(services.the_only_one())
    services.prepare()
    _run.callback(services.clean_up)
    if wants_database:
        _keep(services.postgres(durable=False))
        os.environ["DATABASE_URL"] = services.database_url()
    if wants_redis:
        _keep(services.redis())
        os.environ["REDIS_URL"] = services.redis_url()


def _keep(part: Part) -> None:
    _run.callback(part.stop)
    part.start()
    services.await_start(part)


def _remove_what_killed_runs_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        info = folder.stat()
        if info.st_uid == os.getuid() and time.time() - info.st_mtime > OLD_S:
            shutil.rmtree(folder)
