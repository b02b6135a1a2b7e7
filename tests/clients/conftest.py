"""One whole desk for all worked clients: web, worker and simulator, as processes on the database under test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection, transaction
from django.test import override_settings

from config.models import User
from credits import ledger
from tests.doors.poses.desk import make_pose
from tests.generation.processes import environment, program, until, worker
from tests.simulator import Remote

NAME, PASSWORD = "wanda", "wandas own password"


@pytest.fixture(scope="module")
def desk(
    django_db_setup: None, django_db_blocker: Any, simulator_server: Remote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Its address; up until the module's last test."""
    folder = tmp_path_factory.mktemp("desk")
    with ExitStack() as stack:
        files = {"BACKEND": "generation.storage.LocalFiles", "OPTIONS": {"location": str(folder / "media")}}
        stack.enter_context(override_settings(STORAGES={**settings.STORAGES, "default": files}))
        with django_db_blocker.unblock():
            told = environment(folder / "media", LOCAL="1", LEASE_S="20", TRIPO_POLL_S="0.3", REPLICATE_POLL_S="0.3")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        web = ["-m", "uvicorn", "config.asgi:application", "--port", str(port), "--log-level", "warning"]
        process = stack.enter_context(program(web, told, folder / "web.log"))
        stack.enter_context(worker(told, folder / "worker.log"))
        base = f"http://127.0.0.1:{port}"
        until(lambda: _is_ready(base), "the desk is ready", process)
        yield base


@pytest.fixture
def customer(transactional_db: None, desk: str, simulator_server: Remote) -> User:
    """Somebody with 100 credits, at a desk with one pose in its library and providers that take a moment.

    The password is stored as the web process reads it, which knows nothing of this run's cheap ones.
    """
    simulator_server.reset(delay_s=0.3)
    make_pose("Standing tall", "standing")
    hasher = PBKDF2PasswordHasher()
    with transaction.atomic():
        user = User.objects.create(username=NAME, password=hasher.encode(PASSWORD, hasher.salt()))
        ledger.open_account(user, signup_grant=False)
        ledger.grant(user.pk, 100, reference=f"test:{user.pk}", description="Credits to begin with")
    connection.close()
    return user


def _is_ready(base: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(f"{base}/health/ready", timeout=5).ok
        except requests.ConnectionError:
            return False
