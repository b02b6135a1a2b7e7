"""What the pages read: one person's requests and pictures, each page in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from generation import storage
from generation.models import Asset, AssetKind, Item, ItemStatus, Request, RequestStatus

QUEUED, IN_PROGRESS, COMPLETED, FAILED, CANCELLED = "queued", "in progress", "completed", "failed", "cancelled"
OPEN = (RequestStatus.QUEUED, RequestStatus.RUNNING)
MOST_SHOWN = 100

_WORDS = {
    ItemStatus.RUNNING: IN_PROGRESS,
    ItemStatus.WAITING: IN_PROGRESS,
    ItemStatus.SUCCEEDED: COMPLETED,
    ItemStatus.FAILED: FAILED,
    ItemStatus.CANCELLED: CANCELLED,
}

# Error code -> what a person can do now. Whoever got nothing pays nothing, so the credits are back.
_BUSY = "The service was too busy or too slow. Nothing was charged in the end: try again in a few minutes."
WAY_OUT: dict[str, str] = {
    "CONTENT_REJECTED": "The wording was refused. Say it in other words and send it again.",
    "INVALID_INPUT": "The description could not be used. Change it and send it again.",
    "RATE_LIMITED": _BUSY,
    "TIMEOUT": _BUSY,
    "NETWORK_ERROR": _BUSY,
    "SERVICE_UNAVAILABLE": _BUSY,
}
ANY_WAY_OUT = "Nothing was charged in the end. Send it again; if it fails once more, ask us."


@dataclass(frozen=True)
class Card:
    """One item as its owner sees it. picture, thumbnail: links, empty while there is none."""

    item: Item
    state: str
    progress: int
    picture_id: UUID | None
    picture: str
    thumbnail: str
    width: int
    height: int
    what_to_do: str

    @property
    def is_open(self) -> bool:
        return self.state in (QUEUED, IN_PROGRESS)

    @property
    def kind(self) -> str:
        """What was asked for, in the client's own word."""
        return str(self.item.params.get("type", ""))

    @property
    def is_waiting_for_retry(self) -> bool:
        return self.item.status == ItemStatus.HELD and self.item.hold_reason == "retry"


@dataclass(frozen=True)
class Sheet:
    """One request as its owner sees it."""

    request: Request
    cards: list[Card]

    @property
    def is_open(self) -> bool:
        return self.request.status in OPEN

    @property
    def state(self) -> str:
        if self.is_open:
            begun = self.request.status == RequestStatus.RUNNING or any(card.state != QUEUED for card in self.cards)
            return IN_PROGRESS if begun else QUEUED
        ended = {card.state for card in self.cards}
        return "partly completed" if len(ended) > 1 and COMPLETED in ended else str(self.request.status).lower()

    @property
    def progress(self) -> int:
        return sum(card.progress for card in self.cards) // len(self.cards) if self.cards else 0

    @property
    def title(self) -> str:
        return self.cards[0].item.prompt if self.cards else self.request.description

    @property
    def charged(self) -> int:
        return sum(card.item.charged for card in self.cards)

    @property
    def refunded(self) -> int:
        return sum(card.item.refunded for card in self.cards)


@dataclass(frozen=True)
class Page:
    """Some of a long list; `older` continues it, empty at its end."""

    rows: Sequence[Any]
    older: str


def running(owner_id: UUID, base_url: str) -> list[Sheet]:
    """The newest requests that have not ended. Three queries."""
    return _sheets(Request.objects.filter(owner=owner_id, status__in=OPEN).order_by("-created_at")[:12], base_url)


def requests(owner_id: UUID, base_url: str, before: str = "", size: int = 20) -> Page:
    """A page of requests, newest first. Three queries."""
    rows = _before(Request.objects.filter(owner=owner_id, erased_at=None), before)[: size + 1]
    sheets = _sheets(rows, base_url)
    return Page(sheets[:size], _mark([sheet.request for sheet in sheets], size))


def request(owner_id: UUID, request_id: UUID, base_url: str) -> Sheet | None:
    """One request; another person's is as missing as one that never was. Three queries."""
    found = _sheets(Request.objects.filter(owner=owner_id, pk=request_id, erased_at=None), base_url)
    return found[0] if found else None


def pictures(owner_id: UUID, base_url: str, before: str = "", size: int = 24) -> Page:
    """A page of finished pictures, newest first. Two queries."""
    rows = list(_before(_finished(owner_id), before)[: size + 1])
    small = {asset.item_id: asset for asset in _thumbnails(row.item_id for row in rows)}
    shown = [
        {"asset": row, "item": row.item, "thumbnail": storage.link(small.get(row.item_id, row).key, base_url)}
        for row in rows[:size]
    ]
    return Page(shown, _mark(rows, size))


def picture(owner_id: UUID, asset_id: UUID) -> Asset | None:
    return _finished(owner_id).filter(pk=asset_id).first()


def neighbours(asset: Asset) -> tuple[Asset | None, Asset | None]:
    """The pictures made just after and just before this one. Two queries."""
    mine = _finished(asset.owner_id)
    older = _older_than(mine, asset.created_at, asset.pk).order_by("-created_at", "-pk").first()
    newer = (
        mine.filter(Q(created_at__gt=asset.created_at) | Q(created_at=asset.created_at, pk__gt=asset.pk))
        .order_by("created_at", "pk")
        .first()
    )
    return newer, older


def _finished(owner_id: UUID) -> QuerySet[Asset]:
    made = Asset.objects.filter(owner=owner_id, kind=AssetKind.IMAGE, item__status=ItemStatus.SUCCEEDED)
    return made.select_related("item")


def _thumbnails(item_ids: Iterable[int | None]) -> QuerySet[Asset]:
    return Asset.objects.filter(item__in=list(item_ids), kind=AssetKind.THUMBNAIL)


# --- Cards ---------------------------------------------------------------------------------------


def _sheets(rows: QuerySet[Request], base_url: str) -> list[Sheet]:
    items = Prefetch("items", Item.objects.order_by("index"), to_attr="cards_of")
    found: list[Any] = list(rows.prefetch_related(items))
    shown = {request.pk: request.cards_of[:MOST_SHOWN] for request in found}
    files: dict[int, dict[str, Asset]] = {}
    ids = [item.pk for items in shown.values() for item in items]
    shown_kinds = (AssetKind.IMAGE, AssetKind.THUMBNAIL)
    for asset in Asset.objects.filter(item__in=ids, kind__in=shown_kinds).order_by("created_at"):  # the newest last
        files.setdefault(asset.item_id or 0, {})[asset.kind] = asset
    return [
        Sheet(request, [_card(item, files.get(item.pk, {}), base_url) for item in shown[request.pk]])
        for request in found
    ]


def _card(item: Item, files: dict[str, Asset], base_url: str) -> Card:
    state = _state_of(item)
    picture = files.get(AssetKind.IMAGE) if state == COMPLETED else None
    thumbnail = files.get(AssetKind.THUMBNAIL, picture) if picture else None
    return Card(
        item=item,
        state=state,
        progress=100 if item.is_final else min(item.progress, 99),
        picture_id=picture.pk if picture else None,
        picture=storage.link(picture.key, base_url) if picture else "",
        thumbnail=storage.link(thumbnail.key, base_url) if thumbnail else "",
        width=(picture.width if picture else 0) or 1,
        height=(picture.height if picture else 0) or 1,
        what_to_do=WAY_OUT.get(item.error_code, ANY_WAY_OUT) if state == FAILED else "",
    )


def _state_of(item: Item) -> str:
    """The word for people: what waits with something made already is in progress."""
    status = ItemStatus(item.status)
    if status in (ItemStatus.QUEUED, ItemStatus.HELD):
        return IN_PROGRESS if item.step else QUEUED
    return _WORDS[status]


# --- Pages of long lists: by the last row shown, so that new rows on top move nothing ---------------


def _before(rows: QuerySet, mark: str) -> QuerySet:
    rows = rows.order_by("-created_at", "-pk")
    if not mark:
        return rows
    moment, _, row_id = mark.rpartition("_")
    try:
        return _older_than(rows, datetime.fromisoformat(moment), UUID(row_id))
    except ValueError:
        return rows


def _older_than(rows: QuerySet, moment: datetime, row_id: UUID) -> QuerySet:
    return rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, pk__lt=row_id))


def _mark(rows: Sequence[Any], size: int) -> str:
    if len(rows) <= size:
        return ""
    last = rows[size - 1]
    return f"{last.created_at.isoformat()}_{last.pk}"
