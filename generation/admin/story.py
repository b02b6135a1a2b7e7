"""Everything about one request on one page, in a number of queries that does not grow with it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from config.models import Approval, StaffAct
from config.staff import Verb
from credits import ledger
from credits.models import Entry
from generation import storage
from generation.models import Asset, AssetKind, Attempt, Event, Item, Request

MOST_ITEMS = 100
MOST_EVENTS = 300
MOST_FILES = 2000

PICTURES = (AssetKind.IMAGE, AssetKind.PREVIEW, AssetKind.STAGE)


@dataclass(frozen=True)
class File:
    """A stored file: what it is, in words, and a link to it."""

    words: str
    link: str
    pixels: str = ""


@dataclass
class ItemStory:
    """One item with what was tried for it and what came of it. files: whatever is neither shown nor small."""

    item: Item
    attempts: list[Attempt] = field(default_factory=list)
    thumbnail: str = ""
    pictures: list[File] = field(default_factory=list)
    models: list[File] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    verbs: list[Verb] = field(default_factory=list)
    cost_usd: Decimal = Decimal(0)

    def keep(self, asset: Asset, base_url: str) -> None:
        file = file_of(asset, base_url)
        if asset.kind == AssetKind.THUMBNAIL:
            self.thumbnail = self.thumbnail or file.link
        elif asset.kind == AssetKind.MODEL:
            self.models.append(file)
        elif asset.kind in PICTURES:
            self.pictures.append(file)
        else:
            self.files.append(file)


def file_of(asset: Asset, base_url: str) -> File:
    words = " ".join(filter(None, (asset.get_kind_display().lower(), asset.name)))
    pixels = f"{asset.width} × {asset.height}" if asset.width else ""
    return File(words, storage.link(asset.key, base_url), pixels)


@dataclass(frozen=True)
class Story:
    """`paid` is what the customer paid in the end: charges less what was given back."""

    items: list[ItemStory]
    items_total: int
    events: list[Event]
    entries: list[Entry]
    acts: list[StaffAct]
    approvals: list[Approval]
    files: list[File]
    paid: int
    cost_usd: Decimal


def of_request(request: Request, base_url: str) -> Story:
    """Tell a request's story: its first items, newest events, whole receipt. Eleven queries."""
    items = list(request.items.order_by("index")[:MOST_ITEMS])
    files = [file_of(asset, base_url) for asset in Asset.objects.filter(request=request, item=None)[:MOST_FILES]]
    total, events = request.items.count(), Event.objects.filter(request=request)
    return _story(items, total, events, f"request:{request.pk}", base_url, files)


def of_item(item: Item, base_url: str) -> Story:
    """Tell one item's story. The charge is its request's, so its receipt shows what was given back."""
    told = _story([item], 1, Event.objects.filter(item=item), f"item:{item.pk}", base_url)
    return replace(told, paid=item.charged - item.refunded)


def _story(
    items: list[Item], total: int, events: Any, subject: str, base_url: str, files: list[File] | None = None
) -> Story:
    stories = {item.pk: ItemStory(item) for item in items}
    for attempt in Attempt.objects.filter(item__in=stories).order_by("pk"):
        stories[attempt.item_id].attempts.append(attempt)
        stories[attempt.item_id].cost_usd += attempt.cost_usd
    for asset in Asset.objects.filter(item__in=stories).order_by("created_at", "name")[:MOST_FILES]:
        stories[asset.item_id or 0].keep(asset, base_url)
    subjects = list(dict.fromkeys([subject, *(f"item:{pk}" for pk in stories)]))
    entries = ledger.postings(subjects)
    return Story(
        items=list(stories.values()),
        items_total=total,
        events=list(events.select_related("item").order_by("-seq")[:MOST_EVENTS]),
        entries=entries,
        acts=list(StaffAct.objects.filter(subject__in=subjects).select_related("actor").order_by("-at")[:50]),
        approvals=list(Approval.objects.filter(subject__in=subjects, decided_at=None).select_related("asked_by")[:20]),
        files=files or [],
        paid=-sum(entry.amount for entry in entries),
        cost_usd=sum((one.cost_usd for one in stories.values()), Decimal(0)),
    )


def costs(requests: list[Request]) -> dict[Any, Decimal]:
    """What providers asked for each of these requests. One query."""
    rows = Attempt.objects.filter(item__request__in=requests).values_list("item__request").annotate(Sum("cost_usd"))
    found: dict[Any, Decimal] = defaultdict(Decimal)
    found.update(rows)
    return found
