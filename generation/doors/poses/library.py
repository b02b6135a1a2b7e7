"""The pose library: from the data file beside this one into rows and drawn pictures.

Loading is idempotent: a pose's id comes from its category and name, its pictures' names from its
keypoints, so that a second load draws nothing and a changed figure is drawn anew. What staff changed by
hand in a row (public, featured, premium) and what customers did (uses, favourites) is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from PIL import Image

from generation import posemap, storage
from generation.models import LibraryPose, PoseCategory

SOURCE = Path(__file__).with_suffix(".json")
NAMESPACE = UUID("6d0f7c1e-2f0b-5a53-9a7e-1c1d5f0a7be4")
MAP_PX, PREVIEW_PX, THUMBNAIL_PX = 1024, 1024, 400
GROUND = "#f4f0ea"


@dataclass(frozen=True)
class Loaded:
    """added, redrawn, unchanged: numbers of poses."""

    added: int
    redrawn: int
    unchanged: int


def load(*, redraw: bool = False) -> Loaded:
    """Bring categories and poses of the data file into the tables and draw what is missing.

    redraw: look for each picture in the store and draw again what is gone. Raises StorageError.
    """
    data = json.loads(SOURCE.read_text())
    categories = _load_categories(data["categories"])
    there = dict(LibraryPose.objects.values_list("pk", "map_key"))
    wanted = [(one, pose_id := _id(one), _keys(pose_id, one["keypoints"])) for one in data["poses"]]
    missing = [one for one in wanted if redraw or there.get(one[1]) != one[2]["map_key"]]
    with ThreadPoolExecutor(os.cpu_count()) as hands:
        list(hands.map(lambda one: _draw(one[0]["keypoints"], one[2]), missing))
    for one, pose_id, keys in missing:
        told = {name: one[name] for name in TOLD} | keys | {"category": categories[one["category"]]}
        if pose_id in there:
            LibraryPose.objects.filter(pk=pose_id).update(**told)
        else:
            LibraryPose.objects.create(pk=pose_id, **told, **{name: one[name] for name in STAFFS})
    added = sum(pose_id not in there for _, pose_id, _ in missing)
    return Loaded(added, len(missing) - added, len(wanted) - len(missing))


def _id(one: Mapping[str, Any]) -> UUID:
    return uuid5(NAMESPACE, f"{one['category']}/{one['name']}")


TOLD = ("name", "description", "difficulty", "gender_suitability", "tags", "keypoints")
STAFFS = ("is_featured", "is_premium")


def _load_categories(data: list[Mapping[str, Any]]) -> dict[str, PoseCategory]:
    """Parents come first in the file."""
    found = {category.name: category for category in PoseCategory.objects.all()}
    for one in data:
        if one["name"] not in found:
            told = {key: value for key, value in one.items() if key != "parent"}
            parent = found[one["parent"]] if one["parent"] else None
            found[one["name"]] = PoseCategory.objects.create(slug=one["name"], parent=parent, **told)
    return found


def _keys(pose_id: UUID, keypoints: posemap.Keypoints) -> dict[str, str]:
    digest = hashlib.sha256(json.dumps(keypoints).encode()).hexdigest()[:12]
    return {f"{what}_key": storage.pose_key(pose_id, what, digest) for what in ("map", "preview", "thumbnail")}


def _draw(keypoints: posemap.Keypoints, keys: Mapping[str, str]) -> None:
    preview = posemap.draw_mannequin(keypoints, PREVIEW_PX, PREVIEW_PX, ground=GROUND)
    small = preview.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    _store(keys["map_key"], posemap.draw_map(keypoints, MAP_PX, MAP_PX))
    _store(keys["preview_key"], preview)
    _store(keys["thumbnail_key"], small)


def _store(key: str, picture: Image.Image) -> None:
    """Store a drawing; one of that name shows the same figure already."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    with contextlib.suppress(storage.KeyTaken):
        storage.save(key, out)
