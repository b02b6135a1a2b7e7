"""What the MakeIt3D door reads: a request's items for its status, a person's rows for a list.

Plain SQL, because clients poll: the ORM would think about these longer than the database. Every statement is bound
to an owner; what belongs to somebody else is as missing as what never was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from config.api import sql
from generation.doors.makeit3d.catalogue import Kind
from generation.doors.makeit3d.plan import DOOR
from generation.doors.makeit3d.present import COMPLETE, FAILED, PENDING, PROCESSING, Shown
from generation.doors.makeit3d.serializers import is_task_id

# What a row or a status shows: the fields of `Shown` in their order, of the results only what it shows of them.
_COLUMNS = """
i.public_id, i.request_id, i.owner_id, i.prompt, i.params, i.status, i.progress, i.first_started_at IS NOT NULL,
i.price_key, i.charged, i.refunded, i.error_code,
COALESCE(i.results #>> '{generate,key}', i.results #>> ARRAY[i.params ->> 'operation', 'key']),
i.results #>> '{thumbnail,key}', i.results #> '{generate,ignored}',
i.created_at, COALESCE(i.finished_at, i.started_at, i.created_at)
"""
_PARAMS, _IGNORED = 4, 14

# Looks for a task of that name only when no request has that id: planned for any caller, PostgreSQL may walk through
# everything that a person ever asked for to find the newest of a task.
_STATUS = f"""
WITH named AS (
    SELECT id FROM generation_request WHERE id = %(id)s::uuid AND owner_id = %(owner)s AND door = '{DOOR}'),
polled AS (
    SELECT id FROM named
    UNION ALL
    (SELECT id FROM generation_request
     WHERE owner_id = %(owner)s AND "group" = %(name)s AND door = '{DOOR}' AND NOT EXISTS (SELECT FROM named)
     ORDER BY created_at DESC LIMIT 1))
SELECT {_COLUMNS} FROM polled JOIN generation_item i ON i.request_id = polled.id ORDER BY i.index
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


def polled(owner_id: UUID, name: str) -> list[Shown]:
    """The items of a request by its id, or of the newest request of one of the caller's own tasks. One query."""
    if not is_task_id(name):
        return []
    try:
        request_id = UUID(name)
    except ValueError:
        request_id = None
    with sql.cursor() as cursor:
        cursor.execute(_STATUS, {"id": request_id, "owner": owner_id, "name": name})
        return [_shown(row) for row in cursor.fetchall()]


def listed(
    owner_id: UUID, kind: Kind, *, limit: int, offset: int, task_id: str = "", status: str = ""
) -> tuple[int, list[Shown]]:
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
            f"SELECT {_COLUMNS} {source} ORDER BY i.created_at DESC, i.id DESC LIMIT %(limit)s OFFSET %(offset)s",
            values,
        )
        return count, [_shown(row) for row in cursor.fetchall()]


def _shown(row: Sequence[Any]) -> Shown:
    values = list(row)
    values[_PARAMS] = json.loads(values[_PARAMS])
    values[_IGNORED] = json.loads(values[_IGNORED] or "[]")
    return Shown(*values)
