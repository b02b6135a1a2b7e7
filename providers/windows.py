"""A vendor's requests-per-window limit, shared by all workers: exact in Redis, per process without it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from config.api import redis as desk_redis
from providers.errors import RateLimited

log = logging.getLogger(__name__)

# One sorted set of the calls of the last window, by Redis' own clock. Answers 0, or milliseconds to wait.
_TAKE = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms - window)
if redis.call('ZCARD', KEYS[1]) < limit then
  redis.call('ZADD', KEYS[1], ms, now[1] .. '.' .. now[2] .. ':' .. redis.call('INCR', KEYS[1] .. ':n'))
  redis.call('PEXPIRE', KEYS[1], window)
  redis.call('PEXPIRE', KEYS[1] .. ':n', window)
  return 0
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return math.max(1, oldest[2] + window - ms)
"""

_lock = threading.Lock()
_local: dict[str, deque[float]] = {}


def take(name: str, limit: int, window_s: float) -> None:
    """Count one call against a window. Raises RateLimited with the time to wait when it is full.

    limit 0 is no limit. Costs one round trip to Redis.
    """
    if limit <= 0:
        return
    try:
        wait_ms = int(
            desk_redis.client().register_script(_TAKE)(
                keys=[f"atelier:window:{name}"], args=[int(window_s * 1000), limit]
            )
        )
    except desk_redis.DOWN:
        log.warning("redis is down, the window is counted per process", extra={"window": name})
        wait_ms = _take_locally(name, limit, window_s)
    if wait_ms:
        raise RateLimited(retry_after_s=min(300.0, max(1.0, wait_ms / 1000)), detail=f"our own window {name} is full")


def _take_locally(name: str, limit: int, window_s: float) -> int:
    now = time.monotonic()
    with _lock:
        calls = _local.setdefault(name, deque())
        while calls and calls[0] <= now - window_s:
            calls.popleft()
        if len(calls) < limit:
            calls.append(now)
            return 0
        return max(1, int((calls[0] + window_s - now) * 1000))
