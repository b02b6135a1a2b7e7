"""What a person has had made: finished pictures, models, poses and stories' pictures, found again by what they are.

Every list is one person's own, newest first, in a fixed number of queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet

from generation import storage
from generation.dashboard import wares
from generation.dashboard.doors import MAKEIT3D, POSES, STORIES, VISUALS
from generation.dashboard.fields import is_our_task
from generation.dashboard.shelf import Page, continued, marked, older_than, thumbnails
from generation.doors.poses.plan import CHANGE_GROUP
from generation.models import Asset, AssetKind, ItemStatus, PoseProject, Request

PAGE = 24
# Of so many of the newest requests the tasks are offered in the filter.
NEWEST, MOST_TASKS = 400, 40
KINDS: dict[str, str] = {
    "": "All",
    "pictures": "Pictures",
    "models": "3D models",
    "poses": "Poses",
    "stories": "Stories",
}
_IS = {
    "pictures": Q(kind=AssetKind.IMAGE, item__door__in=(VISUALS, MAKEIT3D)),
    "models": Q(kind=AssetKind.MODEL),
    "poses": Q(kind=AssetKind.IMAGE, item__door=POSES),
    "stories": Q(kind=AssetKind.IMAGE, item__door=STORIES),
}


@dataclass(frozen=True)
class Filter:
    """What of it is wanted. since, until: whole days, both included; what cannot be read is left out."""

    kind: str = ""
    task: str = ""
    since: date | None = None
    until: date | None = None

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> Filter:
        kind = query.get("kind", "")
        task = query.get("task", "").replace("\0", "")[:255]
        return cls(kind if kind in KINDS else "", task, _day(query.get("since")), _day(query.get("until")))

    @property
    def is_set(self) -> bool:
        return bool(self.kind or self.task or self.since or self.until)

    @property
    def query(self) -> str:
        """As it stands in an address."""
        return self._query(self.kind)

    @property
    def tabs(self) -> list[tuple[str, str, bool]]:
        """The kinds with the rest of the filter: words, query and whether it is the one."""
        return [(words, self._query(kind), kind == self.kind) for kind, words in KINDS.items()]

    def _query(self, kind: str) -> str:
        given = {"kind": kind, "task": self.task, "since": self.since or "", "until": self.until or ""}
        return urlencode({name: value for name, value in given.items() if value})

    def sift(self, rows: QuerySet[Asset]) -> QuerySet[Asset]:
        rows = rows.filter(_IS[self.kind] if self.kind else Q(kind__in=(AssetKind.IMAGE, AssetKind.MODEL)))
        if self.task:
            rows = rows.filter(request__group=self.task)
        if self.since:
            rows = rows.filter(created_at__gte=_midnight(self.since))
        if self.until:
            rows = rows.filter(created_at__lt=_midnight(self.until + timedelta(days=1)))
        return rows


@dataclass(frozen=True)
class Tile:
    """One result on the wall. thumbnail: a link, empty when nothing of it can be drawn."""

    asset: Asset
    thumbnail: str

    @property
    def is_model(self) -> bool:
        return self.asset.kind == AssetKind.MODEL

    @property
    def words(self) -> str:
        """What it shows, for whoever cannot see it."""
        item = self.asset.item
        return (wares.words_of(item) or wares.kind_of(item) if item else "") or "Without words"


def tiles(owner_id: UUID, base_url: str, chosen: Filter, mark: str = "", size: int = PAGE) -> Page:
    """A page of finished results. Two queries."""
    rows = list(continued(chosen.sift(_finished(owner_id)), mark)[: size + 1])
    small = {asset.item_id: asset for asset in thumbnails(row.item_id for row in rows)}
    return Page([_tile(row, small.get(row.item_id), base_url) for row in rows[:size]], marked(rows, size))


def find(owner_id: UUID, asset_id: UUID) -> Asset | None:
    """One finished result; another person's is as missing as one that never was. One query."""
    wanted = Q(kind__in=(AssetKind.IMAGE, AssetKind.MODEL))
    return _finished(owner_id).filter(wanted).select_related("item__request").filter(pk=asset_id).first()


def neighbours(asset: Asset, chosen: Filter) -> tuple[Asset | None, Asset | None]:
    """The results made just after and just before this one, of those that are wanted. Two queries."""
    mine = chosen.sift(_finished(asset.owner_id))
    older = older_than(mine, asset.created_at, asset.pk).order_by("-created_at", "-pk").first()
    newer = (
        mine.filter(Q(created_at__gt=asset.created_at) | Q(created_at=asset.created_at, pk__gt=asset.pk))
        .order_by("created_at", "pk")
        .first()
    )
    return newer, older


def thumbnail_of(asset: Asset, base_url: str) -> str:
    small = thumbnails([asset.item_id]).last()
    return storage.link(small.key, base_url) if small else ""


def tasks(owner_id: UUID, chosen: str = "") -> list[tuple[str, str]]:
    """The tasks, projects and stories of one's newest requests, and the chosen one: value and name. Two queries."""
    mine = Request.objects.filter(owner=owner_id, erased_at=None).order_by("-created_at")
    found: dict[str, str] = {chosen: chosen} if chosen else {}
    for door, group, title in mine.values_list("door", "group", "params__template_title")[:NEWEST]:
        if group and not is_our_task(group) and not group.startswith(CHANGE_GROUP):
            found[group] = str(title or group) if door == STORIES else group
    projects = PoseProject.objects.filter(owner=owner_id).values_list("pk", "name")[:200]
    names = {str(pk): name for pk, name in projects}
    return [(group, names.get(group, name)) for group, name in list(found.items())[:MOST_TASKS]]


def _finished(owner_id: UUID) -> QuerySet[Asset]:
    made = Asset.objects.filter(owner=owner_id, item__status=ItemStatus.SUCCEEDED, request__erased_at=None)
    return made.select_related("item")


def _tile(asset: Asset, small: Asset | None, base_url: str) -> Tile:
    shown = small or (asset if asset.kind == AssetKind.IMAGE else None)
    return Tile(asset, storage.link(shown.key, base_url) if shown else "")


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def next_wares(asset: Asset) -> list[wares.Ware]:
    """What may be made of a result."""
    names = wares.NEXT_OF_MODEL if asset.kind == AssetKind.MODEL else wares.NEXT_OF_PICTURE
    return [wares.BY_OPERATION[name] for name in names]
