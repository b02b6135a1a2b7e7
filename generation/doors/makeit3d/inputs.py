"""What a request is made from: the files that its input fields name, found or fetched before anything is stored.

Links are followed as `generation.inputs` says; here is what the fields themselves ask for: pictures or models, how
many, and masks as large as their pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

from config.api.errors import ApiError
from generation import inputs, meshes, storage
from generation.doors.makeit3d.catalogue import Input, Kind
from generation.doors.makeit3d.serializers import Wish
from generation.models import Asset
from generation.steps import File
from providers import registry
from providers.sniff import Look
from providers.spool import Spool

OBJ = "model/obj"
MODELS = (meshes.CONTENT_TYPE, OBJ)
WRONG_KIND = {
    Kind.IMAGE: inputs.NO_PICTURE,
    Kind.MODEL: "It must lead to a GLB or OBJ model.",
}

Files = Mapping[str, Sequence[Asset | None]]


@dataclass(frozen=True)
class Gathered:
    """by_field: input field -> its files in order, None for a missing view. fetched: those that have no row yet."""

    by_field: Files
    fetched: Sequence[Asset] = ()

    @property
    def first(self) -> Asset | None:
        return next((asset for assets in self.by_field.values() for asset in assets if asset), None)

    def discard(self) -> None:
        """Remove what was fetched for a request that came to nothing. What cannot be removed now, prune removes."""
        inputs.discard(self.fetched)


def gather(wish: Wish, owner_id: UUID, base_url: str) -> Gathered:
    """Find or fetch every file that a wish names. Raises ApiError as the contract's table has it.

    Costs one query for links of our own, and for others a fetch, a decoding and a write each, without a connection.
    """
    takes = wish.operation.offers[wish.provider].takes or None
    fields = wish.operation.inputs
    wanted = [(one, nth, url) for one in fields for nth, url in enumerate(wish.links[one.name][:takes])]
    keys = {url: storage.key_of_link(url, base_url) for _, _, url in wanted if url}
    mine = inputs.own([key for key in keys.values() if key], owner_id)
    found: dict[str, list[Asset | None]] = {one.name: [] for one in fields}
    fetched: list[Asset] = []
    gathered = Gathered(found, fetched)
    try:
        for one, nth, url in wanted:
            if not url:
                found[one.name].append(None)
                continue
            field = f"{one.name}[{nth}]" if one.most else one.name
            key = keys[url]
            if key is not None:
                asset = _own(one, field, mine.get(key))
            else:
                asset = _fetched(wish, one, field, url, owner_id)
                fetched.append(asset)
            found[one.name].append(asset)
        _check_mask(gathered)
        _check_picture(wish, gathered)
    except ApiError:
        gathered.discard()
        raise
    return gathered


def _own(one: Input, field: str, asset: Asset | None) -> Asset:
    if asset is None:
        raise inputs.missing(field)
    if asset.content_type not in (inputs.PICTURES if one.kind is Kind.IMAGE else MODELS):
        raise inputs.invalid(field, WRONG_KIND[one.kind])
    return asset


def _fetched(wish: Wish, one: Input, field: str, url: str, owner_id: UUID) -> Asset:
    with closing(inputs.fetched(url, field, most_bytes(one.kind), too_large(one.kind, field))) as spool:
        takes_any = wish.operation.name == "downscale"
        file = inputs.decoded(spool, field, takes_any=takes_any) if one.kind is Kind.IMAGE else model_of(spool, field)
        return inputs.store(file, owner_id)


def _check_mask(gathered: Gathered) -> None:
    """A mask says pixel by pixel what may change."""
    masks = gathered.by_field.get("input_mask_asset_url")
    if not masks:
        return
    (mask,), (picture,) = masks, gathered.by_field["input_image_asset_url"]
    if mask and picture and (mask.width, mask.height) != (picture.width, picture.height):
        text = (
            f"The mask has {mask.width} x {mask.height} pixels, the picture {picture.width} x {picture.height}:"
            " they must be the same."
        )
        raise inputs.refusal(422, "MASK_SIZE_MISMATCH", "input_mask_asset_url", text)


def _check_picture(wish: Wish, gathered: Gathered) -> None:
    """What the provider is known to refuse of the picture to work on is refused before it costs anything."""
    operation, picture = wish.operation.name, gathered.first
    if picture is None or not picture.width or not picture.height or not registry.can(wish.provider, operation):
        return
    model = wish.operation.offers[wish.provider].model or registry.offer(wish.provider, operation).models[0]
    look = Look(picture.content_type, True, picture.width, picture.height)
    if fault := registry.adapter(wish.provider).picture_fault(operation, model, look):
        field = next(one for one in wish.operation.inputs if picture in gathered.by_field[one.name])
        raise inputs.invalid(f"{field.name}[0]" if field.most else field.name, fault)


# --- Looking at files ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Plain:
    """A model's file as it came."""

    spool: Spool
    content_type: str
    extension: str
    width: None = None
    height: None = None

    @property
    def body(self) -> BinaryIO:
        return self.spool.rewind().file

    @property
    def size_bytes(self) -> int:
        return self.spool.size_bytes

    @property
    def sha256(self) -> str:
        return self.spool.sha256

    def close(self) -> None:
        self.spool.close()


def model_of(spool: Spool, field: str) -> File:
    """Look at a model: a GLB by its table of chunks, an OBJ by its first lines. Raises ApiError 422."""
    if is_obj(spool.head(64 * 1024)):
        return Plain(spool, OBJ, "obj")
    try:
        meshes.read(spool.file, spool.size_bytes)
    except meshes.BadModel as fault:
        raise inputs.invalid(field, f"{WRONG_KIND[Kind.MODEL]} This is {fault}.") from None
    return Plain(spool, meshes.CONTENT_TYPE, "glb")


_OBJ_WORDS = frozenset(
    ["v", "vt", "vn", "vp", "f", "l", "p", "o", "g", "s", "mg", "usemtl", "mtllib", "usemap", "maplib"]
    + ["deg", "cstype", "curv", "curv2", "surf", "end", "parm", "trim", "hole", "scrv", "sp", "con"]
    + ["bevel", "c_interp", "d_interp", "lod", "shadow_obj", "trace_obj"]
)


def is_obj(head: bytes) -> bool:
    """Do a file's first lines read as Wavefront OBJ: known words only, and a point among them?"""
    try:
        text = head.decode()
    except UnicodeDecodeError as fault:  # the last letter may be cut in two
        if fault.start < len(head) - 3:
            return False
        text = head[: fault.start].decode()
    lines = [line.split() for line in text.split("\n")[: -1 if len(head) == 64 * 1024 else None]]
    words = [line[0] for line in lines if line and not line[0].startswith("#")]
    return "v" in words and _OBJ_WORDS.issuperset(words)


def most_bytes(kind: Kind) -> int:
    most: int = settings.MAX_IMAGE_BYTES if kind is Kind.IMAGE else settings.MAKEIT3D_MAX_MODEL_BYTES
    return most


def too_large(kind: Kind, field: str) -> ApiError:
    return inputs.too_large(field, "A picture" if kind is Kind.IMAGE else "A model", most_bytes(kind))
