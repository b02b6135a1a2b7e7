from __future__ import annotations

from collections.abc import Iterator

import pytest
from rest_framework.test import APIClient

from config.api import redis
from config.models import User


@pytest.fixture(autouse=True)
def empty_windows() -> Iterator[None]:
    """Nobody has called yet."""
    client = redis.client()  # a test may put another one in its place
    client.flushdb()
    yield
    client.flushdb()


@pytest.fixture
def client() -> APIClient:
    """A stranger."""
    return APIClient()


@pytest.fixture
def alice(db: None) -> User:
    """A person and nothing else: this room knows no credits."""
    return User.objects.create_user("alice", password="alice")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password="bob")
