"""From a bearer token to a person: our own tokens, people's personal ones, and those of outside issuers that the
settings name.

The signature is verified before the database is asked, and the database is asked once. A person whom an
outside issuer vouches for is made on first sight. Sockets use `user_for_token`, views `JWTAuthentication`.
Tokens are never logged and never kept on the request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.crypto import constant_time_compare
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token
from rest_framework_simplejwt.utils import get_md5_hash_password

from config.api import personal, sql, trace
from config.api.errors import ApiError
from config.api.issuers import Identity, KeysOutOfReach, Untrusted, trusted
from config.models import User

LONGEST_TOKEN = 8192
_SAFE_IN_A_KEY = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,199}")
_FIRST_SIGHT_LOCK = 0x0A7E11E2


class JWTAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`. Without one the view's permissions decide; a bad one is refused here."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        raw = bearer_token(request.headers.get("Authorization", ""))
        if raw is None:
            return None
        user = user_for_token(raw)
        trace.bind(user=user.pk)
        return user, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def bearer_token(header: str) -> str | None:
    """The token in an Authorization header; None when it holds none of that kind. Raises ApiError 401."""
    words = header.split()
    if not words or words[0].lower() != "bearer":
        return None
    if len(words) != 2:
        raise invalid_token()
    return words[1]


def user_for_token(raw: str) -> User:
    """The active person that a token speaks for. One query; more on an outside person's first sight.

    Raises ApiError: 401 NOT_AUTHENTICATED, TOKEN_INVALID, TOKEN_EXPIRED; 503 when an issuer's keys are out of reach.
    """
    if not raw:
        raise ApiError(401, "NOT_AUTHENTICATED", "Access denied")
    if raw.startswith(personal.PREFIX):
        return _user_of_personal_token(raw)
    claims = unverified_claims(raw)
    if claims.get("iss") == settings.SIMPLE_JWT["ISSUER"]:
        return user_of_own_token(raw, AccessToken)
    try:
        issuer = trusted(claims.get("iss"))
        identity = issuer.identity(issuer.verify(raw))
    except Untrusted as refusal:
        raise expired_token() if refusal.expired else invalid_token() from None
    except KeysOutOfReach:
        raise ApiError(
            503,
            "SERVICE_UNAVAILABLE",
            "The token cannot be checked now: its issuer does not answer.",
            headers={"Retry-After": "5"},
        ) from None
    user = _find(identity) or _make(identity)
    if not user.is_active:
        raise invalid_token()
    return user


def user_of_own_token(raw: str, kind: type[Token] = RefreshToken) -> User:
    """The person of a token that we issued, of that kind: a refresh token is no access token. One query.

    simplejwt alone would accept tokens of deleted people here, and answer their refresh with a 500.
    """
    try:
        token = kind(raw)  # type: ignore[arg-type]
    except ExpiredTokenError:
        raise expired_token() from None
    except (TokenError, RecursionError):
        raise invalid_token() from None
    try:
        key = uuid.UUID(str(token.get(api_settings.USER_ID_CLAIM)))
    except ValueError:
        raise invalid_token() from None
    user = _active_user(key)
    if user is None:
        raise invalid_token()
    # Every token dies with the password that it was got with.
    revoked_by = str(token.get(api_settings.REVOKE_TOKEN_CLAIM, ""))
    if not constant_time_compare(revoked_by, get_md5_hash_password(user.password)):
        raise invalid_token()
    return user


def _user_of_personal_token(raw: str) -> User:
    found = personal.holder(raw)
    if found is None:
        raise invalid_token()
    if found.is_expired:
        raise expired_token()
    return found.user


def _active_user(key: uuid.UUID) -> User | None:
    """Read one person. Plain SQL: every call asks this, and the ORM would think about it longer than the database."""
    names, statement = _by_key()
    with sql.cursor() as cursor:
        cursor.execute(statement, [key])
        row = cursor.fetchone()
    return User.from_db(connection.alias, names, row) if row else None


@cache
def _by_key() -> tuple[list[str], str]:
    fields = User._meta.concrete_fields
    columns = ", ".join(f'"{field.column}"' for field in fields)
    statement = f'SELECT {columns} FROM "{User._meta.db_table}" WHERE id = %s AND is_active'  # noqa: S608 no value in it
    return [field.attname for field in fields], statement


def token_expiry(raw: str) -> datetime | None:
    """When a token that was verified before expires, so that a socket can be closed then. Verifies nothing.

    None: it does not say; who keeps it asks again from time to time.
    """
    if raw.startswith(personal.PREFIX):
        return None
    expires = unverified_claims(raw).get("exp")
    try:
        return datetime.fromtimestamp(expires, UTC) if isinstance(expires, int | float) else None
    except (OverflowError, ValueError, OSError):
        return None  # beyond the calendar


def unverified_claims(raw: str) -> dict[str, Any]:
    """What the token says of itself. Raises ApiError 401 when it is no token at all.

    Only to learn whom to ask: whoever verifies it reads it again, with care, and nothing else is believed.
    """
    if len(raw) > LONGEST_TOKEN:
        raise invalid_token()
    try:
        _, payload, _ = raw.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    except (ValueError, RecursionError):
        raise invalid_token() from None
    if not isinstance(claims, dict):
        raise invalid_token()
    return claims


def invalid_token() -> ApiError:
    return ApiError(401, "TOKEN_INVALID", "Invalid token")


def expired_token() -> ApiError:
    return ApiError(401, "TOKEN_EXPIRED", "Invalid token")


def _find(identity: Identity) -> User | None:
    return User.objects.filter(issuer=identity.issuer, subject=identity.subject).exclude(subject="").first()


def _make(identity: Identity) -> User:
    """Make the person and run the hooks of NEW_USER_HOOKS, in one transaction; the second of two gets the first's."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # One newcomer at a time: names are chosen by looking at what is taken.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FIRST_SIGHT_LOCK])
        if user := _find(identity):
            return user
        user = User(
            id=_free_key(identity),
            username=_free_username(identity),
            issuer=identity.issuer,
            subject=identity.subject,
            storage_id=_free_storage_id(identity),
        )
        user.set_unusable_password()
        user.save(force_insert=True)
        for hook in settings.NEW_USER_HOOKS:
            import_string(hook)(user)
    return user


def _free_key(identity: Identity) -> uuid.UUID:
    """The subject, where it is a UUID that nobody has: the source systems' rows name their people by it."""
    try:
        key = uuid.UUID(identity.subject)
    except ValueError:
        return uuid.uuid4()
    is_free = str(key) == identity.subject and not User.objects.filter(pk=key).exists()
    return key if is_free else uuid.uuid4()


def _free_username(identity: Identity) -> str:
    """`x-` and the subject, so that nobody from outside can take the name of somebody here."""
    plain = f"x-{re.sub(r'[^A-Za-z0-9._@+-]', '-', identity.subject)[:100]}"
    taken = User.objects.filter(username=plain).exists()
    return f"{plain}-{_digest(identity)[:12]}" if taken else plain


def _free_storage_id(identity: Identity) -> str:
    """The subject, because the source systems' files lie under it; `x-` before it when it is all digits or taken.

    A subject that could step out of its folder in a storage key is replaced by a digest.
    """
    subject, digest = identity.subject, f"x-{_digest(identity)}"
    if not _SAFE_IN_A_KEY.fullmatch(subject) or ".." in subject:
        return digest
    wanted = [subject] if not subject.isdigit() else []
    wanted += [f"x-{subject}", digest]
    taken = set(User.objects.filter(storage_id__in=wanted).values_list("storage_id", flat=True))
    return next(name for name in wanted if name not in taken)


def _digest(identity: Identity) -> str:
    return hashlib.sha256(f"{identity.issuer}\0{identity.subject}".encode()).hexdigest()[:40]
