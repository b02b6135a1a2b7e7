"""What the pages read of requests: one person's, each page in a fixed number of queries. Results are in `gallery`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from generation import queue, storage
from generation.dashboard.sheets import ANY_WAY_OUT, COMPLETED, FAILED, OPEN, QUEUED, WAY_OUT, Card, Sheet, state_of
from generation.doors.poses.plan import CHANGE_GROUP
from generation.models import Asset, AssetKind, Item, Request

MOST_SHOWN = 100


@dataclass(frozen=True)
class Page:
    """Some of a long list; `older` continues it, empty at its end."""

    rows: Sequence[Any]
    older: str


def running(owner_id: UUID, base_url: str) -> list[Sheet]:
    """The newest requests that have not ended. Three queries."""
    return _sheets(Request.objects.filter(owner=owner_id, status__in=OPEN).order_by("-created_at")[:12], base_url)


def requests(owner_id: UUID, base_url: str, before: str = "", door: str = "", size: int = 20) -> Page:
    """A page of requests, newest first, of one door or of all. Three queries."""
    mine = Request.objects.filter(owner=owner_id, erased_at=None)
    if door:
        mine = mine.filter(door=door).exclude(group__startswith=CHANGE_GROUP)
    rows = continued(mine, before)[: size + 1]
    sheets = _sheets(rows, base_url)
    return Page(sheets[:size], marked([sheet.request for sheet in sheets], size))


def request(owner_id: UUID, request_id: UUID, base_url: str) -> Sheet | None:
    """One request; another person's is as missing as one that never was. Three queries."""
    found = _sheets(Request.objects.filter(owner=owner_id, pk=request_id, erased_at=None), base_url)
    return found[0] if found else None


def card_of(asset: Asset) -> Card:
    """The item that a result came from, as its owner sees it."""
    assert asset.item
    return _card(asset.item, {}, "")


def with_places(sheet: Sheet) -> Sheet:
    """The same with the place in the queue of each item that waits. One query when some do."""
    waiting = [card.item for card in sheet.cards if card.state == QUEUED]
    if not waiting:
        return sheet
    places = dict(zip((item.pk for item in waiting), queue.positions(waiting), strict=True))
    return replace(sheet, cards=[replace(card, place=places.get(card.item.pk, 0)) for card in sheet.cards])


def thumbnails(item_ids: Iterable[int | None]) -> QuerySet[Asset]:
    return Asset.objects.filter(item__in=[pk for pk in item_ids if pk], kind=AssetKind.THUMBNAIL).order_by("created_at")


# --- Cards ---------------------------------------------------------------------------------------


def _sheets(rows: QuerySet[Request], base_url: str) -> list[Sheet]:
    items = Prefetch("items", Item.objects.order_by("index"), to_attr="cards_of")
    found: list[Any] = list(rows.prefetch_related(items))
    shown = {request.pk: request.cards_of[:MOST_SHOWN] for request in found}
    files: dict[int, dict[str, Asset]] = {}
    ids = [item.pk for items in shown.values() for item in items]
    kinds = (AssetKind.IMAGE, AssetKind.MODEL, AssetKind.THUMBNAIL)
    for asset in Asset.objects.filter(item__in=ids, kind__in=kinds).order_by("created_at"):  # the newest last
        files.setdefault(asset.item_id or 0, {})[asset.kind] = asset
    return [
        Sheet(request, [_card(item, files.get(item.pk, {}), base_url) for item in shown[request.pk]])
        for request in found
    ]


def _card(item: Item, files: dict[str, Asset], base_url: str) -> Card:
    state = state_of(item)
    made = (files.get(AssetKind.MODEL) or files.get(AssetKind.IMAGE)) if state == COMPLETED else None
    small = files.get(AssetKind.THUMBNAIL) or (files.get(AssetKind.IMAGE)) if made else None
    return Card(
        item=item,
        state=state,
        progress=100 if item.is_final else min(item.progress, 99),
        asset=made,
        link=storage.link(made.key, base_url) if made else "",
        thumbnail=storage.link(small.key, base_url) if small else "",
        what_to_do=WAY_OUT.get(item.error_code, ANY_WAY_OUT) if state == FAILED else "",
    )


# --- Pages of long lists: by the last row shown, so that new rows on top move nothing ---------------


def continued(rows: QuerySet, mark: str) -> QuerySet:
    rows = rows.order_by("-created_at", "-pk")
    if not mark:
        return rows
    moment, _, row_id = mark.rpartition("_")
    try:
        return older_than(rows, datetime.fromisoformat(moment), UUID(row_id))
    except ValueError:
        return rows


def older_than(rows: QuerySet, moment: datetime, row_id: UUID) -> QuerySet:
    return rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, pk__lt=row_id))


def marked(rows: Sequence[Any], size: int) -> str:
    if len(rows) <= size:
        return ""
    last = rows[size - 1]
    return f"{last.created_at.isoformat()}_{last.pk}"
