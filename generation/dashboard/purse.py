"""One's own credits: what there is, what moved it, and the receipt of each request. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone

from credits import ledger
from credits.models import Account, Entry, Kind, QuotaDay
from generation.dashboard import sheets, wares
from generation.models import Item, Request

ENTRIES = 25

# What people call the ledger's kinds; the order of the filter.
KINDS = {
    "": "Everything",
    Kind.CHARGE.value: "Charged",
    Kind.REFUND.value: "Given back",
    Kind.GRANT.value: "Given to you",
    Kind.PURCHASE.value: "Bought",
    Kind.ADJUST.value: "Put right",
}
DAYS = {"": "Any time", "1": "Last 24 hours", "7": "Last 7 days", "30": "Last 30 days", "365": "Last 12 months"}


@dataclass(frozen=True)
class Filter:
    """Which lines of the history; what is no choice filters nothing."""

    kind: str = ""
    days: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Filter:
        kind, days = query.get("kind", ""), query.get("days", "")
        return cls(kind if kind in KINDS else "", days if days in DAYS else "")

    @property
    def is_set(self) -> bool:
        return bool(self.kind or self.days)

    @property
    def query(self) -> str:
        """The filter as a part of an address."""
        chosen = QueryDict(mutable=True)
        chosen.update({name: value for name, value in (("kind", self.kind), ("days", self.days)) if value})
        return chosen.urlencode()

    def entries(self, owner_id: UUID) -> QuerySet[Entry]:
        """The lines, newest first."""
        found = Entry.objects.filter(account=owner_id).order_by("-seq")
        if self.kind:
            found = found.filter(kind=self.kind)
        if self.days:
            found = found.filter(created_at__gt=timezone.now() - timedelta(days=int(self.days)))
        return found


_SPEAKS = re.compile(r"(Visual generation|Generation|Refund): ([a-z0-9_-]+)( failed| cancelled)?")


def plainly(description: str) -> str:
    """What a charge or a refund of ours says of itself, in people's words; any other text as it is."""
    if found := _SPEAKS.fullmatch(description):
        what, name, end = found.groups("")
        return f"{what}: {wares.named(name)}{end}"
    return description


@dataclass(frozen=True)
class Line:
    """A line of the ledger, and the request that it is about where there is one."""

    entry: Entry
    request_id: UUID | None

    @property
    def word(self) -> str:
        return KINDS[self.entry.kind]

    @property
    def description(self) -> str:
        return plainly(self.entry.description)

    @property
    def moved(self) -> str:
        """The amount with its sign."""
        return f"{'+' if self.is_plus else '−'}{abs(self.entry.amount):,}"

    @property
    def is_plus(self) -> bool:
        return self.entry.amount > 0


@dataclass(frozen=True)
class Page:
    """Some lines; `older` continues them, empty at the end."""

    lines: list[Line]
    older: str


def history(owner_id: UUID, chosen: Filter, before: str = "", size: int = ENTRIES) -> Page:
    """A page of lines. One query; it reads by the line's number, so that new lines move nothing."""
    found = chosen.entries(owner_id)
    if before.isascii() and before.isdigit() and len(before) < 16:
        found = found.filter(seq__lt=int(before))
    rows = list(found[: size + 1])
    return Page(_lines(rows[:size]), str(rows[size - 1].seq) if len(rows) > size else "")


def _lines(entries: Iterable[Entry]) -> list[Line]:
    return [Line(entry, _request_of(entry)) for entry in entries]


def _request_of(entry: Entry) -> UUID | None:
    """What the line says that it is about: opaque text to the ledger, which may be anything."""
    try:
        return UUID(str(entry.metadata.get("request_id", "")))
    except ValueError:
        return None


@dataclass(frozen=True)
class Quota:
    """What the unlimited tier gives today."""

    used: int
    of: int

    @property
    def left(self) -> int:
        return max(self.of - self.used, 0)


def quota(account: Account) -> Quota | None:
    """Today's quota; None without the unlimited tier in force. One query with it, none without."""
    now = timezone.now()
    if not account.unlimited_active or (account.unlimited_expires_at and account.unlimited_expires_at <= now):
        return None
    today = QuotaDay.objects.filter(account=account, day=now.date()).first()
    return Quota(today.used if today else 0, account.unlimited_daily_quota)


# --- Receipts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What one item cost."""

    item: Item

    @property
    def word(self) -> str:
        return sheets.state_of(self.item)

    @property
    def words(self) -> str:
        """What was made, for the line's name."""
        return wares.words_of(self.item) or wares.kind_of(self.item) or wares.named(self.item.price_key)

    @property
    def paid(self) -> int:
        return self.item.charged - self.item.refunded


@dataclass(frozen=True)
class Receipt:
    """All that was charged and given back for one request: by item, and line by line."""

    request: Request
    parts: list[Part]
    lines: list[Line]

    @property
    def title(self) -> str:
        return plainly(self.request.description) or "A request"

    @property
    def charged(self) -> int:
        return sum(part.item.charged for part in self.parts)

    @property
    def refunded(self) -> int:
        return sum(part.item.refunded for part in self.parts)

    @property
    def net(self) -> int:
        """What the customer paid, by the ledger's own lines."""
        return -sum(line.entry.amount for line in self.lines)

    @property
    def quota_items(self) -> int:
        """Items that the unlimited tier's quota paid for."""
        return sum(1 for part in self.parts if part.item.quota_day)

    @property
    def is_open(self) -> bool:
        return self.request.status in (Request.Status.QUEUED, Request.Status.RUNNING)


# Only what a receipt shows: an item's steps and results may be large.
_SHOWN = (
    *("id", "public_id", "request_id", "index", "prompt", "params", "status", "step", "price_key"),
    *("quota_day", "error_message"),
)


def receipt(owner_id: UUID, request_id: UUID) -> Receipt | None:
    """The receipt of one's own request, also of one whose results were removed. Three queries."""
    request = Request.objects.filter(owner=owner_id, pk=request_id).first()
    if request is None:
        return None
    items = list(request.items.only(*_SHOWN, "charged", "refunded").order_by("index"))
    postings = ledger.postings([f"request:{request.pk}", *(f"item:{item.pk}" for item in items)])
    return Receipt(request, [Part(item) for item in items], _lines(postings))
