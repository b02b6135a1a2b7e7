"""The one writer of credits.

Every verb posts one entry and moves the balance with it, in one SQL statement, and returns the
entry, or None when that (kind, reference) was already posted: nothing is changed then, also when
two connections post it at the same moment. Amounts are whole and positive, the verb gives the
direction; only `adjust` takes a sign. Posting verbs must run inside a transaction, so that money
and what it pays for are stored together; they hold the account's row until its end, as the last
lock after requests and items.

An account that does not exist yet is opened on first use. Reference and subject are opaque text;
`metadata` is what the customer may read beside the line (see `credits.models.Entry`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.utils import timezone

from config.api import sql
from credits import statements
from credits.errors import InsufficientCredits, QuotaExhausted
from credits.models import Account, Entry, Kind

Metadata = Mapping[str, Any] | None


@dataclass(frozen=True)
class History:
    """A page of entries, newest first, and how many the account has in all."""

    entries: list[Entry]
    total: int


@dataclass(frozen=True)
class Fault:
    """A broken promise: `rule` is chain, balance, seq, total_purchased or total_earned.

    `seq` names the entry, None the account itself.
    """

    account_id: UUID
    rule: str
    seq: int | None
    expected: int
    found: int


# --- Accounts ------------------------------------------------------------------------------------


def open_account(user: AbstractBaseUser | UUID, signup_grant: bool = True) -> Account:
    """Return the account, made when there is none; whoever makes it books the signup grant, once.

    Without `signup_grant` it starts empty and never gets the grant later.
    """
    owner_id: UUID = user if isinstance(user, UUID) else user.pk
    with transaction.atomic():
        account, is_new = Account.objects.get_or_create(owner_id=owner_id)
        if is_new and signup_grant and settings.SIGNUP_GRANT_CREDITS:
            grant(
                owner_id,
                settings.SIGNUP_GRANT_CREDITS,
                reference=f"signup:{owner_id}",
                description="Welcome credits",
            )
            account.refresh_from_db()
    return account


def balance(owner_id: UUID) -> int:
    return open_account(owner_id).balance


def history(owner_id: UUID, limit: int = 50, offset: int = 0) -> History:
    """Read a page of entries, newest first. Numbers have no gap, so a page is a range of them."""
    account = open_account(owner_id)
    newest = account.seq - offset
    entries = account.entries.filter(seq__lte=newest, seq__gt=newest - limit).order_by("-seq")
    return History(list(entries), account.seq)


# --- Postings ------------------------------------------------------------------------------------


def grant(
    owner_id: UUID, amount: int, *, reference: str, description: str, actor: str = "", metadata: Metadata = None
) -> Entry | None:
    """Give credits. Counts towards what the account earned."""
    return _post(owner_id, Kind.GRANT, _positive(amount), reference, description, actor=actor, metadata=metadata)


def purchase(
    owner_id: UUID, amount: int, *, reference: str, description: str, actor: str = "", metadata: Metadata = None
) -> Entry | None:
    """Book credits that were paid for elsewhere."""
    return _post(owner_id, Kind.PURCHASE, _positive(amount), reference, description, actor=actor, metadata=metadata)


def charge(
    owner_id: UUID,
    amount: int,
    *,
    reference: str,
    subject: str,
    operation_key: str,
    description: str,
    cost_usd: Decimal | None = None,
    metadata: Metadata = None,
) -> Entry | None:
    """Take credits. A charge of 0 posts nothing. Raises InsufficientCredits and changes nothing."""
    if amount == 0:
        return None
    return charging(
        owner_id,
        amount,
        reference=reference,
        subject=subject,
        operation_key=operation_key,
        description=description,
        cost_usd=cost_usd,
        metadata=metadata,
    ).post()


def charging(
    owner_id: UUID,
    amount: int,
    *,
    reference: str,
    subject: str,
    operation_key: str,
    description: str,
    cost_usd: Decimal | None = None,
    metadata: Metadata = None,
) -> Posting:
    """Prepare a charge, for a caller that stores in the same statement what is paid for."""
    return Posting(
        owner_id,
        Kind.CHARGE,
        -_positive(amount),
        reference,
        description,
        subject=subject,
        operation_key=operation_key,
        cost_usd=cost_usd,
        metadata=dict(metadata or {}),
    )


def refund(
    owner_id: UUID,
    amount: int,
    *,
    reference: str,
    subject: str,
    operation_key: str,
    description: str,
    actor: str = "",
    metadata: Metadata = None,
) -> Entry | None:
    """Give charged credits back. How much may be given back is the caller's rule."""
    return _post(
        owner_id,
        Kind.REFUND,
        _positive(amount),
        reference,
        description,
        subject=subject,
        operation_key=operation_key,
        actor=actor,
        metadata=metadata,
    )


def adjust(
    owner_id: UUID, signed_amount: int, *, reference: str, description: str, actor: str = "", metadata: Metadata = None
) -> Entry | None:
    """Put a balance right, up or down. Raises InsufficientCredits when it would fall below zero."""
    if signed_amount == 0:
        raise ValueError("an adjustment moves at least one credit")
    return _post(owner_id, Kind.ADJUST, signed_amount, reference, description, actor=actor, metadata=metadata)


def postings(subjects: Iterable[str]) -> list[Entry]:
    """List the entries about these subjects, in the order they were posted: a receipt."""
    return list(Entry.objects.filter(subject__in=list(subjects)).exclude(subject="").order_by("id"))


# --- The unlimited tier --------------------------------------------------------------------------


def take_quota(owner_id: UUID, units: int, day: date) -> bool:
    """Use units of the day's quota. False: no unlimited tier in force, the units cost credits.

    Raises QuotaExhausted, and takes nothing, when fewer units are left. A quota that staff changed
    counts from the next use on.
    """
    _require_transaction()
    wanted: dict[str, Any] = {"owner": owner_id, "units": _positive(units), "day": day}
    with connection.cursor() as cursor:
        while True:
            cursor.execute(statements.TAKE_QUOTA, wanted)
            if cursor.rowcount == 1:
                return True
            cursor.execute(statements.QUOTA_LEFT, wanted)
            row = cursor.fetchone()
            if row is None:
                return False
            if row[0] < units:
                raise QuotaExhausted(units, max(row[0], 0))
            # Units were given back between the two statements.


def has_unlimited(owner_id: UUID) -> bool:
    """Is the unlimited tier in force, whatever is left of today's quota? One query."""
    with connection.cursor() as cursor:
        cursor.execute(statements.QUOTA_LEFT, {"owner": owner_id, "day": timezone.now().date()})
        return cursor.fetchone() is not None


def give_back_quota(owner_id: UUID, units: int, day: date) -> bool:
    """Give units back to the day from which they were taken. False: that day has not so many in use."""
    _require_transaction()
    with connection.cursor() as cursor:
        cursor.execute(statements.GIVE_BACK_QUOTA, {"owner": owner_id, "units": _positive(units), "day": day})
        return bool(cursor.rowcount == 1)


# --- Check ---------------------------------------------------------------------------------------


def check(since: datetime | None = None) -> list[Fault]:
    """Find broken promises among the entries posted since then and their accounts; None: among all.

    Costs one pass over those entries for the chain and one over those accounts for the sums.
    """
    faults: list[Fault] = []
    with connection.cursor() as cursor:
        for statement in (statements.CHAIN_FAULTS, statements.ACCOUNT_FAULTS):
            cursor.execute(statement, {"since": since})
            faults += [Fault(*row) for row in cursor.fetchall()]
    return faults


# --- How an entry is posted ----------------------------------------------------------------------


@dataclass(frozen=True)
class Posting:
    """One entry to be posted: alone by `post`, or by its `part` in a statement that others share.

    Who shares must `conclude` with what the part read, and let the transaction go when that raises: the others'
    parts have run. `amount` is signed.
    """

    owner_id: UUID
    kind: Kind
    amount: int
    reference: str
    description: str
    subject: str = ""
    operation_key: str = ""
    cost_usd: Decimal | None = None
    actor: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def part(self) -> sql.Part:
        _require_transaction()
        return sql.Part(statements.POST, statements.POSTED, self._values())

    def post(self) -> Entry | None:
        """Move the balance and write its line. None, and nothing changed, when that stands already."""
        (found,) = sql.run(self.part)
        return self.conclude(found)

    def conclude(self, found: tuple[Any, ...]) -> Entry | None:
        """Make the entry of what the part read. Raises InsufficientCredits."""
        entry_id, seq, balance_after, created_at = found
        if seq is None:  # nothing moved
            is_posted = _is_poor_but_posted(self.owner_id, self.kind, self.amount, self.reference)
            return None if is_posted else self.post()
        if entry_id is None:
            with connection.cursor() as cursor:
                cursor.execute(statements.UNDO, self._values())
            return None
        entry = Entry(**self._line(), id=entry_id, seq=seq, balance_after=balance_after, created_at=created_at)
        entry.metadata = self.metadata
        entry._state.adding = False
        return entry

    def _line(self) -> dict[str, Any]:
        return {
            "account_id": self.owner_id,
            "kind": self.kind.value,
            "amount": self.amount,
            "reference": self.reference,
            "subject": self.subject,
            "operation_key": self.operation_key,
            "cost_usd": self.cost_usd,
            "description": self.description,
            "actor": self.actor,
        }

    def _values(self) -> dict[str, Any]:
        return {
            **self._line(),
            "metadata": json.dumps(self.metadata),
            "purchased": self.amount if self.kind is Kind.PURCHASE else 0,
            "earned": self.amount if self.kind is Kind.GRANT else 0,
        }


def _post(
    owner_id: UUID,
    kind: Kind,
    amount: int,
    reference: str,
    description: str,
    *,
    subject: str = "",
    operation_key: str = "",
    actor: str = "",
    metadata: Metadata = None,
) -> Entry | None:
    return Posting(
        owner_id,
        kind,
        amount,
        reference,
        description,
        subject=subject,
        operation_key=operation_key,
        actor=actor,
        metadata=dict(metadata or {}),
    ).post()


def _is_poor_but_posted(owner_id: UUID, kind: Kind, amount: int, reference: str) -> bool:
    """Find out why the balance did not move: True when the reference stands already, perhaps as the
    very posting that left too little. False asks for another try. Raises InsufficientCredits.
    """
    # The balance is read first: read last, it could be what a twin posted in between had left.
    account = Account.objects.filter(owner_id=owner_id).first()
    if Entry.objects.filter(kind=kind, reference=reference).exists():
        return True
    if account is None:
        open_account(owner_id)
    elif account.balance + amount < 0:
        raise InsufficientCredits(-amount, account.balance)
    return False


def _positive(amount: int) -> int:
    if type(amount) is not int or amount <= 0:
        raise ValueError("an amount is a whole positive number; the verb gives the direction")
    return amount


def _require_transaction() -> None:
    if not connection.in_atomic_block:
        raise TransactionManagementError("credits move only inside a transaction, together with what they pay for")
