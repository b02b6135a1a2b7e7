from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.api import redis
from config.models import User
from tests.doors.stories.desk import Author


@pytest.fixture(autouse=True)
def media(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A folder of its own for every test's files; nobody has called yet."""
    folder = tmp_path / "media"
    settings.MEDIA_ROOT = folder
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "generation.storage.LocalFiles", "OPTIONS": {"location": str(folder)}},
    }
    redis.client().flushdb()
    yield folder
    redis.client().flushdb()


@pytest.fixture
def alices(alice: User) -> Author:
    """Alice at the API, with 100 credits."""
    return Author(alice)


@pytest.fixture
def bobs(bob: User) -> Author:
    """Bob at the API, with 100 credits."""
    return Author(bob)
