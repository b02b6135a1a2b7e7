"""Who is at the other end of a socket, and from which page: tokens, session cookies, origins.

A credential is kept as long as its socket, because it is checked again on each subscribe, when it expires,
and every minute: a disabled or logged-out person does not stay. Checks ask the database; call them through
`reader.ask`. Nothing here is ever logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import parse_qs
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils import timezone

from config.api import addresses, refusals
from config.api.auth import bearer_token, invalid_token, token_expiry, user_for_token
from config.api.errors import ApiError

CHECK_AGAIN_S = 60.0
SUBPROTOCOL = "bearer"

Scope = Mapping[str, Any]


@dataclass(frozen=True)
class Person:
    """Somebody who may use a socket, until `check_at`, when the credential is to be checked again."""

    user_id: UUID
    is_staff: bool
    check_at: datetime


class Credential(Protocol):
    def check(self) -> Person:
        """Say who this speaks for. Raises ApiError 401, or 503 when it cannot be said now."""


@dataclass(frozen=True)
class Token:
    raw: str

    def check(self) -> Person:
        user = user_for_token(self.raw)
        return Person(user.pk, user.is_staff, min(_soon(), token_expiry(self.raw) or _soon()))

    def __repr__(self) -> str:
        return "Token(…)"


@dataclass(frozen=True)
class Session:
    key: str

    def check(self) -> Person:
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(self.key)
        user = get_user(request)
        if not user.is_authenticated:
            raise ApiError(401, "NOT_AUTHENTICATED", "Access denied")
        if not user.is_active:
            raise invalid_token()
        return Person(user.pk, user.is_staff, _soon())

    def __repr__(self) -> str:
        return "Session(…)"


def _soon() -> datetime:
    return timezone.now() + timedelta(seconds=CHECK_AGAIN_S)


def offered_token(scope: Scope, *, by_query: bool) -> Token | None:
    """The token that came with the handshake: header, subprotocol pair, or `?token=` where that is allowed.

    Raises ApiError 401 for a header that holds none.
    """
    if (raw := bearer_token(header(scope, b"authorization"))) is not None:
        return Token(raw)
    protocols = list(scope.get("subprotocols", ()))
    if len(protocols) >= 2 and protocols[0] == SUBPROTOCOL:
        return Token(protocols[1])
    if by_query:
        found = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token")
        if found:
            return Token(found[0])
    return None


def offered_session(scope: Scope) -> Session | None:
    """The session cookie of the handshake. Only to be believed from a page of ours: see `is_known_origin`."""
    key = parse_cookie(header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME, "")
    return Session(key) if key else None


def count_refusal(scope: Scope) -> bool:
    """Count a refused credential against its address; True when the address is beyond its limit."""
    return refusals.count(addresses.of_scope(scope)).retry_after_s is not None


def origin(scope: Scope) -> str:
    """The page that opened the socket; empty for programs, which send none."""
    return header(scope, b"origin")


def is_known_origin(scope: Scope) -> bool:
    """Say whether the page is one of ours, or of those that CORS_ORIGIN names."""
    return origin(scope) in (base_url(scope), *settings.CORS_ALLOWED_ORIGINS, *settings.CSRF_TRUSTED_ORIGINS)


def is_known_host(scope: Scope) -> bool:
    """Say whether the socket was opened by a name that is ours, as HTTP requires too."""
    host = header(scope, b"host")
    return not host or validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)


def base_url(scope: Scope) -> str:
    """Scheme and host that the client came by, for links."""
    is_secure = scope.get("scheme") in ("wss", "https")
    if settings.TRUSTED_PROXIES and (forwarded := header(scope, b"x-forwarded-proto")):
        is_secure = forwarded == "https"
    return f"{'https' if is_secure else 'http'}://{header(scope, b'host') or 'localhost'}"


def header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope.get("headers", ()) if key == name), "")
