"""One furnished house for all tests of a file: its rows are committed, and gone when the file is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from config.api import redis
from generation import queue
from generation.doors.makeit3d.catalogue import BY_NAME
from generation.live import pulse
from tests.db import all_rows, restore_rows
from tests.simulator import Remote
from tests.site import house as houses
from tests.site.house import House
from tests.site.server import serving


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database, for a whole file: what is written stays until its last test is done."""
    with django_db_blocker.unblock():
        yield
        restore_rows()


@pytest.fixture(scope="session")
def media_of_the_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def folder(media_of_the_house: Path) -> Iterator[Path]:
    """Where the house's files lie; nobody is limited, and retries are due at once."""
    media = media_of_the_house
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


@pytest.fixture(scope="session")
def built() -> list[tuple[House, dict[str, bytes]]]:
    """The house and its rows as they were when it was new; empty until the first file asks for it."""
    return []


@pytest.fixture(scope="module")
def house(committed: None, folder: Path, simulator_server: Remote, built: Any) -> House:
    """Built once, by real work; every other file gets it as new."""
    if not built:
        built.append((houses.build(simulator_server), all_rows()))
    found, rows = built[0]
    restore_rows(rows)
    queue.ring(1)  # Redis begins empty for each file
    return found


@pytest.fixture(scope="session")
def base(django_db_setup: None) -> Iterator[str]:
    """The address of the web for browsers. One for all files: the application ends with its first server."""
    with serving() as address:
        yield address


@pytest.fixture(autouse=True)
def fresh_figures() -> Iterator[None]:
    """Let no test see figures that another one read."""
    pulse.forget()
    yield
    pulse.forget()
