"""What a form can be given to work on: files that a person brought, and results of their own.

A file that is brought is looked at by the door's own check and kept at once, so that a form that is refused for
another reason need not be given it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q, QuerySet

from generation import inputs, storage
from generation.dashboard import wares
from generation.dashboard.shelf import Page, continued, marked, thumbnails
from generation.doors.makeit3d import uploads
from generation.doors.makeit3d.catalogue import Kind
from generation.doors.makeit3d.inputs import MODELS
from generation.models import Asset, AssetKind, ItemStatus

SHOWN = 18
# A file that somebody brought has no small picture: up to so many bytes it stands for itself.
MOST_SHOWN_BYTES = 3 * 1024 * 1024
ACCEPTS = {
    Kind.IMAGE: "image/png,image/jpeg,image/webp,image/gif,image/bmp,image/tiff",
    Kind.MODEL: ".glb,.obj,model/gltf-binary,model/obj",
}


@dataclass(frozen=True)
class Source:
    """One file to choose. picture: a link to look at it by, empty when there is none; words: what it is."""

    asset: Asset
    picture: str
    words: str


def own(owner_id: UUID, kind: Kind, base_url: str, mark: str = "") -> Page:
    """A page of one's files of a kind, newest first. Two queries."""
    rows = list(continued(_usable(owner_id, kind), mark)[: SHOWN + 1])
    return Page(sources(rows[:SHOWN], base_url), marked(rows, SHOWN))


def find(owner_id: UUID, kind: Kind, ids: Sequence[str]) -> dict[str, Asset]:
    """One's own files by their ids; another person's are as missing as ones that never were. One query."""
    known = [UUID(one) for one in ids if is_uuid(one)]
    if not known:
        return {}
    return {str(asset.pk): asset for asset in _usable(owner_id, kind).filter(pk__in=known)}


def by_keys(owner_id: UUID, keys: Sequence[Any]) -> dict[str, Asset]:
    """One's own files by where they are stored. One query."""
    return inputs.own([key for key in keys if isinstance(key, str)], owner_id)


def sources(assets: Sequence[Asset], base_url: str) -> list[Source]:
    """Files as they are shown. One query."""
    small = {asset.item_id: asset for asset in thumbnails(asset.item_id for asset in assets)}
    return [Source(asset, _picture_of(asset, small, base_url), words_of(asset)) for asset in assets]


def keep(sent: UploadedFile, kind: Kind, owner_id: UUID) -> Asset:
    """Look at a file that was brought and keep it. Raises ApiError."""
    file = uploads.checked(sent)
    if (file.content_type in MODELS) != (kind is Kind.MODEL):
        file.close()
        raise inputs.invalid(
            uploads.FIELD, "This is a model." if kind is Kind.IMAGE else "This is no GLB or OBJ model."
        )
    asset = inputs.store(file, owner_id)
    asset.save(force_insert=True)
    return asset


def words_of(asset: Asset) -> str:
    """What a file is, for whoever cannot see it."""
    made = (wares.words_of(asset.item) or wares.kind_of(asset.item))[:80] if asset.item else "Added by you"
    size = f", {asset.width} × {asset.height}" if asset.width else ""
    return f"{made or 'Without words'}{size}"


def _usable(owner_id: UUID, kind: Kind) -> QuerySet[Asset]:
    types = inputs.PICTURES if kind is Kind.IMAGE else MODELS
    made = Q(kind=AssetKind.IMAGE if kind is Kind.IMAGE else AssetKind.MODEL, item__status=ItemStatus.SUCCEEDED)
    mine = Asset.objects.filter(Q(kind=AssetKind.INPUT) | made, owner=owner_id, content_type__in=types)
    return mine.select_related("item")


def _picture_of(asset: Asset, small: dict[int | None, Asset], base_url: str) -> str:
    if asset.item_id and (thumbnail := small.get(asset.item_id)):
        return storage.link(thumbnail.key, base_url)
    if asset.content_type in inputs.PICTURES and asset.size_bytes <= MOST_SHOWN_BYTES:
        return storage.link(asset.key, base_url)
    return ""


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
