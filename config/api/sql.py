"""Our own hot statements, which the server may remember: see `config.postgresql`.

Each question costs more than its answer does: a process that waits is put aside. So rooms that must know nothing
of each other can put what they ask into one statement, as parts of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import connection
from django.db.backends.utils import CursorWrapper

LARGE = 1000


def cursor() -> CursorWrapper:
    """Open a cursor whose statements the server prepares when they come often. Values get no quotes in the text.

    A value has no type but what the server makes of its place: cast it (`%s::text`) where that says nothing.
    One statement at a time.
    """
    opened: CursorWrapper = connection.prepared_cursor()  # type: ignore[attr-defined]  # of config.postgresql
    return opened


@dataclass(frozen=True)
class Part:
    """What one room has to say in a statement: its WITH terms, what it reads of them, and its values by name.

    columns: expressions, each a single value. Terms of one statement run on one snapshot, in no order: a part may
    name a term of one before it, and sees nothing that another wrote.
    """

    terms: str
    columns: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)


class Asker(Protocol):
    """Somebody whose part may be run in another's statement; it is given what the part read."""

    part: Part

    def take(self, found: tuple[Any, ...]) -> None: ...


def run(*parts: Part) -> list[tuple[Any, ...]]:
    """Run parts as one statement; return what each of them reads. One query."""
    terms = ", ".join(part.terms for part in parts if part.terms)
    columns = ", ".join(column for part in parts for column in part.columns)
    values = {name: value for part in parts for name, value in part.values.items()}
    # A large one comes once and never again, and the server takes no more than 65,535 values beside a statement.
    with connection.cursor() if len(values) > LARGE else cursor() as opened:
        opened.execute(f"WITH {terms} SELECT {columns}", values)
        row = list(opened.fetchone())
    return [tuple(row.pop(0) for _ in part.columns) for part in parts]
