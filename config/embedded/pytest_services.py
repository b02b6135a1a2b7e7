"""Throwaway PostgreSQL and Redis for a test run.

A pytest plugin named with `-p`, because pytest-django reads the settings before any conftest. Nothing
is started for what the environment names already. Each run has a folder of its own, so it meets neither
the desk nor another run. Of a run in several processes (`-n`) each has services of its own too, Redis in any
case: pytest-django names a database for each, but nobody shares out a Redis.
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
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    # A wrapper runs before every plain hook, pytest-django's reading of the settings included.
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    deals_out = bool(getattr(early_config.known_args_namespace, "numprocesses", None)) and not is_worker
    try:
        _begin(has_tests=not deals_out, is_alone=not is_worker)
    except (services.ServiceError, env.SettingError) as error:
        _run.close()
        raise pytest.UsageError(f"atelier: {error}") from None
    yield


def pytest_unconfigure() -> None:
    _run.close()


def _begin(*, has_tests: bool, is_alone: bool) -> None:
    os.environ["LOCAL"] = "1"
    os.environ.setdefault("PROVIDERS_MODE", "simulated")
    if not has_tests:
        return
    wants_database = not env.text("DATABASE_URL", "")
    wants_redis = not (is_alone and (env.text("REDIS_URL", "") or env.text("REDIS_HOST", "")))
    _run.enter_context(throwaway.run(PREFIX, postgres=wants_database, redis=wants_redis))
