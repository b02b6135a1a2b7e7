"""The process's one Redis client for short questions: windows, health. Bells and hints have their own."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

DOWN = (ConnectionError, TimeoutError)


def client() -> Redis:
    """The shared client. It opens connections as needed and never waits for one to become free."""
    return _client(settings.REDIS_URL)


@lru_cache(maxsize=4)
def _client(url: str) -> Redis:
    # One retry, for a connection that Redis closed meanwhile; more would only lengthen an outage's answers.
    return Redis.from_url(
        url, socket_timeout=1, socket_connect_timeout=1, max_connections=1000, retry=Retry(NoBackoff(), 1)
    )
