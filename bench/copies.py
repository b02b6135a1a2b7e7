"""Many of what there is one of: a request with its items, attempts, events and files, copied by SQL.

The rows are as wide as real ones, because they are copies of real ones. Triggers do not fire; whoever checks the
books afterwards finds none for the copies.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection, transaction

# Keys of copies begin here, beyond those that the sequences will reach.
_FAR = 1_000_000_000

_REQUEST = "md5(%(request)s || '-' || n)::uuid"
_ITEM = f"{_FAR} + n * 1000 + (r.{{column}} - (SELECT min(id) FROM generation_item WHERE request_id = %(request)s))"
_ROW = f"{_FAR} + n * 10000 + r.id - (SELECT min(r.id) FROM {{table}} AS r WHERE {{mine}})"
_OF_ITEMS = "r.item_id IN (SELECT id FROM generation_item WHERE request_id = %(request)s)"
_EARLIER = "n * interval '1 second'"

# table -> (which rows, what differs in a copy)
_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "generation_request": (
        "r.id = %(request)s",
        {"id": _REQUEST, "public_id": "r.public_id || '-' || n", "created_at": f"r.created_at - {_EARLIER}"},
    ),
    "generation_item": (
        "r.request_id = %(request)s",
        {
            "id": _ITEM.format(column="id"),
            "public_id": "md5(r.public_id || n)::uuid",
            "request_id": _REQUEST,
            "created_at": f"r.created_at - {_EARLIER}",
            "queued_at": f"r.queued_at - {_EARLIER}",
            "finished_at": f"r.finished_at - {_EARLIER}",
        },
    ),
    "generation_attempt": (
        _OF_ITEMS,
        {
            "item_id": _ITEM.format(column="item_id"),
            "started_at": f"r.started_at - {_EARLIER}",
            "ended_at": f"r.ended_at - {_EARLIER}",
        },
    ),
    "generation_event": (
        "r.request_id = %(request)s",
        {"request_id": _REQUEST, "item_id": _ITEM.format(column="item_id"), "at": f"r.at - {_EARLIER}"},
    ),
    "generation_asset": (
        "r.request_id = %(request)s",
        {
            "id": "md5(r.id::text || n)::uuid",
            "key": "r.key || '~' || n",
            "request_id": _REQUEST,
            "item_id": _ITEM.format(column="item_id"),
            "created_at": f"r.created_at - {_EARLIER}",
        },
    ),
}
_COPY = """
INSERT INTO {table} SELECT made.* FROM {table} AS r CROSS JOIN generate_series(%(first)s, %(last)s) AS n
CROSS JOIN LATERAL jsonb_populate_record(r, jsonb_build_object({changes})) AS made WHERE {mine}
"""


class Copies:
    """Numbers its copies on, so that those of several requests do not meet."""

    def __init__(self) -> None:
        self._next = 1

    def of(self, request_id: UUID, count: int) -> None:
        """Copy a request with all that belongs to it; each copy is a second older than the one before."""
        numbers = self.numbers(count)
        for table, (mine, changes) in _TABLES.items():
            if "id" not in changes:
                changes = {"id": _ROW.format(table=table, mine=mine), **changes}
            self.rows(table, mine, changes, request=str(request_id), **numbers)

    def numbers(self, count: int) -> dict[str, int]:
        first, self._next = self._next, self._next + count
        return {"first": first, "last": first + count - 1}

    @staticmethod
    def rows(table: str, mine: str, changes: dict[str, str], **values: Any) -> None:
        """Copy the rows of a table for which `mine` holds: `r` is the row, `n` runs from `first` to `last`."""
        pairs = ", ".join(f"'{column}', {value}" for column, value in changes.items())
        statement = _COPY.format(table=table, changes=pairs, mine=mine)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement, values)
