"""Keys out of AWS Secrets Manager: a secret of plain text for each, kept in this process for an hour.

A value that was read once outlives every failed read after it, and who holds one never waits while another thread
reads. There is no way around it to the environment. Values are never logged; ARN and version are.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

log = logging.getLogger(__name__)

FRESH_S = 3600.0
# After a read that failed, so that an outage, or a secret that is not there, is not asked about by every call.
AGAIN_S = 60.0
RETRIES = 3
CONNECT_S, READ_S = 2, 5


class Unreadable(Exception):
    """A secret that was never read and cannot be read now. The text says why, and holds no value."""


@dataclass(frozen=True)
class _Known:
    """What is known of a secret. value: None when it was never read. trouble: why the last read failed."""

    value: str | None
    until: float
    trouble: str = ""


class Vault:
    """The secrets that this process has read. Safe for threads."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._reading: dict[str, threading.Lock] = {}
        self._beside: set[str] = set()
        self._lock = threading.Lock()
        self._made: Any = None

    def value(self, name: str) -> str:
        """The secret's text; reads it when what is known is older than an hour. Raises Unreadable."""
        known = self._known.get(name)
        if known is None or _now() >= known.until:
            known = self._refreshed(name, known)
        if known.value is None:
            raise Unreadable(f"the secret {name} cannot be read: {known.trouble}")
        return known.value

    def has(self, name: str) -> bool:
        """Whether there is a value. Reads only what was never asked for; older knowledge is renewed beside the caller.

        So that a caller in the middle of a transaction does not wait for the network.
        """
        known = self._known.get(name)
        if known is None:
            known = self._refreshed(name, known)
        elif _now() >= known.until:
            self._read_beside(name, known)
        return known.value is not None

    def _read_beside(self, name: str, known: _Known) -> None:
        """Read by a thread of its own, one for each secret: while nobody answers there, every caller comes by here."""

        def read() -> None:
            try:
                self._refreshed(name, known)
            finally:
                self._beside.discard(name)

        with self._lock:
            if name in self._beside:
                return
            self._beside.add(name)
        threading.Thread(target=read, name="secrets", daemon=True).start()

    def _refreshed(self, name: str, known: _Known | None) -> _Known:
        """Read once for all threads that ask at the same time."""
        with self._lock:
            reading = self._reading.setdefault(name, threading.Lock())
        older = known if known and known.value else None
        if not reading.acquire(blocking=older is None):
            return older  # type: ignore[return-value]  # only with one does it not wait
        try:
            newest = self._known.get(name)
            if newest is None or _now() >= newest.until:
                newest = self._known[name] = self._read(name, newest.value if newest else None)
            return newest
        finally:
            reading.release()

    def _read(self, name: str, last: str | None) -> _Known:
        try:
            answer = self._client().get_secret_value(SecretId=name)
        except (ClientError, BotoCoreError) as error:
            trouble = _trouble(error)
        else:
            if value := answer.get("SecretString", "").strip():
                log.info("a secret was read", extra={"arn": answer["ARN"], "version": answer["VersionId"]})
                return _Known(value, _now() + FRESH_S)
            trouble = "it holds no text"
        log.warning("the secret %s cannot be read: %s", name, trouble, extra={"code": "SECRETS_UNAVAILABLE"})
        return _Known(last, _now() + AGAIN_S, trouble)

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                # A session of our own: boto3's shared one is not safe for threads.
                self._made = boto3.session.Session().client(
                    "secretsmanager",
                    region_name=settings.SECRETS_REGION,
                    endpoint_url=settings.SECRETS_ENDPOINT_URL or None,
                    config=Config(
                        connect_timeout=CONNECT_S,
                        read_timeout=READ_S,
                        retries={"mode": "standard", "total_max_attempts": 1 + RETRIES},
                    ),
                )
            return self._made


@cache
def vault() -> Vault:
    return Vault()


def _trouble(error: ClientError | BotoCoreError) -> str:
    """AWS' own code, which says what to do about it; of our side's errors the class."""
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    return type(error).__name__


def _now() -> float:
    return time.monotonic()
