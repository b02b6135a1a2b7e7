"""What the MakeIt3D door reads: a request's items for its status, a person's rows for a list. One statement each.

Plain SQL, because clients poll: the ORM would think about these longer than the database. Every statement is bound
to an owner; what belongs to somebody else is as missing as what never was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from config.api import sql
from generation.doors.makeit3d.catalogue import Kind
from generation.doors.makeit3d.plan import DOOR
from generation.doors.makeit3d.present import COMPLETE, FAILED, PENDING, PROCESSING
from generation.doors.makeit3d.serializers import is_task_id
from generation.models import Item

# What a row or a status shows, in the model's own order.
_NEEDED = {
    *("id", "public_id", "request_id", "owner_id", "door", "index", "prompt", "params", "price_key", "charged"),
    *("refunded", "status", "progress", "results", "error_code"),
    *("created_at", "first_started_at", "started_at", "finished_at"),
}
_COLUMNS = [field.attname for field in Item._meta.concrete_fields if field.attname in _NEEDED]
_SHOWN = ", ".join(f'i."{name}"' for name in _COLUMNS)

_STATUS = f"""
WITH polled AS (
    (SELECT id, 0 AS way FROM generation_request WHERE id = %(id)s::uuid AND owner_id = %(owner)s AND door = '{DOOR}')
    UNION ALL
    (SELECT id, 1 FROM generation_request WHERE owner_id = %(owner)s AND "group" = %(name)s AND door = '{DOOR}'
     ORDER BY created_at DESC LIMIT 1)
    ORDER BY way LIMIT 1)
SELECT {_SHOWN} FROM polled JOIN generation_item i ON i.request_id = polled.id ORDER BY i.index
"""  # noqa: S608 constants of this file

_OPEN = "i.status IN ('QUEUED', 'HELD', 'RUNNING', 'WAITING')"
_IS = {
    COMPLETE: "i.status = 'SUCCEEDED'",
    FAILED: "i.status IN ('FAILED', 'CANCELLED')",
    PENDING: f"{_OPEN} AND i.first_started_at IS NULL",
    PROCESSING: f"{_OPEN} AND i.first_started_at IS NOT NULL",
}
_IN_TASK = f"""AND i.request_id IN (
    SELECT id FROM generation_request WHERE owner_id = %(owner)s AND "group" = %(task)s AND door = '{DOOR}')"""  # noqa: S608


def polled(owner_id: UUID, name: str) -> list[Item]:
    """The items of a request by its id, or of the newest request of one of the caller's own tasks. One query."""
    if not is_task_id(name):
        return []
    try:
        request_id = UUID(name)
    except ValueError:
        request_id = None
    with sql.cursor() as cursor:
        cursor.execute(_STATUS, {"id": request_id, "owner": owner_id, "name": name})
        return [_item(row) for row in cursor.fetchall()]


def listed(
    owner_id: UUID, kind: Kind, *, limit: int, offset: int, task_id: str = "", status: str = ""
) -> tuple[int, list[Item]]:
    """A person's rows, newest first, and how many there are in all. Two queries."""
    if task_id and not is_task_id(task_id):
        return 0, []
    conditions = " ".join((_IN_TASK if task_id else "", f"AND {_IS[status]}" if status else ""))
    # The words of the index's own condition, so that the list and the count are read from it.
    source = (
        f"FROM generation_item i WHERE i.owner_id = %(owner)s AND i.door = '{DOOR}'"
        f" AND i.params ->> 'table' = '{kind}' {conditions}"
    )
    values: dict[str, Any] = {"owner": owner_id, "task": task_id, "limit": limit, "offset": offset}
    with sql.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {source}", values)
        count = cursor.fetchone()[0]
        cursor.execute(
            f"SELECT {_SHOWN} {source} ORDER BY i.created_at DESC, i.id DESC LIMIT %(limit)s OFFSET %(offset)s",
            values,
        )
        return count, [_item(row) for row in cursor.fetchall()]


_PARAMS, _RESULTS = _COLUMNS.index("params"), _COLUMNS.index("results")


def _item(row: Sequence[Any]) -> Item:
    """An item with these columns alone."""
    values = list(row)
    for place in (_PARAMS, _RESULTS):
        values[place] = json.loads(values[place])
    return Item.from_db(connection.alias, _COLUMNS, values)
