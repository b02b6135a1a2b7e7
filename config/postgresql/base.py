"""Django's PostgreSQL backend with two habits of its own, both for what each call pays for.

A connection out of the pool is trusted as long as its server has said nothing since it was put back: a server
that went away has hung up, so a look at the socket finds out what Django's own check asks by a round trip.

`prepared_cursor` lets the server remember a statement: Django writes the values into the text, so that
PostgreSQL reads and plans the same statement anew each time. It is for our own hot statements; the ORM's go on
as Django made them.
"""

from __future__ import annotations

import select
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.utils import CursorWrapper
from psycopg import Connection
from psycopg import Error as PsycopgError
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        """Take a living connection. One that its server has closed is left to the pool, which replaces it."""
        while True:
            connection: Connection[Any] = super().get_new_connection(conn_params)
            if not _has_news(connection) or _answers(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)

    def _set_autocommit(self, autocommit: bool) -> None:
        """Django sets it for each connection out of the pool, where it is so already."""
        if self.connection is None or self.connection.autocommit != autocommit:
            super()._set_autocommit(autocommit)  # type: ignore[misc]

    def prepared_cursor(self) -> CursorWrapper:
        """A cursor whose values travel beside the statement, which the server prepares when it comes often."""
        self.ensure_connection()
        with self.wrap_database_errors:
            cursor = base.ServerBindingCursor(self.connection)  # type: ignore[call-arg]  # the stubs know psycopg 2
        wrapped: CursorWrapper = self._prepare_cursor(cursor)  # type: ignore[attr-defined]
        return wrapped


def _has_news(connection: Connection[Any]) -> bool:
    """Whether the server sent anything, or hung up, while nobody asked."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _answers(connection: Connection[Any]) -> bool:
    try:
        ConnectionPool.check_connection(connection)
    except PsycopgError:
        return False
    return True
