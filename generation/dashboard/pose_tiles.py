"""Poses as their owner sees them: what each is called, how far it is, its small picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generation import storage
from generation.dashboard.sheets import Worded
from generation.doors.poses import present
from generation.models import Item, ItemStatus, LibraryPose

STEPS = {
    "generate": "drawing",
    "cut-out": "cutting out",
    "background": "painting the background",
    "compose": "putting together",
    "seam": "blending",
}


@dataclass(frozen=True)
class Tile(Worded):
    """One pose as its owner sees it. thumbnail: a link, empty while there is none."""

    item: Item
    name: str
    variation: str
    word: str
    thumbnail: str
    fault: str


def tiles(items: Sequence[Item], base_url: str) -> list[Tile]:
    """Each pose as it is shown. Two queries."""
    ids = {item.params["poseLibraryId"] for item in items} - {None}
    names = {str(pk): name for pk, name in LibraryPose.objects.filter(pk__in=ids).values_list("pk", "name")}
    changes = present.newest_changes(items)
    return [
        _tile(item, changes.get(item.public_id) or item, names.get(item.params["poseLibraryId"], ""), base_url)
        for item in items
    ]


def _tile(item: Item, shown: Item, name: str, base_url: str) -> Tile:
    is_done = item.status == ItemStatus.SUCCEEDED
    key = present.key_of(shown, "thumbnail") or present.output_key(shown)
    return Tile(
        item,
        name or "As described",
        item.params["variationKey"].rpartition("-v")[2],
        word_of(item),
        storage.link(key, base_url) if is_done and key else "",
        present.message_of(item) if item.is_final and not is_done else "",
    )


def word_of(item: Item) -> str:
    """The word for people: what is being done with a pose that is on its way."""
    if item.is_final:
        return {ItemStatus.SUCCEEDED: "completed", ItemStatus.FAILED: "failed"}.get(
            ItemStatus(item.status), "cancelled"
        )
    return STEPS.get(item.step_name, "finishing") if item.first_started_at else "queued"
