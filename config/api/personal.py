"""Personal tokens: made by a person for a program of theirs, good until they are revoked, end, or the password changes.

The token itself is shown once and kept by nobody here; stored is its SHA-256, which is enough for a secret of 256
random bits. Whether it is good is asked of the database each time, so that a revoked one is refused at once.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from config.api import sql
from config.models import PersonalToken, User

PREFIX = "atl_"
# Tokens that one person may have at a time.
MOST = 20


class TooMany(Exception):
    """The person has as many tokens as one may have."""


@dataclass(frozen=True)
class Holder:
    """Whom a token speaks for, as far as it is still good."""

    user: User
    is_expired: bool


def make(owner: User, name: str, days: int | None = None) -> tuple[PersonalToken, str]:
    """Make a token; its text is to be shown now and never again. days: None for one that does not end.

    Raises TooMany.
    """
    raw = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=owner.pk)  # one after the other: they are counted
        if of(owner.pk).count() >= MOST:
            raise TooMany
        token = PersonalToken.objects.create(
            owner=owner,
            name=name,
            digest=_digest(raw),
            ending=raw[-4:],
            expires_at=timezone.now() + timedelta(days=days) if days else None,
        )
    return token, raw


def of(owner_id: UUID) -> QuerySet[PersonalToken]:
    """The tokens that a person can still use, newest first."""
    good = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return PersonalToken.objects.filter(good, owner=owner_id, revoked_at=None).order_by("-pk")


def revoke(tokens: QuerySet[PersonalToken], by: str) -> int:
    """End those of these tokens that were not ended before; say how many."""
    return tokens.filter(revoked_at=None).update(revoked_at=timezone.now(), revoked_by=by)


def holder(raw: str) -> Holder | None:
    """Whom it speaks for; None when it is none of ours, was revoked, or its person is gone or disabled.

    One query, and once a minute one more.
    """
    names, look_up, use = _statements()
    with sql.cursor() as cursor:
        cursor.execute(look_up, [_digest(raw)])
        row = cursor.fetchone()
    if row is None:
        return None
    *columns, token_id, is_expired, is_fresh = row
    if not is_expired and not is_fresh:
        with sql.cursor() as cursor:
            cursor.execute(use, [token_id])
    return Holder(User.from_db(connection.alias, names, columns), is_expired)


@cache
def _statements() -> tuple[list[str], str, str]:
    """The columns of a person, the statement that finds one by a token's digest, and the one that notes its use:
    to the minute, because not every call is worth a write.
    """
    fields, users, tokens = User._meta.concrete_fields, User._meta.db_table, PersonalToken._meta.db_table
    columns = ", ".join(f'u."{field.column}"' for field in fields)
    look_up = (
        f"SELECT {columns}, t.id, coalesce(t.expires_at <= now(), false),"  # noqa: S608 no value in it
        " coalesce(t.last_used_at >= now() - interval '1 minute', false)"
        f' FROM "{tokens}" t JOIN "{users}" u ON u.id = t.owner_id'
        " WHERE t.digest = %s AND t.revoked_at IS NULL AND u.is_active"
    )
    use = (
        f'UPDATE "{tokens}" SET last_used_at = now() WHERE id = %s'  # noqa: S608 no value in it
        " AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')"
    )
    return [field.attname for field in fields], look_up, use


def _digest(raw: str) -> str:
    return hashlib.sha256(raw.encode()).hexdigest()
