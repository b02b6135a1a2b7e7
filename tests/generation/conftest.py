"""The engine under test: real PostgreSQL and Redis, the adapters, and the simulator over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from generation import audit
from tests.simulator import Remote


@pytest.fixture(autouse=True)
def media(tmp_path: Path, settings: Any) -> Path:
    """Every test stores its files in a folder of its own."""
    folder = tmp_path / "media"
    settings.MEDIA_ROOT = folder
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "generation.storage.LocalFiles", "OPTIONS": {"location": str(folder)}},
    }
    return folder


@pytest.fixture
def vendors(simulator: Remote, settings: Any) -> Remote:
    """The simulator; about a parked call is asked when a test lets that time come."""
    settings.HUGGINGFACE = {**settings.HUGGINGFACE, "POLL_S": 60.0}
    return simulator


@pytest.fixture
def audited() -> Iterator[None]:
    """After the story the audit must be clean, the books as well as the items."""
    yield
    connection.close_if_unusable_or_obsolete()
    assert audit.check() == []
