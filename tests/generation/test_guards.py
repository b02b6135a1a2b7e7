"""The database's own word: what it refuses, whoever asks, and that the audit finds what got past it."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from config.models import User
from generation import audit
from generation.models import AuditRun, Event, Item
from tests.generation.support import fresh, submit, submit_one, take, work_until_quiet
from tests.simulator import Remote

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def made(alice: User, vendors: Remote) -> Item:
    """A picture of two credits that was made."""
    item = submit_one(alice)
    work_until_quiet()
    assert audit.check() == []
    return fresh(item)


def run(sql: str, *values: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)


# what nobody may write -> the statement, with the item's id as its one value
FORBIDDEN = {
    "a refund without an entry": "UPDATE generation_item SET refunded = 2 WHERE id = %s",
    "more refunded than charged": "UPDATE generation_item SET refunded = 3 WHERE id = %s",
    "a failure that keeps money beyond the rule": "UPDATE generation_item SET status = 'FAILED' WHERE id = %s",
    "a cancel that keeps money beyond the rule": "UPDATE generation_item SET status = 'CANCELLED' WHERE id = %s",
    "an event changed": "UPDATE generation_event SET kind = 'failed' WHERE item_id = %s",
    "an ended attempt without an outcome": "UPDATE generation_attempt SET outcome = '' WHERE item_id = %s",
    "an outcome of an attempt that runs": "UPDATE generation_attempt SET ended_at = NULL WHERE item_id = %s",
    "two items at one place": (
        "INSERT INTO generation_item SELECT (jsonb_populate_record(i, jsonb_build_object('id', 0, 'public_id', 'x'))).*"
        " FROM generation_item i WHERE id = %s"
    ),
    "an entry without its refund": (
        "WITH account AS (UPDATE credits_account SET balance = balance + 2, seq = seq + 1 RETURNING *)"
        " INSERT INTO credits_entry (account_id, seq, kind, amount, balance_after, reference, subject, operation_key,"
        " description, actor, metadata, created_at) SELECT owner_id, seq, 'refund', 2, balance, 'by hand',"
        " 'item:' || %s, '', 'By hand', '', '{}', now() FROM account"
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_database_refuses(made: Item, what: str) -> None:
    with pytest.raises(DatabaseError):
        run(FORBIDDEN[what], made.pk)
    assert audit.check() == []


def test_a_client_finds_its_item_by_one_id_only(made: Item, alice: User) -> None:
    with pytest.raises(DatabaseError):
        run("UPDATE generation_item SET public_id = %s WHERE id = %s", made.public_id, submit_one(alice).pk)


# --- Planted faults ----------------------------------------------------------------------------------


def plant(sql: str, *values: object) -> None:
    """Write past every trigger, as a broken restore or a hand at the database's console would."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql, values)


# rule that must notice -> what is planted, given the item's id
PLANTED: dict[str, str] = {
    "refunds-match": "UPDATE generation_item SET refunded = 1 WHERE id = %s",
    "charged-per-round": "UPDATE generation_item SET charged = 5 WHERE id = %s",
    "success-has-an-asset": "DELETE FROM generation_asset WHERE item_id = %s",
    "parts-are-given-back": "UPDATE generation_item SET parts = '{\"background\": 1}',"
    ' results = results || \'{"background": {"failed": "TIMEOUT", "refunded": 1}}\' WHERE id = %s',
    "closed-has-no-open-item": "UPDATE generation_item SET status = 'HELD' WHERE id = %s",
    "done-is-closed": "UPDATE generation_request SET status = 'RUNNING'"
    " WHERE id = (SELECT request_id FROM generation_item WHERE id = %s)",
    "one-open-attempt": "INSERT INTO generation_attempt SELECT (jsonb_populate_record(a, jsonb_build_object("
    "'id', n, 'ended_at', NULL, 'outcome', ''))).* FROM generation_attempt a, generate_series(-2, -1) n"
    " WHERE item_id = %s",
    "ledger-balance": "UPDATE credits_account SET balance = 99"
    " WHERE owner_id = (SELECT owner_id FROM generation_item WHERE id = %s)",
    "ledger-chain": "UPDATE credits_entry SET balance_after = 7 WHERE kind = 'charge' AND account_id ="
    " (SELECT owner_id FROM generation_item WHERE id = %s)",
    "ledger-seq": "DELETE FROM credits_entry WHERE kind = 'charge' AND account_id ="
    " (SELECT owner_id FROM generation_item WHERE id = %s)",
}


@pytest.mark.parametrize("rule", PLANTED)
@pytest.mark.parametrize("full", [True, False], ids=["in full", "since the last"])
def test_the_audit_finds_a_planted_fault(made: Item, rule: str, full: bool) -> None:
    audit.run(full=True)
    plant(PLANTED[rule], made.pk)
    found = audit.run(full=full)
    assert rule in {fault["rule"] for fault in found}
    assert all(fault["subject"] and fault["text"] for fault in found)
    kept = AuditRun.objects.latest()
    assert (kept.faults, kept.full) == (found, full)


def test_the_audit_finds_money_kept_beyond_the_rule(made: Item) -> None:
    """The constraint forbids it even to a restore, so it is lifted for as long as the planting takes."""
    rule = "nothing_kept_beyond_the_rule"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [rule])
        [definition] = cursor.fetchone()
    try:
        run(f"ALTER TABLE generation_item DROP CONSTRAINT {rule}")
        plant("UPDATE generation_item SET status = 'FAILED' WHERE id = %s", made.pk)
        assert "ended-badly-is-given-back" in {fault["rule"] for fault in audit.check()}
        plant("UPDATE generation_item SET status = 'SUCCEEDED' WHERE id = %s", made.pk)
    finally:
        run(f"ALTER TABLE generation_item ADD CONSTRAINT {rule} {definition}")


def test_a_quiet_and_a_busy_desk_are_both_clean(alice: User, vendors: Remote) -> None:
    submit(alice, 3)
    take()
    assert audit.check() == []
    vendors.faults("openai", "filtered")
    work_until_quiet()
    assert audit.run(full=True) == []
    assert AuditRun.objects.latest().faults == []


def test_events_may_be_pruned_but_not_rewritten(made: Item) -> None:
    assert Event.objects.filter(item=made).delete()[0] > 0
