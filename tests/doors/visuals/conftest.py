from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from config.api import redis
from config.models import User
from generation import figures
from tests.doors.visuals.desk import Customer


@pytest.fixture(autouse=True)
def fresh_desk(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody has called yet, no figure is remembered, retries are due at once."""
    settings.VISUAL_RETRY_BASE_S = 0
    monkeypatch.setattr(figures, "_known", {})
    redis.client().flushdb()
    yield
    redis.client().flushdb()


@pytest.fixture
def alices(alice: User) -> Customer:
    """Alice at the API, with 100 credits."""
    return Customer(alice)


@pytest.fixture
def bobs(bob: User) -> Customer:
    """Bob at the API, with 100 credits."""
    return Customer(bob)
