"""How /ws/live spells a request of any door: one canonical document, for a snapshot and for a change.

The words are the desk's own states in lower case. Everything here may be seen by the request's owner: no
vendor, no price but their own credits, no word of staff.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from django.db.models import Count, Q, Sum

from generation import storage
from generation.models import Asset, AssetKind, Event, Item, ItemStatus, Request

# Items that one message shows; `counts` and `progress` speak of all.
MOST_ITEMS = 500
_SHOWN = (
    *("id", "public_id", "request_id", "index", "status", "progress", "hold_reason", "run_after"),
    *("charged", "refunded", "error_code", "error_message", "error_retryable"),
)
_LINKS = {AssetKind.IMAGE: "image_url", AssetKind.THUMBNAIL: "thumbnail_url", AssetKind.MODEL: "model_url"}
FINAL = (ItemStatus.SUCCEEDED, ItemStatus.FAILED, ItemStatus.CANCELLED)


@dataclass(frozen=True)
class Page:
    """The rows that a round of documents is made of."""

    items: dict[UUID, list[Item]]
    counts: dict[UUID, Counter[str]]
    progress: dict[UUID, int]
    names: dict[int, str]
    keys: dict[int, dict[str, str]]

    @classmethod
    def read(cls, requests: Iterable[Request], wanted: Iterable[tuple[UUID, Collection[int] | None]]) -> Self:
        """Read what documents of these requests show; wanted: per document its items, None for all. Three queries."""
        asked = Q(pk__in=[])
        for request_id, ids in wanted:
            asked |= Q(request_id=request_id, index__lt=MOST_ITEMS) if ids is None else Q(pk__in=ids)
        items: dict[UUID, list[Item]] = {}
        for item in Item.objects.filter(asked).only(*_SHOWN).order_by("request_id", "index"):
            items.setdefault(item.request_id, []).append(item)
        made = [item.pk for those in items.values() for item in those if item.status == ItemStatus.SUCCEEDED]
        keys: dict[int, dict[str, str]] = {}
        assets = Asset.objects.filter(item__in=made, kind__in=_LINKS) if made else Asset.objects.none()
        for item_id, kind, key in assets.order_by("created_at").values_list("item_id", "kind", "key"):
            keys.setdefault(item_id or 0, {})[_LINKS[AssetKind(kind)]] = key
        counts: dict[UUID, Counter[str]] = {}
        progress: dict[UUID, int] = {}
        sums = Item.objects.filter(request__in=[request.pk for request in requests]).values("request_id", "status")
        for row in sums.annotate(count=Count("pk"), done=Sum("progress")).order_by():
            counts.setdefault(row["request_id"], Counter())[row["status"]] = row["count"]
            done = 100 * row["count"] if row["status"] in FINAL else row["done"]
            progress[row["request_id"]] = progress.get(row["request_id"], 0) + done
        names = {item.pk: item.public_id for those in items.values() for item in those}
        return cls(items, counts, progress, names, keys)


def spell_request(
    page: Page,
    request: Request,
    changed: Collection[int] | None,
    events: Sequence[Event] | None,
    seq: int,
    base_url: str,
    at: datetime,
) -> str:
    """Spell a request. changed: the items to show, None for all. events: what happened; None makes it a snapshot."""
    counts = page.counts.get(request.pk, Counter())
    total = counts.total()
    items = [item for item in page.items.get(request.pk, []) if changed is None or item.pk in changed]
    document: dict[str, Any] = {
        "type": "snapshot" if events is None else "event",
        "request": str(request.pk),
        "public_id": request.public_id,
        "door": request.door,
        "group": request.group,
        "seq": seq,
        "round": request.round,
        "status": request.status.lower(),
        "progress": page.progress.get(request.pk, 0) // total if total else 0,
        "counts": {"total": total, **{status.lower(): counts[status] for status in ItemStatus.values}},
        "items": [_item(item, page.keys.get(item.pk, {}), base_url) for item in items[:MOST_ITEMS]],
        "at": iso(at),
    }
    if events is not None:
        document["events"] = [
            {"seq": event.seq, "kind": event.kind, "item": page.names.get(event.item_id or 0), "at": iso(event.at)}
            for event in events
        ]
    return json.dumps(document)


def _item(item: Item, keys: dict[str, str], base_url: str) -> dict[str, Any]:
    failure = {"code": item.error_code, "message": item.error_message, "retryable": item.error_retryable}
    return {
        "id": item.public_id,
        "index": item.index,
        "status": item.status.lower(),
        "progress": item.progress,
        "waits_for": item.hold_reason if item.status == ItemStatus.HELD else None,
        "next_try_at": iso(item.run_after) if item.status == ItemStatus.HELD else None,
        "error": failure if item.status == ItemStatus.FAILED else None,
        "credits_charged": item.charged,
        "credits_refunded": item.refunded,
        **{name: storage.link(keys[name], base_url) if name in keys else None for name in _LINKS.values()},
    }


def iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None
