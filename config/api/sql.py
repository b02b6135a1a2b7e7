"""Our own hot statements, which the server may remember: see `config.postgresql`."""

from __future__ import annotations

from django.db import connection
from django.db.backends.utils import CursorWrapper


def cursor() -> CursorWrapper:
    """Open a cursor whose statements the server prepares when they come often. Values get no quotes in the text.

    A value has no type but what the server makes of its place: cast it (`%s::text`) where that says nothing.
    One statement at a time.
    """
    opened: CursorWrapper = connection.prepared_cursor()  # type: ignore[attr-defined]  # of config.postgresql
    return opened
