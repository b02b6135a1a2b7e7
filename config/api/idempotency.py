"""One answer per Idempotency-Key: a repeat within a day gets the stored answer, and nothing is charged again.

The row is written in the same transaction as the charge, so there is never one without the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from config.api import errors
from config.api.errors import ApiError

# Plain SQL, because each submit pays for it: through the ORM these two cost three times as much.
_LOOK = """
SELECT fingerprint, status, body FROM config_idempotency
 WHERE owner_id = %s AND method = %s AND path = %s AND key = %s AND created_at > now() - interval '24 hours'
"""
_KEEP = """
INSERT INTO config_idempotency (owner_id, method, path, key, fingerprint, status, body, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, now())
ON CONFLICT (owner_id, method, path, key) DO UPDATE
   SET fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
       created_at = excluded.created_at
"""


def answer_once(request: Request, produce: Callable[[], Response]) -> Response:
    """Run `produce` in one transaction and answer with what it returns, once per key.

    `produce` charges, stores and returns its Response, or raises; an exception that means 402 is stored
    as the answer, any other leaves the key free. Without a key it simply runs in a transaction.
    Raises ApiError: 400 IDEMPOTENCY_KEY_INVALID, 409 IDEMPOTENCY_IN_PROGRESS, 422 IDEMPOTENCY_KEY_REUSED.
    Costs three statements with a key, none without.
    """
    key = read_key(request.headers.get("Idempotency-Key"))
    with transaction.atomic():
        if key is None:
            return produce()
        scope = {"owner_id": request.user.pk, "method": request.method, "path": request.path, "key": key}
        fingerprint = fingerprint_of(request.data)
        # Two statements: the row must be looked up in a snapshot taken after the lock was got, or a repeat
        # that waited out the first one's commit would not see it.
        _lock(scope)
        if stored := _stored(scope):
            return _replay(stored, fingerprint)
        response = _produce(request, produce)
        if 200 <= response.status_code < 300 or response.status_code == 402:
            _store(scope, fingerprint, response)
        return response


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
    return hashlib.sha256(canonical.encode()).hexdigest()


def _lock(scope: dict[str, Any]) -> None:
    """Take the scope's lock until the transaction ends, or refuse: the first call is still running."""
    name = "\0".join(str(part) for part in ("idempotency", *scope.values()))
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        row = cursor.fetchone()
    if not (row and row[0]):
        raise ApiError(
            409,
            "IDEMPOTENCY_IN_PROGRESS",
            "A request with this Idempotency-Key is still being answered.",
            headers={"Retry-After": "1"},
        )


def _stored(scope: dict[str, Any]) -> tuple[str, int, str] | None:
    """Fingerprint, status and body (JSON text) of the stored answer; one older than a day is as absent."""
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, [*scope.values()])
        return cursor.fetchone()


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


def _produce(request: Request, produce: Callable[[], Response]) -> Response:
    """Charge and rows are a savepoint: a 402 undoes them and is stored all the same."""
    try:
        with transaction.atomic():
            return produce()
    except Exception as error:
        if errors.read(error).status != 402:
            raise
        return errors.answer(errors.read(error), request.path)


def _store(scope: dict[str, Any], fingerprint: str, response: Response) -> None:
    body = json.dumps(response.data, cls=JSONEncoder)
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [*scope.values(), fingerprint, response.status_code, body])
