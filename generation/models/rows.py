"""Insert and update single rows by plain statements: what each item's life is made of.

The ORM compiles each statement anew, which costs several times what PostgreSQL takes to run it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from django.db.models import AutoField, Model

from config.api import sql


def insert(*groups: Sequence[Model]) -> None:
    """Store new instances, one model to a group, and give them the keys that the database chose. One query.

    Must run inside a transaction. Values are plain ones, no expressions; no signal is sent.
    """
    params: list[Any] = []
    filled = [group for group in groups if group]
    inserts = ", ".join(f"into_{nth} AS ({_into(group, params)})" for nth, group in enumerate(filled))
    keys = ", ".join(f"(SELECT array_agg(key) FROM into_{nth})" for nth in range(len(filled)))  # noqa: S608 no value
    with sql.cursor() as cursor:
        cursor.execute(f"WITH {inserts} SELECT {keys}", params)
        found = cursor.fetchone()
    for group, chosen in zip(filled, found, strict=True):
        for instance, key in zip(group, chosen, strict=True):
            instance.pk = key
            instance._state.adding = False


class Sql(str):
    """Stands for a value that the database knows, such as `fence + 1`. Never made of what comes from outside."""


def update(model: type[Model], pk: Any, *, to: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> bool:
    """Change one row `to` these columns, if it still holds what is `given`: a value, or one of a tuple. One query."""
    params: list[Any] = []
    changes = ", ".join(f'"{column}" = {_spelled(value, params)}' for column, value in to.items())
    guards = "".join(f' AND "{column}" = {_any_of(value, params)}' for column, value in (given or {}).items())
    meta = model._meta
    with sql.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{meta.db_table}" SET {changes} WHERE true{guards} AND {meta.pk.column} = %s',  # noqa: S608 no value
            [*params, pk],
        )
        return bool(cursor.rowcount)


def _any_of(value: Any, params: list[Any]) -> str:
    if isinstance(value, tuple):
        params.append([str(one) for one in value])
        return "ANY(%s)"
    return _spelled(value, params)


def _into(group: Sequence[Model], params: list[Any]) -> str:
    """Spell the insert of one group and add its values to `params`."""
    head, attributes, tail = _frame(type(group[0]))
    rows = [", ".join(_spelled(getattr(instance, attribute), params) for attribute in attributes) for instance in group]
    return f"{head} ({'), ('.join(rows)}) {tail}"


@cache
def _frame(model: type[Model]) -> tuple[str, list[str], str]:
    """What stands before and after the values of a model, and its attributes but for a key of the database's choice."""
    meta = model._meta
    fields = [field for field in meta.concrete_fields if not isinstance(field, AutoField)]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    head = f'INSERT INTO "{meta.db_table}" ({columns}) VALUES'
    return head, [field.attname for field in fields], f"RETURNING {meta.pk.column} AS key"


def _spelled(value: Any, params: list[Any]) -> str:
    """The value's place in the statement. Most columns of a new row are empty: those need no parameter.

    Whatever else stood in the text would make each statement a new one, and the driver remembers those it has read.
    """
    if isinstance(value, Sql):
        return value
    if value is None:
        return "NULL"
    if value == "":
        return "''"
    if type(value) is int and value == 0:
        return "0"
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    params.append(value)
    return "%s"
