"""A vendor's requests-per-window limits, shared by all workers: exact in Redis, per process without it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping

from redis.exceptions import RedisError

from config.api import redis as desk_redis
from providers.errors import RateLimited

log = logging.getLogger(__name__)

# One sorted set for each window, of the calls of its last seconds by Redis' own clock. A call is counted in all or
# in none, so that one full window does not eat the room of another. Answers 0, or milliseconds to wait.
_TAKE = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local wait = 0
for i, key in ipairs(KEYS) do
  local window, limit = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', ms - window)
  if redis.call('ZCARD', key) >= limit then
    local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    wait = math.max(wait, 1, oldest[2] + window - ms)
  end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, ms, now[1] .. '.' .. now[2] .. ':' .. redis.call('INCR', key .. ':n'))
  redis.call('PEXPIRE', key, ARGV[2 * i - 1])
  redis.call('PEXPIRE', key .. ':n', ARGV[2 * i - 1])
end
return 0
"""

_lock = threading.Lock()
_local: dict[str, deque[float]] = {}


def take(name: str, *windows: tuple[int, float]) -> None:
    """Count one call against all of a vendor's windows, (requests, seconds) each; 0 requests is no limit.

    Raises RateLimited with the time to wait when one of them is full. Costs one round trip to Redis.
    """
    limited = {f"{name}:{seconds:g}": (limit, seconds) for limit, seconds in windows if limit > 0}
    if not limited:
        return
    try:
        wait_ms = int(
            desk_redis.client().register_script(_TAKE)(
                keys=[f"atelier:window:{key}" for key in limited],
                args=[number for limit, seconds in limited.values() for number in (int(seconds * 1000), limit)],
            )
        )
    except RedisError as error:  # also one that is full, or a replica by now, and refuses to write
        log.warning("redis is down, windows are counted per process: %s", type(error).__name__)
        wait_ms = _take_locally(limited)
    if wait_ms:
        raise RateLimited(retry_after_s=min(300.0, max(1.0, wait_ms / 1000)), detail="our own window is full")


def _take_locally(limited: Mapping[str, tuple[int, float]]) -> int:
    now, wait_ms = time.monotonic(), 0
    with _lock:
        for key, (limit, seconds) in limited.items():
            calls = _local.setdefault(key, deque())
            while calls and calls[0] <= now - seconds:
                calls.popleft()
            if len(calls) >= limit:
                wait_ms = max(wait_ms, 1, int((calls[0] + seconds - now) * 1000))
        if not wait_ms:
            for key in limited:
                _local[key].append(now)
    return wait_ms
