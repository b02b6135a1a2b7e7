"""Exports on demand: an archive of a generation's poses, and one export made anew.

What the worker made is read from the store; what is missing is made on the way and not kept.
"""

from __future__ import annotations

import contextlib
import io
import logging
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from django.utils import timezone

from config.api.errors import ApiError
from generation import exports, images, steps, storage
from generation.doors.poses import present
from generation.doors.poses.base import missing
from generation.images import BadPicture
from generation.models import Asset, AssetKind, Item, Request

log = logging.getLogger(__name__)

# What the archive holds when nothing was asked for, now or before.
USUAL = ("instagram_post", "instagram_story", "tiktok", "shopee_product")

# A pose, and the item whose picture it shows: itself, or its newest change of background.
Pair = tuple[Item, Item]


def names_of(asked: str | None, shown: Iterable[Item]) -> list[str]:
    """Which exports an archive holds: those asked for that exist, else all that were made, else the usual ones.

    Raises ApiError 400 when none of those asked for exists.
    """
    if not asked:
        made = dict.fromkeys(name for item in shown for name in present.export_keys(item))
        return list(made) or list(USUAL)
    known = [name for name in dict.fromkeys(word.strip() for word in asked.split(",")) if exports.preset_of(name)]
    if not known:
        raise ApiError(400, "VALIDATION_ERROR", f"Known formats: {', '.join(exports.names())}.")
    return known


def archive(pairs: Sequence[Pair], names: Sequence[str]) -> Iterator[bytes]:
    """Yield a ZIP while it is written: one pose's pictures in memory at a time. One whose file is gone is left out."""
    connection.close()  # a slow reader holds no connection
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as pack:
        for item, shown in pairs:
            try:
                for name, data, extension in _files(item, shown, names):
                    pack.writestr(f"{name}/{item.public_id}.{extension}", data)
                    yield sink.take()
            except (storage.KeyMissing, BadPicture) as error:
                log.warning("a pose is left out of an archive: %s", error, extra={"item": item.public_id})
    yield sink.take()


class _Sink(io.RawIOBase):
    """Takes what the archive writes and hands it on."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def _files(item: Item, shown: Item, names: Sequence[str]) -> Iterator[tuple[str, bytes, str]]:
    there = present.export_keys(shown)
    for name in names:
        if name in there:
            yield name, storage.read(there[name]), there[name].rpartition(".")[2]
    for name, picture in _make(item, shown, [name for name in names if name not in there]).items():
        yield name, picture.data, picture.extension


def _make(item: Item, shown: Item, names: Sequence[str]) -> dict[str, images.Picture]:
    if not names:
        return {}
    figure = steps.figure_of(shown, item.params["figure"])
    with images.opened(storage.open_file(present.output_key(shown))) as (image,):
        return exports.make(image, names, figure)


def regenerate(item: Item, shown: Item, name: str, base_url: str) -> str:
    """Make one export of a pose anew, keep it in place of the old one, and return its link.

    Raises ApiError: 404 when the picture is gone, 503 when the store is away.
    """
    connection.close()
    try:
        picture = _make(item, shown, [name])[name]
        key = storage.pose_export(item.request_id, f"{item.public_id}_{name}_{uuid4().hex[:8]}", picture.extension)
        storage.save(key, picture.body)
    except (storage.KeyMissing, BadPicture) as error:
        raise ApiError(404, "NOT_FOUND", "The picture of this pose is gone.") from error
    except storage.StorageError as error:
        text = "The export cannot be stored at the moment."
        raise ApiError(503, "SERVICE_UNAVAILABLE", text, headers={"Retry-After": "5"}) from error
    unnamed = _remember(shown, name, key, picture)
    for one in unnamed:
        with contextlib.suppress(storage.StorageError):
            storage.delete(one)
    if key in unnamed:
        raise missing("POSE_NOT_FOUND", "Pose not found")
    return storage.link(key, base_url)


def _remember(shown: Item, name: str, key: str, picture: images.Picture) -> list[str]:
    """Let an item show this export under that name; return the keys that nobody names now: those of exports before it,
    or its own when the pose was erased meanwhile."""
    with transaction.atomic():
        if not Request.objects.select_for_update().filter(pk=shown.request_id, erased_at=None).exists():
            return [key]
        row = Item.objects.select_for_update().get(pk=shown.pk)
        made = row.results.get("exports") or {}
        told = {"key": key, "content_type": picture.content_type, "width": picture.width, "height": picture.height}
        files = {**(made.get("files") or {}), name: told}
        Item.objects.filter(pk=row.pk).update(results={**row.results, "exports": {**made, "files": files}})
        older = Asset.objects.filter(item=row, step="exports", name=name)
        keys = list(older.values_list("key", flat=True))
        older.delete()
        Asset.objects.create(
            owner_id=row.owner_id,
            request_id=row.request_id,
            item=row,
            kind=AssetKind.EXPORT,
            step="exports",
            name=name,
            key=key,
            content_type=picture.content_type,
            size_bytes=picture.size_bytes,
            sha256=picture.sha256,
            width=picture.width,
            height=picture.height,
            created_at=timezone.now(),
        )
    return keys
