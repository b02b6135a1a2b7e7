"""The ledger as CSV, streamed: a page of lines at a time, so that a slow reader holds no snapshot open.

Text that a spreadsheet would take for a formula is led by an apostrophe; numbers stay numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from credits.models import Entry

PAGE = 2000
COLUMNS = (
    *("when", "customer", "number", "kind", "credits", "balance_after", "description", "operation", "subject"),
    *("reference", "by"),
)
# A spreadsheet runs a cell that begins so; a tab or a line's end before it is no shield.
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class _Echo:
    """What a csv.writer needs of a file, without one."""

    def write(self, line: str) -> str:
        return line


def answer(entries: QuerySet[Entry], name: str) -> StreamingHttpResponse:
    """Answer these entries as a file, newest first."""
    response = StreamingHttpResponse(lines(entries), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def lines(entries: QuerySet[Entry]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for entry in _all(entries.select_related("account__owner").order_by("-pk")):
        yield writer.writerow(map(safe, _cells(entry)))


def _all(entries: QuerySet[Entry]) -> Iterator[Entry]:
    """Read page after page, each by the key of the last line."""
    page = list(entries[:PAGE])
    while page:
        yield from page
        if not connection.in_atomic_block:
            connection.close()  # back to the pool while the reader takes its time
        page = list(entries.filter(pk__lt=page[-1].pk)[:PAGE]) if len(page) == PAGE else []


def _cells(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.created_at.isoformat(timespec="seconds"),
        entry.account.owner.get_username(),
        entry.seq,
        entry.kind,
        entry.amount,
        entry.balance_after,
        entry.description,
        entry.operation_key,
        entry.subject,
        entry.reference,
        entry.actor,
    )


def safe(value: Any) -> Any:
    """Make text that a spreadsheet would run a text again."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_RISKY):
        return f"'{value}"
    return value
