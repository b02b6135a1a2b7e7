"""Connections that keep a deadline and know whether anything was sent.

requests bounds each single read, so a server that drips a byte a second holds a thread for ever, in the
headers as in the body. Here every read of the socket gets at most what is left of the call's deadline.
And whether a failed call may have been processed (and billed) is not guessed from the exception's name:
the connection notes the moment at which the request starts to leave.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from typing import Any, cast

import certifi
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

# A kept connection idle for longer is not used again: vendors close theirs at 5 s and later, and a
# request that meets such a close looks exactly like a lost answer.
IDLE_S = 4.0


class DeadlinePassed(TimeoutError):
    """The call's total deadline is over."""


class Deadline:
    """The end of a call on the monotonic clock, and how far the call got."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.was_sent = False

    def left_s(self) -> float:
        return self._end - time.monotonic()

    def bound(self, seconds: float | None) -> float:
        """The lesser of `seconds` and what is left. Raises DeadlinePassed when nothing is."""
        left = self.left_s()
        if left <= 0:
            raise DeadlinePassed("the total deadline has passed")
        return left if seconds is None else min(left, seconds)


# The call that this thread is making; connections are chosen by the pool, far below the caller.
_call = threading.local()


class Watched:
    """With this, calls of this thread keep `deadline` and give no single read more than `read_timeout_s`."""

    def __init__(self, deadline: Deadline, read_timeout_s: float | None) -> None:
        self._now = (deadline, read_timeout_s)

    def __enter__(self) -> None:
        _call.now = self._now

    def __exit__(self, *exc: object) -> None:
        _call.now = None


class TimedReader(io.RawIOBase):
    """A socket's bytes, each read of which is bounded by what is left of the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline, read_timeout_s: float | None):
        self._raw, self._sock = raw, sock
        self._deadline, self._read_timeout_s = deadline, read_timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.bound(self._read_timeout_s))
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        now = getattr(_call, "now", None)
        if now:
            self.fp = io.BufferedReader(TimedReader(self.fp.detach(), sock, *now))


class _Timed:
    """What both kinds of connection add to urllib3's."""

    response_class: Any = TimedResponse
    sock: Any
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        fresh = time.monotonic() - self._used_at < IDLE_S
        return fresh and super().is_connected  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        now = getattr(_call, "now", None)
        if now and self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # here, so that its failure is known to precede sending
        if now:
            deadline, _ = now
            # The default would be the connect timeout, too short for a 20 MB picture on a slow line.
            self.timeout = deadline.bound(None)
            self.sock.settimeout(self.timeout)
            deadline.was_sent = True
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self) -> Any:
        self._used_at = time.monotonic()
        return super().getresponse()  # type: ignore[misc]


class _TimedHTTP(_Timed, HTTPConnection):
    pass


class _TimedHTTPS(_Timed, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTP

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn._used_at = time.monotonic()
        super()._put_conn(conn)


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPS

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn._used_at = time.monotonic()
        super()._put_conn(conn)


class TimedAdapter(HTTPAdapter):
    """requests' adapter over these connections; it retries nothing.

    The CA bundle is read once here: requests names it to each connection, which costs 15 ms of CPU a time.
    `trust_env=False` also ignores REQUESTS_CA_BUNDLE, so a private one is a setting.
    """

    def __init__(self, ca_bundle: str = "") -> None:
        self._tls = ssl.create_default_context(cafile=ca_bundle or certifi.where())
        super().__init__(pool_connections=32, pool_maxsize=256, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, ssl_context=self._tls, **kwargs
        )
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"
