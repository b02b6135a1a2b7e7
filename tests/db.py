"""The database under test: emptied after each test in real transactions, and raced by two connections.

`@pytest.mark.django_db(transaction=True)` (or the fixtures `transactional_db`, `live_server`) is all
a test needs to ask for: afterwards every table stands as it stood after the migrations, prices and
lanes included. Django's own flush would be refused, because the ledger allows no TRUNCATE; so the
rows go by DELETE under `session_replication_role = replica`, where no trigger fires. The ledger's
triggers themselves know no bypass. Content types and permissions stay.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase

_KEPT = {"django_migrations", "django_content_type", "auth_permission"}
# Table with its columns, as COPY wants it -> the rows after the migrations; tables without rows are left out.
_pristine: dict[str, bytes] = {}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        _pristine.update(all_rows())
    TransactionTestCase._fixture_teardown = lambda self: restore_rows()  # type: ignore[method-assign]


def all_rows() -> dict[str, bytes]:
    """Copy out what stands in the tables, for `restore_rows`."""
    rows: dict[str, bytes] = {}
    with connection.cursor() as cursor:
        for table in _tables():
            cursor.execute(
                "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)"
                " FROM information_schema.columns"
                " WHERE table_schema = current_schema() AND table_name = %s AND is_generated = 'NEVER'",
                [table],
            )
            target = f'"{table}" ({cursor.fetchone()[0]})'
            if content := _content(cursor, target):
                rows[target] = content
    return rows


def restore_rows(wanted: dict[str, bytes] = _pristine) -> None:
    """Empty every table and put back what the migrations had left, or other rows. Numbers of new ones go on rising.

    Tables in which a test left nothing are not touched: they are most. A connection that still holds a lock makes
    this fail after ten seconds instead of hanging.
    """
    connection.close_if_unusable_or_obsolete()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica; SET LOCAL lock_timeout = '10s'")
        changed = {target: rows for target, rows in wanted.items() if _content(cursor, target) != rows}
        kept = {_table_of(target) for target in wanted.keys() - changed.keys()}
        deletes = "".join(f'DELETE FROM "{table}"; ' for table in _filled(cursor) if table not in kept)
        if deletes:
            cursor.execute(deletes)
        for target, content in changed.items():
            with cursor.cursor.copy(f"COPY {target} FROM STDIN") as rows:
                rows.write(content)


def _content(cursor: Any, target: str) -> bytes:
    """A table's rows, as COPY spells them."""
    with cursor.cursor.copy(f"COPY {target} TO STDOUT") as rows:
        return b"".join(rows)


def _table_of(target: str) -> str:
    return target.split('"')[1]


def _filled(cursor: Any) -> list[str]:
    """The tables in which anything is, asked of all by one query."""
    each = (f"SELECT '{table}' WHERE EXISTS (SELECT FROM \"{table}\")" for table in _tables())
    cursor.execute(" UNION ALL ".join(each))
    return [table for (table,) in cursor.fetchall()]


@cache
def _tables() -> list[str]:
    return sorted(set(connection.introspection.table_names()) - _KEPT)


def race(*acts: Callable[[], Any]) -> list[Any]:
    """Run the acts at the same moment, each in a thread with its own connection.

    Returns, in the order of the acts, what each returned or the exception that it raised.
    """
    barrier = threading.Barrier(len(acts), timeout=10)
    outcomes: list[Any] = [None] * len(acts)

    def run(place: int, act: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait()
            outcomes[place] = act()
        except Exception as error:
            outcomes[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place, act)) for place, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "the race did not end: a lock is held for good"
    return outcomes


def lags(number: int) -> tuple[float, float]:
    """How late the left and the right hand of a round come, in seconds: one of them, by up to 20 ms.

    A cancel is one statement and a settlement is several: started together, a fast machine shows
    one order for ever. Growing lateness sweeps one hand across the other.
    """
    late_s = number // 2 % 20 / 1000
    return (0.0, late_s) if number % 2 == 0 else (late_s, 0.0)


def delayed(act: Callable[[], Any], late_s: float) -> Callable[[], Any]:
    """The act, `late_s` after it was asked for."""

    def later() -> Any:
        time.sleep(late_s)
        return act()

    return later


def race_until_both_orders(round_of: Callable[[int], tuple[Callable[[], Any], Callable[[], Any]]]) -> list[list[Any]]:
    """Race fresh pairs of acts until each side has come first at least once.

    `round_of(number)` prepares a round and returns its two acts; the act that comes first must
    return something true and the other something false or an exception. In turn one side and
    the other comes late (`lags`), so that both orders come soon on any machine; 200 rounds with
    one order only fail the test.
    """
    rounds: list[list[Any]] = []
    firsts: set[int] = set()
    for number in range(200):
        outcomes = race(*map(delayed, round_of(number), lags(number)))
        rounds.append(outcomes)
        winners = [place for place, outcome in enumerate(outcomes) if outcome and not isinstance(outcome, Exception)]
        assert len(winners) == 1, f"exactly one side must come first: {outcomes}"
        firsts.add(winners[0])
        if firsts == {0, 1}:
            return rounds
    raise AssertionError(f"only one order was seen in {len(rounds)} rounds")
