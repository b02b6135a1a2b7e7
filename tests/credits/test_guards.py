"""The database keeps the ledger's promise, whoever writes the SQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction

from config.models import User
from credits import ledger
from credits.models import Account, Entry

pytestmark = pytest.mark.django_db(transaction=True)

# Written with the owner's id as %(owner)s, against an account with two entries: +100, -40.
INSERT = """
    INSERT INTO credits_entry (account_id, seq, kind, amount, balance_after, reference, subject,
        operation_key, description, actor, metadata, created_at)
    VALUES (%(owner)s, {seq}, '{kind}', {amount}, {balance_after}, '{reference}', '', '', '', '', '{{}}', now())
"""
MOVE = "UPDATE credits_account SET balance = {balance}, seq = {seq} WHERE owner_id = %(owner)s;"


def line(
    seq: int, amount: int, balance_after: int, kind: str = "grant", reference: str = "x", balance: int | None = None
) -> str:
    """An entry, and the account moved to where it leads (or to another balance)."""
    move = MOVE.format(balance=balance_after if balance is None else balance, seq=seq)
    return move + INSERT.format(**locals())


ILLEGAL = [
    # The past is not rewritten.
    ("UPDATE credits_entry SET amount = 1000", "never changed"),
    ("UPDATE credits_entry SET description = 'better'", "never changed"),
    ("DELETE FROM credits_entry", "never changed"),
    ("DELETE FROM credits_entry WHERE account_id = %(owner)s AND seq = 2", "never changed"),
    ("TRUNCATE credits_entry", "never changed"),
    ("TRUNCATE credits_account CASCADE", "never changed"),
    ("DELETE FROM credits_account WHERE owner_id = %(owner)s", "foreign key"),
    # A balance does not move alone.
    (MOVE.format(balance=61, seq=2), "where its last entry left it"),
    (MOVE.format(balance=60, seq=3), "where its last entry left it"),
    (MOVE.format(balance=60, seq=1), "where its last entry left it"),
    (MOVE.format(balance=100, seq=1), "where its last entry left it"),
    (line(3, 5, 65) + ";" + MOVE.format(balance=70, seq=3), "where its last entry left it"),
    # A new account does not start rich.
    (
        "INSERT INTO config_user (id, username, password, is_superuser, first_name, last_name, email, is_staff,"
        " is_active, date_joined, issuer, subject, storage_id)"
        " VALUES (gen_random_uuid(), 'rich', '', false, '', '', '', false, true, now(), '', '', 'rich');"
        " INSERT INTO credits_account (owner_id, balance, seq, tier, total_purchased, total_earned,"
        " unlimited_active, unlimited_daily_quota, created_at, updated_at)"
        " SELECT id, 9, 0, 'free', 0, 0, false, 0, now(), now() FROM config_user WHERE username = 'rich'",
        "where its last entry left it",
    ),
    # An entry does not come alone, nor out of turn.
    (INSERT.format(seq=3, kind="grant", amount=5, balance_after=65, reference="x"), "does not continue"),
    (INSERT.format(seq=1, kind="grant", amount=60, balance_after=60, reference="x"), "does not continue"),
    (line(4, 5, 65), "does not continue"),
    (line(3, 5, 66), "does not continue"),
    (line(3, 5, 65, balance=66), "does not continue"),
    # One number, one entry; one reference, one posting.
    (
        INSERT.format(seq=2, kind="charge", amount=-40, balance_after=60, reference="x"),
        "one_entry_per_number",
    ),
    (line(3, -5, 55, kind="charge", reference="request:1:0"), "a_posting_happens_once"),
    (line(3, 5, 65, reference=""), "every_line_has_a_reference"),
    # Never below zero.
    (MOVE.format(balance=-1, seq=2), "balance_is_never_negative"),
    (line(3, -61, -1, kind="charge"), "balance_is_never_negative"),
    # The sign follows the kind.
    (line(3, 5, 65, kind="charge"), "sign_follows_kind"),
    (line(3, -5, 55, kind="refund"), "sign_follows_kind"),
    (line(3, -5, 55, kind="grant"), "sign_follows_kind"),
    (line(3, -5, 55, kind="purchase"), "sign_follows_kind"),
    (line(3, 0, 60, kind="adjust"), "sign_follows_kind"),
    (line(3, 5, 65, kind="gift"), "sign_follows_kind"),
    # Tiers and quotas.
    ("UPDATE credits_account SET tier = 'gold' WHERE owner_id = %(owner)s", "tier_is_known"),
    (
        "INSERT INTO credits_quotaday (account_id, day, used, quota) VALUES (%(owner)s, '2026-03-01', 11, 10)",
        "used_lies_within_quota",
    ),
    (
        "INSERT INTO credits_quotaday (account_id, day, used, quota) VALUES (%(owner)s, '2026-03-01', -1, 10)",
        "used_lies_within_quota",
    ),
]


@pytest.fixture
def customer(alice: User) -> User:
    with transaction.atomic():
        ledger.charge(
            alice.pk, 40, reference="request:1:0", subject="request:1", operation_key="visual_cover", description="…"
        )
    return alice


def execute(sql: str, owner: User) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, {"owner": owner.pk})


@pytest.mark.parametrize(("sql", "why"), ILLEGAL)
def test_illegal_sql_is_refused(customer: User, sql: str, why: str) -> None:
    before = list(Entry.objects.order_by("id").values())

    with pytest.raises(IntegrityError, match=why):
        execute(sql, customer)

    assert list(Entry.objects.order_by("id").values()) == before
    assert Account.objects.get(pk=customer.pk).balance == 60
    assert ledger.check() == []


def test_sql_that_keeps_the_chain_is_accepted(customer: User) -> None:
    execute(line(3, 5, 65), customer)

    assert ledger.balance(customer.pk) == 65


def test_an_account_that_moved_and_came_back_is_accepted(customer: User) -> None:
    execute(MOVE.format(balance=61, seq=3) + MOVE.format(balance=60, seq=2), customer)

    assert ledger.check() == []


# --- Faults are found when somebody went around the guards ---------------------------------------


def around_the_guards(sql: str) -> Callable[[User], None]:
    return lambda owner: execute(f"SET LOCAL session_replication_role = replica; {sql}", owner)


@pytest.mark.parametrize(
    ("tamper", "faults"),
    [
        # A balance was given a little more.
        (around_the_guards(MOVE.format(balance=61, seq=2)), [("balance", None, 60, 61)]),
        # A number was skipped.
        (around_the_guards(MOVE.format(balance=60, seq=3)), [("seq", None, 2, 3)]),
        # The first entry vanished.
        (
            around_the_guards("DELETE FROM credits_entry WHERE account_id = %(owner)s AND seq = 1"),
            [("chain", 2, 1, 0), ("balance", None, -40, 60), ("seq", None, 1, 2), ("total_earned", None, 0, 100)],
        ),
        # The charge was made smaller.
        (
            around_the_guards("UPDATE credits_entry SET amount = -30 WHERE account_id = %(owner)s AND seq = 2"),
            [("chain", 2, 70, 60), ("balance", None, 70, 60)],
        ),
        # The totals were made prettier.
        (
            around_the_guards("UPDATE credits_account SET total_purchased = 9 WHERE owner_id = %(owner)s"),
            [("total_purchased", None, 0, 9)],
        ),
    ],
)
def test_check_names_the_fault(
    customer: User, bob: User, tamper: Callable[[User], None], faults: list[tuple[str, int | None, int, int]]
) -> None:
    start = Entry.objects.order_by("created_at").values_list("created_at", flat=True)[0]
    tamper(customer)

    expected = [ledger.Fault(customer.pk, *fault) for fault in faults]
    assert ledger.check() == expected
    assert ledger.check(since=start) == expected


def test_check_since_looks_only_at_what_came_after(customer: User, bob: User) -> None:
    around_the_guards(MOVE.format(balance=61, seq=2))(customer)
    last = Entry.objects.order_by("-created_at").values_list("created_at", flat=True)[0]

    assert ledger.check(since=last) == []
    assert len(ledger.check()) == 1
