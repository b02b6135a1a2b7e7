"""One furnished house for all tests of a file: its rows are committed, and gone when the file is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from config.api import redis
from generation.doors.makeit3d.catalogue import BY_NAME
from generation.live import pulse
from tests.db import restore_rows
from tests.simulator import Remote
from tests.site import house as houses
from tests.site.house import House


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database, for a whole file: what is written stays until its last test is done."""
    with django_db_blocker.unblock():
        yield
        restore_rows()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the house's files lie; nobody is limited, and retries are due at once."""
    media = tmp_path_factory.mktemp("media")
    local = {"BACKEND": "generation.storage.LocalFiles", "OPTIONS": {"location": str(media)}}
    with override_settings(
        MEDIA_ROOT=media,
        STORAGES={**settings.STORAGES, "default": local},
        VISUAL_PROVIDER_ORDER=["openai", "huggingface"],
        MAKEIT3D_RETRY_BASE_S=0,
        MAKEIT3D_PER_MINUTE=dict.fromkeys(BY_NAME, 0),
        MAKEIT3D_READS_PER_MINUTE=0,
        MAKEIT3D_UPLOADS_PER_MINUTE=0,
    ):
        redis.client().flushdb()
        yield media
        redis.client().flushdb()


@pytest.fixture(scope="module")
def house(committed: None, folder: Path, simulator_server: Remote) -> House:
    return houses.build(simulator_server)


@pytest.fixture(autouse=True)
def fresh_figures() -> Iterator[None]:
    """Let no test see figures that another one read."""
    pulse.forget()
    yield
    pulse.forget()
