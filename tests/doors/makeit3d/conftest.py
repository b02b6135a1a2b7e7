from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from config.api import redis
from config.models import User
from generation.doors.makeit3d.catalogue import BY_NAME
from tests.doors.makeit3d.desk import Customer
from tests.generation.conftest import media

__all__ = ["media"]


@pytest.fixture(autouse=True)
def fresh_desk(settings: Any, media: Any) -> Iterator[None]:
    """Nobody has called yet, nobody is limited, retries are due at once, files lie in a folder of this test's own."""
    settings.MAKEIT3D_RETRY_BASE_S = 0
    settings.MAKEIT3D_PER_MINUTE = dict.fromkeys(BY_NAME, 0)
    settings.MAKEIT3D_READS_PER_MINUTE = settings.MAKEIT3D_UPLOADS_PER_MINUTE = 0
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
