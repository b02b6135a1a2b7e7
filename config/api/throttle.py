"""Sliding windows, exact under concurrency: one Lua script on Redis' own clock, one round trip a call.

With Redis out of reach each process counts for itself, logs it once, and tries Redis again after a pause.
A refused call takes no place. Must not know who is counted or what for.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from django.conf import settings
from redis.commands.core import Script
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from config.api import redis

logger = logging.getLogger(__name__)

# KEYS: the window. ARGV: its length in µs, its limit, the mark to leave ("" only looks).
# Answers: taken (1/0), used, µs on the clock, µs when the oldest call leaves, µs when a place is free.
_HIT = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local length, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - length)
local used = redis.call('ZCARD', KEYS[1])
local taken = 0
if used < limit and ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], math.ceil(length / 1000))
  used = used + 1
  taken = 1
end
local function leaves(place)
  local entry = redis.call('ZRANGE', KEYS[1], place, place, 'WITHSCORES')
  return tonumber(entry[2] or now) + length
end
return {taken, used, now, leaves(0), leaves(math.max(0, used - limit))}
"""
_PAUSE_S = 5.0
_MOST_LOCAL_KEYS = 10_000


@dataclass(frozen=True)
class Window:
    """What the window says after one call: `reset_unix` is when its oldest call leaves it.

    `retry_after_s` is None when the call was let in. `mark` gives its place back.
    """

    limit: int
    remaining: int
    reset_unix: int
    retry_after_s: int | None = None
    mark: str = ""

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_unix),
        }


@dataclass(frozen=True)
class SlidingWindow:
    """At most `limit` calls of one key in any `window_s` seconds. A limit of 0 switches it off."""

    name: str
    limit: int
    window_s: int

    def hit(self, key: str) -> Window:
        """Take a place if one is free. One round trip."""
        return self._ask(key, secrets.token_hex(8))

    def peek(self, key: str) -> Window:
        """Look without taking a place: `retry_after_s` stays None."""
        return replace(self._ask(key, ""), retry_after_s=None)

    def give_back(self, key: str, mark: str) -> None:
        """Free the place that `mark` took, so that only failures stay counted."""
        if not mark:
            return
        name = self._name(key)
        _local.give_back(name, mark)
        if _outage.is_over():
            try:
                redis.client().zrem(name, mark)
            except redis.DOWN as error:
                _outage.begin(error)

    def _name(self, key: str) -> str:
        return f"atelier:window:{self.name}:{key}"

    def _ask(self, key: str, mark: str) -> Window:
        if self.limit <= 0:
            return Window(0, 0, 0)
        name, length = self._name(key), self.window_s * 1_000_000
        answer: Sequence[int] | None = None
        if _outage.is_over():
            try:
                answer = _script(settings.REDIS_URL)(keys=[name], args=[length, self.limit, mark])
                _outage.end()
            except redis.DOWN as error:
                _outage.begin(error)
        taken, used, now, oldest_leaves, place_free = answer or _local.hit(name, length, self.limit, mark)
        refused = not taken and used >= self.limit
        return Window(
            limit=self.limit,
            remaining=max(0, self.limit - used),
            reset_unix=math.ceil(oldest_leaves / 1_000_000),
            retry_after_s=max(1, math.ceil((place_free - now) / 1_000_000)) if refused else None,
            mark=mark if taken else "",
        )


@lru_cache(maxsize=4)
def _script(url: str) -> Script:
    return redis.client().register_script(_HIT)


class _Outage:
    """Remembers that Redis is away, so that calls do not each wait for its timeout."""

    def __init__(self) -> None:
        self._until = 0.0
        self._is_known = False
        self._lock = threading.Lock()

    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def begin(self, error: Exception) -> None:
        self._until = time.monotonic() + _PAUSE_S
        with self._lock:
            was_known, self._is_known = self._is_known, True
        if not was_known:
            logger.warning("Redis is away: windows are counted per process", extra={"code": type(error).__name__})

    def end(self) -> None:
        if not self._is_known:
            return
        with self._lock:
            was_known, self._is_known = self._is_known, False
        if was_known:
            logger.info("Redis is back: windows are shared again")


class _Local:
    """The same windows in this process's memory, for as long as Redis is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, deque[tuple[int, str]]] = {}

    def hit(self, name: str, length: int, limit: int, mark: str) -> tuple[int, int, int, int, int]:
        now = time.time_ns() // 1000
        with self._lock:
            if name not in self._calls and len(self._calls) >= _MOST_LOCAL_KEYS:
                # A flood of keys: forgetting lets some calls through, growing would end the process.
                self._calls.clear()
            calls = self._calls.setdefault(name, deque())
            while calls and calls[0][0] <= now - length:
                calls.popleft()
            taken = int(len(calls) < limit and mark != "")
            if taken:
                calls.append((now, mark))
            used = len(calls)
            oldest = calls[0][0] if calls else now
            blocking = calls[max(0, used - limit)][0] if calls else now
        return taken, used, now, oldest + length, blocking + length

    def give_back(self, name: str, mark: str) -> None:
        with self._lock:
            if calls := self._calls.get(name):
                self._calls[name] = deque(call for call in calls if call[1] != mark)


_outage = _Outage()
_local = _Local()


class UserWindowThrottle(BaseThrottle):
    """Limits one person's calls to the views that share it. A subclass names the window and its settings.

    Put `RateHeaders` before APIView on those views, so that each of their answers tells the numbers.
    """

    name: str
    limit_setting: str
    window_setting: str
    methods: Sequence[str] = ("POST",)

    def __init__(self) -> None:
        self.window: Window | None = None

    def sliding_window(self) -> SlidingWindow:
        return SlidingWindow(self.name, getattr(settings, self.limit_setting), getattr(settings, self.window_setting))

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the call whatever its answer will be: DRF asks before the body is read."""
        window, key = self.sliding_window(), str(request.user.pk)
        self.window = window.hit(key) if request.method in self.methods else window.peek(key)
        request._rate_window = self.window  # type: ignore[attr-defined]
        return self.window.retry_after_s is None

    def wait(self) -> float | None:
        return self.window.retry_after_s if self.window else None


class RateHeaders:
    """Mixin for views: X-RateLimit-* on every answer, errors too.

    A call that was refused before anybody could be counted (401) is told an untouched window.
    """

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        window = getattr(request, "_rate_window", None) or self._untouched()
        if window and window.limit:
            for name, value in window.headers().items():
                response.headers[name] = value
        return response

    def _untouched(self) -> Window | None:
        for throttle in self.get_throttles():  # type: ignore[attr-defined]
            if isinstance(throttle, UserWindowThrottle):
                window = throttle.sliding_window()
                return Window(window.limit, window.limit, math.ceil(time.time()) + window.window_s)
        return None
