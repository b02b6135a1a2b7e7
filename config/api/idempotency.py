"""One answer per Idempotency-Key: a repeat within a day gets the stored answer, and nothing is charged again.

The row is written in the same transaction as the charge, so there is never one without the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from config.api import errors, sql
from config.api.errors import ApiError
from config.models import Idempotency

# Plain SQL, because each submit pays for it: through the ORM these cost three times as much. Lock and look
# are one question, so the look may be older than the lock: an answer that was stored in between is found by
# _KEEP, which changes no row that still counts.
_LOOK = """
stored AS MATERIALIZED (
    SELECT fingerprint, status, body FROM config_idempotency
    WHERE owner_id = %(owner)s AND method = %(method)s AND path = %(path)s AND key = %(key)s
      AND created_at > now() - interval '24 hours')
"""
_LOOKED = (
    "pg_try_advisory_xact_lock(%(lock)s)",
    "(SELECT fingerprint FROM stored)",
    "(SELECT status FROM stored)",
    "(SELECT body FROM stored)",
)
_KEEP = """
INSERT INTO config_idempotency AS stored (owner_id, method, path, key, fingerprint, status, body, created_at)
VALUES (%(owner)s, %(method)s, %(path)s, %(key)s, %(fingerprint)s, %(status)s, %(body)s, now())
ON CONFLICT (owner_id, method, path, key) DO UPDATE
   SET fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
       created_at = excluded.created_at
 WHERE stored.created_at <= now() - interval '24 hours'
"""


class _Answered(Exception):
    """The same call was answered while this one was on its way: what it did must be undone."""


@dataclass(frozen=True)
class _Scope:
    """Whose key it is, and for what: calls that share it share one answer."""

    owner: UUID
    method: str
    path: str
    key: str

    @property
    def lock(self) -> int:
        name = "\0".join(("idempotency", str(self.owner), self.method, self.path, self.key))
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def answer_once(
    request: Request, produce: Callable[[], Response], *, beside: sql.Asker | None = None, path: str = ""
) -> Response:
    """Run `produce` in one transaction and answer with what it returns, once per key.

    `produce` charges, stores and returns its Response, or raises; an exception that means 402 is stored
    as the answer, any other leaves the key free. Without a key it simply runs in a transaction.
    beside: what `produce` has to know may be asked together with the stored answer.
    path: the one by which a route with several is known, so that a key holds under all of them.
    Raises ApiError: 400 IDEMPOTENCY_KEY_INVALID, 409 IDEMPOTENCY_IN_PROGRESS, 422 IDEMPOTENCY_KEY_REUSED.
    Costs two statements with a key, none without.
    """
    key = read_key(request.headers.get("Idempotency-Key"))
    if key is None:
        with transaction.atomic():
            return produce()
    scope = _scope(request, key, path)
    fingerprint = fingerprint_of(request.data)
    try:
        return _answer(scope, fingerprint, produce, beside)
    except _Answered:
        return _answer(scope, fingerprint, produce, beside)
    except Exception as error:
        problem = errors.read(error)
        if problem.status != 402:
            raise
    # What the refused call had written is undone; the refusal is kept in a transaction of its own.
    return _answer(scope, fingerprint, lambda: errors.answer(problem, request.path))


def _answer(
    scope: _Scope, fingerprint: str, produce: Callable[[], Response], beside: sql.Asker | None = None
) -> Response:
    with transaction.atomic():
        if stored := _look(scope, beside):
            return _replay(stored, fingerprint)
        response = produce()
        if 200 <= response.status_code < 300 or response.status_code == 402:
            _keep(scope, fingerprint, response)
        return response


def await_turn(request: Request) -> None:
    """Wait until no other call with this key is being answered, where a refusal would help nobody.

    Must run inside the transaction in which `answer_once` is asked afterwards: it is the same lock.
    """
    if key := read_key(request.headers.get("Idempotency-Key")):
        with sql.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_scope(request, key).lock])


def answered(request: Request, *, path: str = "") -> Response | None:
    """The stored answer to a call that comes again: to be asked before costly preparations. None without one.

    Raises ApiError as `answer_once` does, which must be asked all the same. Costs one statement with a key.
    """
    key = read_key(request.headers.get("Idempotency-Key"))
    if key is None:
        return None
    scope = _scope(request, key, path)
    with transaction.atomic():
        stored = _look(scope)
    return _replay(stored, fingerprint_of(request.data)) if stored else None


def forget(request: Request) -> None:
    """Let a call be made again with its key: what it was answered for has been taken back. One statement with a key."""
    if key := read_key(request.headers.get("Idempotency-Key")):
        mine = Idempotency.objects.filter(owner=request.user.pk, method=str(request.method), path=request.path, key=key)
        mine.delete()


def _scope(request: Request, key: str, path: str = "") -> _Scope:
    return _Scope(cast(UUID, request.user.pk), str(request.method), path or request.path, key)


def read_key(header: str | None) -> str | None:
    """The key out of the header, its optional quotes off; None without a header."""
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 8 <= len(key) <= 255 or not all("!" <= letter <= "~" for letter in key):
        raise ApiError(400, "IDEMPOTENCY_KEY_INVALID", "The Idempotency-Key must be 8 to 255 visible ASCII characters.")
    return key


def fingerprint_of(body: Any) -> str:
    """SHA-256 of the body in canonical JSON: the same for the same values in any order and spacing."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def _look(scope: _Scope, beside: sql.Asker | None = None) -> tuple[str, int, str] | None:
    """Lock the scope until the transaction ends and return the stored answer: fingerprint, status, body (JSON text).

    One older than a day is as absent. Raises ApiError 409 while the first call holds the lock.
    """
    looked, *found = sql.run(
        sql.Part(_LOOK, _LOOKED, {**vars(scope), "lock": scope.lock}), *([beside.part] if beside else ())
    )
    if beside:
        beside.take(*found)
    got, fingerprint, status, body = looked
    if got:
        return None if status is None else (fingerprint, status, body)
    raise ApiError(
        409,
        "IDEMPOTENCY_IN_PROGRESS",
        "A request with this Idempotency-Key is still being answered.",
        headers={"Retry-After": "1"},
    )


def _replay(stored: tuple[str, int, str], fingerprint: str) -> Response:
    known, status, body = stored
    if known != fingerprint:
        raise ApiError(422, "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key was used for another body. Take a new key.")
    response = Response(
        json.loads(body),
        status=status,
        headers={"Idempotency-Replayed": "true"},
        content_type=errors.CONTENT_TYPE if status >= 400 else None,
    )
    response._has_been_logged = status >= 400  # type: ignore[attr-defined]
    return response


def _keep(scope: _Scope, fingerprint: str, response: Response) -> None:
    """Store the answer. Raises _Answered when there is one already."""
    body = json.dumps(response.data, cls=JSONEncoder)
    with sql.cursor() as cursor:
        cursor.execute(_KEEP, {**vars(scope), "fingerprint": fingerprint, "status": response.status_code, "body": body})
        if cursor.rowcount == 0:
            raise _Answered
