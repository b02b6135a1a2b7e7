"""Throwaway PostgreSQL and Redis for a test run.

A pytest plugin named with `-p`, because pytest-django reads the settings before any conftest. Nothing
is started for what the environment names already. Each run has a folder of its own, so it meets neither
the desk nor another run.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from config import env
from config.embedded import services, throwaway

PREFIX = "atelier-test-"

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
    wants_database = not env.text("DATABASE_URL", "")
    wants_redis = not (env.text("REDIS_URL", "") or env.text("REDIS_HOST", ""))
    _run.enter_context(throwaway.run(PREFIX, postgres=wants_database, redis=wants_redis))
