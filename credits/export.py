"""The ledger as CSV, streamed: a page of lines at a time, so that a slow reader holds no snapshot open.

Text that a spreadsheet would take for a formula is led by an apostrophe; numbers stay numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from credits.models import Entry

PAGE = 2000
# Column -> what stands in it.
_CELLS: dict[str, Callable[[Entry], Any]] = {
    "when": lambda entry: entry.created_at.isoformat(timespec="seconds"),
    "customer": lambda entry: entry.account.owner.get_username(),
    "number": lambda entry: entry.seq,
    "kind": lambda entry: entry.kind,
    "credits": lambda entry: entry.amount,
    "balance_after": lambda entry: entry.balance_after,
    "description": lambda entry: entry.description,
    "operation": lambda entry: entry.operation_key,
    "request": lambda entry: entry.metadata.get("request_id", ""),
    "subject": lambda entry: entry.subject,
    "reference": lambda entry: entry.reference,
    "by": lambda entry: entry.actor,
}
COLUMNS = tuple(name for name in _CELLS if name != "request")
# What a customer gets of their own lines: none of the staff's names, nor the house's own words.
OWN = ("when", "number", "kind", "credits", "balance_after", "description", "operation", "request")
# A spreadsheet runs a cell that begins so; a tab or a line's end before it is no shield.
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class _Echo:
    """What a csv.writer needs of a file, without one."""

    def write(self, line: str) -> str:
        return line


def answer(entries: QuerySet[Entry], name: str) -> StreamingHttpResponse:
    """Answer these entries as a file, newest first."""
    return _file(lines(entries.select_related("account__owner"), COLUMNS, "pk"), name)


def answer_own(entries: QuerySet[Entry], name: str) -> StreamingHttpResponse:
    """Answer one customer's entries as a file, newest first, with what a customer may see."""
    return _file(lines(entries, OWN, "seq"), name)


def _file(content: Iterator[str], name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def lines(entries: QuerySet[Entry], columns: Sequence[str], key: str) -> Iterator[str]:
    """key: the number by which they are read, `seq` for those of one account."""
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for entry in _all(entries.order_by(f"-{key}"), key):
        yield writer.writerow([safe(_CELLS[name](entry)) for name in columns])


def _all(entries: QuerySet[Entry], key: str) -> Iterator[Entry]:
    """Read page after page, each by the key of the last line."""
    page = list(entries[:PAGE])
    while page:
        yield from page
        if not connection.in_atomic_block:
            connection.close()  # back to the pool while the reader takes its time
        last = getattr(page[-1], key)
        page = list(entries.filter(**{f"{key}__lt": last})[:PAGE]) if len(page) == PAGE else []


def safe(value: Any) -> Any:
    """Make text that a spreadsheet would run a text again."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_RISKY):
        return f"'{value}"
    return value
