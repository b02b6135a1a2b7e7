"""Sockets under test: real PostgreSQL and Redis, and a provider that is played here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.api import redis
from generation.live import reader
from tests.live.support import Maker


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def quiet_after(transactional_db: None) -> Iterator[None]:
    """No window of refused addresses from an earlier test; no read still under way when the tables are emptied."""
    redis.client().flushdb()
    yield
    for _ in range(reader.THREADS):
        reader._pool.submit(lambda: None).result(5)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Maker:
    """The only provider: makes one small picture per call, or what it is told to."""
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "generation.storage.LocalFiles", "OPTIONS": {"location": str(tmp_path)}},
    }
    maker = Maker()
    monkeypatch.setattr("providers.registry.adapter", lambda alias: maker)
    monkeypatch.setattr("providers.registry.is_available", lambda alias: True)
    return maker
