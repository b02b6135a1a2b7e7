"""Insert, update and read single rows by plain statements: what each item's life is made of.

The ORM compiles each statement anew, which costs several times what PostgreSQL takes to run it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db.models import AutoField, JSONField, Model

from config.api import sql

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Altered:
    """A single row that gets other values in these columns."""

    model: type[Model]
    pk: Any
    to: Mapping[str, Any]


def insert(*groups: Sequence[Model]) -> None:
    """Store new instances, one model to a group, and give them the keys that the database chose. One query.

    Must run inside a transaction. Values are plain ones or `Sql`; no signal is sent.
    """
    store(groups)


def store(groups: Iterable[Sequence[Model]], altered: Iterable[Altered] = (), *others: sql.Part) -> None:
    """Insert new instances as `insert` does; change single rows, and run others' parts, by the same statement."""
    new = New(groups, altered)
    new.stored(sql.run(new.part, *others)[0])


class New:
    """New instances on their way into the tables, alone or as a part of a statement that others share.

    altered: rows that change with them, each at most once, and none that the statement inserts.
    """

    def __init__(self, groups: Iterable[Sequence[Model]], altered: Iterable[Altered] = ()) -> None:
        self._groups = [group for group in groups if group]
        values: dict[str, Any] = {}
        inserts = [f"into_{nth} AS ({_into(group, values)})" for nth, group in enumerate(self._groups)]
        changes = [f"altered_{nth} AS ({_altering(one, values)})" for nth, one in enumerate(altered)]
        keys = (f"(SELECT array_agg(key) FROM into_{nth})" for nth in range(len(inserts)))  # noqa: S608 no value
        self.part = sql.Part(", ".join(inserts + changes), tuple(keys), values)

    def stored(self, keys: Iterable[Sequence[Any]]) -> None:
        """Take the keys that the part read."""
        for group, chosen in zip(self._groups, keys, strict=True):
            for instance, key in zip(group, chosen, strict=True):
                instance.pk = key
                instance._state.adding = False


class Sql(str):
    """Stands for a value that the database knows, such as `fence + 1`. Never made of what comes from outside.

    An instance that was inserted with one keeps it: what it became, its inserter must find out.
    """


# The database's clock at the start of the statement: the same wherever it stands in it.
NOW: Any = Sql("statement_timestamp()")


def update(model: type[Model], pk: Any, *, to: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> bool:
    """Change one row `to` these columns, if it still holds what is `given`: a value, one of a tuple, or None for none.

    One query.
    """
    values: dict[str, Any] = {}
    statement = _altering(Altered(model, pk, to), values, given or {})
    with sql.cursor() as cursor:
        cursor.execute(statement, values)
        return bool(cursor.rowcount)


def _altering(one: Altered, values: dict[str, Any], given: Mapping[str, Any] | None = None) -> str:
    """Spell the change of one row and add its values to `values`."""
    changes = ", ".join(f'"{column}" = {_spelled(value, values)}' for column, value in one.to.items())
    guards = "".join(f' AND "{column}" {_any_of(value, values)}' for column, value in (given or {}).items())
    meta = one.model._meta
    key = _named(one.pk, values)
    return f'UPDATE "{meta.db_table}" SET {changes} WHERE true{guards} AND {meta.pk.column} = {key}'  # noqa: S608 no value


def _any_of(value: Any, values: dict[str, Any]) -> str:
    if value is None:
        return "IS NULL"
    if isinstance(value, tuple):
        return f"= ANY({_named([str(one) for one in value], values)})"
    return f"= {_spelled(value, values)}"


def columns_of(model: type[Model], table: str) -> str:
    """Name all columns of a model for a statement that `read` reads. A prepared `*` would fail once one is added."""
    return ", ".join(f'{table}."{field.column}"' for field in model._meta.concrete_fields)


def read(model: type[M], columns: Sequence[str], row: Sequence[Any], *, after: int = 0) -> M:
    """Make an instance of a row that holds its columns, all or some, behind `after` others; the rest is deferred."""
    attributes, places = _reading(model, tuple(columns[after:]))
    values = [
        json.loads(value) if is_json and value is not None else value
        for value, is_json in ((row[after + place], is_json) for place, is_json in places)
    ]
    return model.from_db("default", attributes, values)


@cache
def _reading(model: type[Model], columns: tuple[str, ...]) -> tuple[list[str], list[tuple[int, bool]]]:
    """The attributes of a model in its order, where each stands among the columns, and whether it comes as JSON."""
    fields = [one for one in model._meta.concrete_fields if one.column in columns]
    return [one.attname for one in fields], [
        (columns.index(str(one.column)), isinstance(one, JSONField)) for one in fields
    ]


def _into(group: Sequence[Model], values: dict[str, Any]) -> str:
    """Spell the insert of one group and add its values to `values`."""
    head, attributes, tail = _frame(type(group[0]))
    rows = [", ".join(_spelled(getattr(instance, attribute), values) for attribute in attributes) for instance in group]
    return f"{head} ({'), ('.join(rows)}) {tail}"


@cache
def _frame(model: type[Model]) -> tuple[str, list[str], str]:
    """What stands before and after the values of a model, and its attributes but for a key of the database's choice."""
    meta = model._meta
    fields = [field for field in meta.concrete_fields if not isinstance(field, AutoField)]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    head = f'INSERT INTO "{meta.db_table}" ({columns}) VALUES'
    return head, [field.attname for field in fields], f"RETURNING {meta.pk.column} AS key"


def _spelled(value: Any, values: dict[str, Any]) -> str:
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
    return _named(value, values)


def _named(value: Any, values: dict[str, Any]) -> str:
    name = f"v{len(values)}"
    values[name] = value
    return f"%({name})s"
