"""What a request is made from: the files that its input fields name, found or fetched before anything is stored.

Links are followed as `generation.inputs` says; here is what the fields themselves ask for: pictures or models, how
many, masks as large as their pictures, and what the provider takes of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import connection

from config.api.errors import ApiError
from generation import images, inputs, meshes, shrinking, storage
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

RESIZE_FIRST = "Make it smaller first: that is not done here, because the result is the picture itself."

Files = Mapping[str, Sequence[Asset | None]]


@dataclass(frozen=True)
class Gathered:
    """by_field: input field -> its files in order, None for a missing view. fetched: those that have no row yet.

    adapted: by the place of a picture that the provider does not take as it is, what goes there instead.
    """

    by_field: Files
    fetched: list[Asset] = field(default_factory=list)
    adapted: dict[str, Asset] = field(default_factory=dict)

    @property
    def first(self) -> Asset | None:
        return next((asset for assets in self.by_field.values() for asset in assets if asset), None)

    def keys(self, one: Input) -> list[str | None]:
        """The keys of what goes to the provider for an input field, in order."""
        assets = (self.adapted.get(place(one, nth), asset) for nth, asset in enumerate(self.by_field[one.name]))
        return [asset.key if asset else None for asset in assets]

    @property
    def sent_as(self) -> dict[str, dict[str, Any]]:
        """What of the pictures is told to their owner: the size and format in which they went out."""
        return {
            name: {"width": sent.width, "height": sent.height, "content_type": sent.content_type}
            for name, sent in self.adapted.items()
        }

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
    gathered = Gathered(found)
    try:
        for one, nth, url in wanted:
            if not url:
                found[one.name].append(None)
                continue
            key = keys[url]
            if key is not None:
                asset = _own(one, place(one, nth), mine.get(key))
            else:
                asset = _fetched(wish, one, place(one, nth), url, owner_id)
                gathered.fetched.append(asset)
            found[one.name].append(asset)
        _check_mask(gathered)
        _suit(wish, gathered, owner_id)
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


def _suit(wish: Wish, gathered: Gathered, owner_id: UUID) -> None:
    """Hold the pictures against what the provider takes, before anything is charged: one that may be adapted is, any
    other is refused. Raises ApiError. Costs a reading, a decoding and a write for each that is adapted."""
    operation = wish.operation.name
    if not registry.can(wish.provider, operation):
        return
    model = wish.operation.offers[wish.provider].model or registry.offer(wish.provider, operation).models[0]
    limits = registry.adapter(wish.provider).limits(operation, model)
    fields = [one for one in wish.operation.inputs if one.kind is Kind.IMAGE]
    given = [(one, nth, asset) for one in fields for nth, asset in enumerate(gathered.by_field[one.name]) if asset]
    if limits is None or not given:
        return
    sizes = []
    for one, nth, asset in given:
        sent, name = asset, place(one, nth)
        look = Look(asset.content_type, True, asset.width or 0, asset.height or 0)
        # A mask goes out in the size of its picture.
        fault = limits.fault(look) or limits.weight_fault([asset.size_bytes]) if one.word == "images" else ""
        if fault:
            size = limits.nearest(look.width, look.height) if look.width and look.height else None
            grows = size is not None and size[0] >= look.width and size != (look.width, look.height)
            if size is None or not (one.adapts or grows):
                would_do = size not in (None, (look.width, look.height))
                raise inputs.invalid(name, f"{fault} {RESIZE_FIRST}" if would_do else fault)
            sent = _adapted(asset, size, limits.file_bytes or limits.body_bytes, name, owner_id)
            gathered.fetched.append(sent)
            gathered.adapted[name] = sent
        sizes.append(sent.size_bytes)
    if fault := limits.weight_fault(sizes):
        raise inputs.invalid(place(*given[0][:2]), fault)


def _adapted(asset: Asset, size: tuple[int, int], most_bytes: int, name: str, owner_id: UUID) -> Asset:
    """Store a picture anew in another size, or in another format where its own is too heavy."""
    connection.close()  # nobody holds one while the store answers
    kind = asset.content_type.removeprefix("image/").upper()
    try:
        return inputs.store(shrinking.adapted(storage.open_file(asset.key), kind, size, most_bytes), owner_id)
    except storage.KeyMissing:
        raise inputs.missing(name) from None
    except storage.StorageError as error:
        raise inputs.away() from error
    except images.BadPicture as fault:
        raise inputs.invalid(name, f"{inputs.NO_PICTURE} This is {fault}.") from None


def place(one: Input, nth: int) -> str:
    """Where a link stands, as a fault of its file is told."""
    return f"{one.name}[{nth}]" if one.most else one.name


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
    if b"\0" in head:
        return False
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
