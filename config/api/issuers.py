"""Whose tokens are believed besides our own, and how each is verified.

A token is routed by its own word about its issuer and then verified with that issuer's key and no
other; each entry pins its algorithms, so the token's header decides nothing. Must not know users.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import jwt
from django.conf import settings
from jwt import PyJWK, PyJWKClient
from jwt.exceptions import PyJWKClientConnectionError, PyJWTError

from config.env import SettingError

logger = logging.getLogger(__name__)

SHORTEST_SECRET_BYTES = 32  # RFC 7518, 3.2: shorter ones can be guessed from one token
LEEWAY_S = 5
FETCH_TIMEOUT_S = 3.0
FRESH_S = 600.0
STALE_S = 86400.0
REFETCH_S = 30.0
RETRY_S = 5.0
_KNOWN = {"issuer", "audience", "secret", "jwks_url", "id_claim"}


class Untrusted(Exception):
    """No issuer that we believe vouches for this token. `expired`: it was good once."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__("untrusted token")
        self.expired = expired


class KeysOutOfReach(Exception):
    """The issuer's keys cannot be fetched now, so nothing can be said about its tokens."""


@dataclass(frozen=True)
class Identity:
    """Who an outside token speaks for: `subject` is that issuer's own id of the person."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class Issuer:
    """`name` is None for the one whose secret vouches for any issuer. takes_unnamed: also for tokens that name none."""

    name: str | None
    algorithms: tuple[str, ...]
    secret: str = ""
    jwks_url: str = ""
    audience: tuple[str, ...] = ()
    id_claims: tuple[str, ...] = ("sub",)
    takes_unnamed: bool = False

    def verify(self, raw: str) -> dict[str, Any]:
        """Return the claims. Raises Untrusted or KeysOutOfReach."""
        try:
            claims = jwt.decode(
                raw,
                self._key(raw),
                algorithms=list(self.algorithms),
                audience=self.audience or None,
                leeway=LEEWAY_S,
                # The subject's form is ours to judge: some issuers write numbers.
                options={"require": ["exp"], "verify_aud": bool(self.audience), "verify_sub": False},
            )
        except jwt.ExpiredSignatureError:
            raise Untrusted(expired=True) from None
        except (PyJWTError, ValueError, TypeError, RecursionError):
            raise Untrusted from None
        named = claims.get("iss")
        if self.name is not None and named != self.name and not (self.takes_unnamed and named is None):
            raise Untrusted
        return claims

    def identity(self, claims: dict[str, Any]) -> Identity:
        """Read the person out of verified claims. Raises Untrusted when there is none."""
        if "refresh" in (claims.get("token_type"), claims.get("type"), claims.get("typ")):
            raise Untrusted
        found = next((claims[name] for name in self.id_claims if claims.get(name) not in (None, "")), None)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        issuer = claims.get("iss", "") if self.name is None else self.name
        if not _is_name(found) or not (issuer == "" or _is_name(issuer)):
            raise Untrusted
        return Identity(str(issuer), str(found))

    def _key(self, raw: str) -> str | PyJWK:
        if self.secret:
            return self.secret
        kid = jwt.get_unverified_header(raw).get("kid")
        if not isinstance(kid, str):
            raise Untrusted
        return _key_set(self.jwks_url).key(kid)


class KeySet:
    """An issuer's published keys, kept for a while.

    An unknown key id asks again, at most every REFETCH_S; a failed fetch is not repeated for RETRY_S, so
    neither made-up ids nor an outage hold our threads. A key that was seen outlives an outage for a day.
    """

    def __init__(self, url: str) -> None:
        # PyJWT's own cache holds its lock over the network and forgets that a fetch has just failed.
        self._client = PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_TIMEOUT_S)
        self._lock = threading.Lock()
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = self._next_fetch = float("-inf")
        self._is_out_of_reach = False

    def key(self, kid: str) -> PyJWK:
        """The key of that id. Raises Untrusted when the issuer has none, KeysOutOfReach when it cannot be asked."""
        if kid in self._keys and time.monotonic() - self._fetched_at < FRESH_S:
            return self._keys[kid]
        with self._lock:
            if time.monotonic() >= self._next_fetch:
                self._fetch()
            if kid in self._keys and time.monotonic() - self._fetched_at < STALE_S:
                return self._keys[kid]
            raise KeysOutOfReach if self._is_out_of_reach else Untrusted

    def _fetch(self) -> None:
        try:
            keys = self._client.get_signing_keys()
        except (PyJWTError, PyJWKClientConnectionError, OSError, ValueError) as error:
            self._is_out_of_reach = True
            self._next_fetch = time.monotonic() + RETRY_S
            logger.warning("an issuer's keys could not be fetched", extra={"code": type(error).__name__})
            return
        self._keys = {key.key_id: key for key in keys if key.key_id}
        self._is_out_of_reach = False
        self._fetched_at = time.monotonic()
        self._next_fetch = self._fetched_at + REFETCH_S


@lru_cache(maxsize=32)
def _key_set(url: str) -> KeySet:
    return KeySet(url)


def trusted(name: object) -> Issuer:
    """The issuer that must vouch for a token which names `name`. Raises Untrusted."""
    table = issuers()
    if isinstance(name, str) and name in table:
        return table[name]
    if None in table:
        return table[None]
    if name is None and (unnamed := [issuer for issuer in table.values() if issuer.takes_unnamed]):
        return unnamed[0]
    raise Untrusted


def issuers() -> dict[str | None, Issuer]:
    """The table of outside issuers by name, as the settings have it. Raises SettingError."""
    return _read(
        json.dumps(settings.JWT_ISSUERS), settings.SUPABASE_URL, settings.SUPABASE_JWT_SECRET, settings.JWT_SECRET
    )


def check() -> None:
    """Refuse unusable settings; called once at the start. Raises SettingError that names the variable."""
    _check_secret("JWT_SIGNING_KEY, or SECRET_KEY in its place,", str(settings.SIMPLE_JWT["SIGNING_KEY"]))
    issuers()


@lru_cache(maxsize=8)
def _read(entries: str, supabase_url: str, supabase_secret: str, any_secret: str) -> dict[str | None, Issuer]:
    table: dict[str | None, Issuer] = {}
    if supabase_secret and not supabase_url:
        raise SettingError("SUPABASE_URL is not set, but SUPABASE_JWT_SECRET is")
    if supabase_url:
        name = f"{supabase_url}/auth/v1"
        table[name] = _supabase(name, supabase_secret)
    if any_secret:
        secret = _check_secret("JWT_SECRET", any_secret)
        table[None] = Issuer(None, ("HS256",), secret=secret, id_claims=("sub", "user_id", "userId"))
    for index, entry in enumerate(json.loads(entries)):
        where = f"JWT_ISSUERS[{index}]"
        issuer = _entry(where, entry)
        if issuer.name in table or issuer.name == settings.SIMPLE_JWT["ISSUER"]:
            raise SettingError(f"{where}.issuer is already taken")
        table[issuer.name] = issuer
    return table


def _supabase(name: str, secret: str) -> Issuer:
    """A project that signs with its secret, or, without one, with the keys that it publishes."""
    audience = ("authenticated",)
    if not secret:
        jwks_url = _check_url("SUPABASE_URL", f"{name}/.well-known/jwks.json")
        return Issuer(name, ("RS256", "ES256"), jwks_url=jwks_url, audience=audience)
    # Its own backends never asked who had issued what the secret signed, and some of its tokens do not say.
    return Issuer(
        name, ("HS256",), secret=_check_secret("SUPABASE_JWT_SECRET", secret), audience=audience, takes_unnamed=True
    )


def _entry(where: str, entry: Any) -> Issuer:
    if not isinstance(entry, dict):
        raise SettingError(f"{where} must be an object")
    if unknown := sorted(set(entry) - _KNOWN):
        raise SettingError(f"{where} has an unknown key: {unknown[0]}")
    for name in _KNOWN - {"audience"}:
        if name in entry and not _is_name(entry[name], 4096):
            raise SettingError(f"{where}.{name} must be a text")
    if not _is_name(entry.get("issuer")):
        raise SettingError(f"{where}.issuer is needed, with at most 255 characters")
    if ("secret" in entry) == ("jwks_url" in entry):
        raise SettingError(f"{where} needs either secret or jwks_url")
    audience = entry.get("audience", [])
    audience = [audience] if isinstance(audience, str) else audience
    if not isinstance(audience, list) or not all(_is_name(one) for one in audience):
        raise SettingError(f"{where}.audience must be a text or a list of texts")
    return Issuer(
        entry["issuer"],
        ("HS256",) if "secret" in entry else ("RS256", "ES256"),
        secret=_check_secret(f"{where}.secret", entry["secret"]) if "secret" in entry else "",
        jwks_url=_check_url(f"{where}.jwks_url", entry["jwks_url"]) if "jwks_url" in entry else "",
        audience=tuple(audience),
        id_claims=(entry["id_claim"],) if "id_claim" in entry else ("sub",),
    )


def _check_secret(where: str, secret: str) -> str:
    if len(secret.encode()) < SHORTEST_SECRET_BYTES:
        raise SettingError(f"{where} must be at least {SHORTEST_SECRET_BYTES} bytes long")
    return secret


def _check_url(where: str, url: str) -> str:
    parts = urlsplit(url)
    is_near = settings.LOCAL or parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in (("https", "http") if is_near else ("https",)):
        raise SettingError(f"{where} must be a URL starting with https://")
    return url


def _is_name(value: object, longest: int = 255) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()
