"""The house's own database backend: who is trusted out of the pool, and what the server remembers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from django.db import connection

from config.api import sql
from config.postgresql.base import DatabaseWrapper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def another() -> Iterator[DatabaseWrapper]:
    """A second connection of the same pool."""
    other = cast(DatabaseWrapper, connection.copy())
    other.ensure_connection()
    yield other
    other.close()


def answers(statement: str, *values: object) -> list[tuple[object, ...]]:
    with sql.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def test_a_connection_that_the_server_closed_in_the_pool_is_replaced(another: DatabaseWrapper) -> None:
    ((first,),) = answers("SELECT pg_backend_pid()")
    connection.close()  # back into the pool
    with another.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [first])

    ((second,),) = answers("SELECT pg_backend_pid()")

    assert second != first


def test_a_connection_that_only_heard_some_news_in_the_pool_is_kept(another: DatabaseWrapper) -> None:
    ((first,),) = answers("SELECT pg_backend_pid()")
    with connection.cursor() as cursor:
        cursor.execute("LISTEN news")
    connection.close()
    with another.cursor() as cursor:
        cursor.execute("NOTIFY news")

    met = set()
    for _ in range(10):  # the pool lends its connections in turn
        met.update(answers("SELECT pg_backend_pid()"))
        with connection.cursor() as cursor:
            cursor.execute("UNLISTEN news")
        connection.close()

    assert (first,) in met


def test_a_statement_that_comes_often_is_prepared_and_the_orm_s_are_not() -> None:
    connection.close()
    for number in range(6):
        assert answers("SELECT %s::int + 1", number) == [(number + 1,)]
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s + 2", [3])

    prepared = [statement for (statement,) in answers("SELECT statement FROM pg_prepared_statements")]

    assert "SELECT $1::int + 1" in prepared
    assert not any("+ 2" in str(statement) for statement in prepared)


def test_queries_of_a_prepared_cursor_are_counted_like_all_others(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(1):  # type: ignore[operator]
        answers("SELECT 1")
