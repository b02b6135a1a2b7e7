"""What a request is made from: links become files that we hold, before anything is stored or charged.

A link of our own is looked up by its owner, and no other permission is asked: its signature may have ended, but
somebody else's file is as missing as one that never was. Other hosts must be allowed by the settings, and are
fetched by the guarded fetcher; everything that comes is looked at by the guarded decoders (MakeIt3D contract, 3.12).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import BinaryIO
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from config.api.errors import ApiError, FieldFault
from generation import images, meshes, storage
from generation.doors.makeit3d.catalogue import Input, Kind
from generation.doors.makeit3d.serializers import Wish
from generation.models import Asset, AssetKind
from generation.steps import File
from providers import fetch
from providers.spool import Spool

MEGABYTE = 1024 * 1024
PICTURES = ("image/png", "image/jpeg", "image/webp")
OBJ = "model/obj"
MODELS = (meshes.CONTENT_TYPE, OBJ)
WRONG_KIND = {
    Kind.IMAGE: "It must lead to a PNG, JPEG or WebP picture.",
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
        for asset in self.fetched:
            with suppress(storage.StorageError):
                storage.delete(asset.key)


def gather(wish: Wish, owner_id: UUID, base_url: str) -> Gathered:
    """Find or fetch every file that a wish names. Raises ApiError as the contract's table has it.

    Costs one query for links of our own, and for others a fetch, a decoding and a write each, without a connection.
    """
    takes = wish.operation.offers[wish.provider].takes or None
    fields = wish.operation.inputs
    wanted = [(one, nth, url) for one in fields for nth, url in enumerate(wish.links[one.name][:takes])]
    keys = {url: storage.key_of_link(url, base_url) for _, _, url in wanted if url}
    mine = _mine([key for key in keys.values() if key], owner_id)
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
    except ApiError:
        gathered.discard()
        raise
    return gathered


def _mine(keys: Iterable[str], owner_id: UUID) -> dict[str, Asset]:
    usable = [key for key in keys if key.isprintable()]
    if not usable:
        return {}
    return {asset.key: asset for asset in Asset.objects.select_related("item").filter(key__in=usable, owner=owner_id)}


def _own(one: Input, field: str, asset: Asset | None) -> Asset:
    if asset is None:
        raise _missing(field)
    if asset.content_type not in (PICTURES if one.kind is Kind.IMAGE else MODELS):
        raise invalid(field, WRONG_KIND[one.kind])
    return asset


def _fetched(wish: Wish, one: Input, field: str, url: str, owner_id: UUID) -> Asset:
    spool = _fetch(one, field, url)
    with closing(spool):
        takes_any = wish.operation.name == "downscale"
        file = _checked(spool, one.kind, field, takes_any=takes_any)
        return store(file, owner_id)


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
        raise _refusal(422, "MASK_SIZE_MISMATCH", "input_mask_asset_url", text)


# --- Fetching ------------------------------------------------------------------------------------


def _fetch(one: Input, field: str, url: str) -> Spool:
    """Get a file of an allowed host. No redirect may lead to another host."""
    hosts, origin = _way_to(url, field)
    limit = settings.MAX_IMAGE_BYTES if one.kind is Kind.IMAGE else settings.MAKEIT3D_MAX_MODEL_BYTES
    connection.close()  # back to the pool: nobody holds one while a stranger's server thinks
    try:
        return fetch.fetch(
            url, deadline_s=settings.MAKEIT3D_FETCH_TIMEOUT_S, limit_bytes=limit, hosts=hosts, origin=origin
        ).spool
    except fetch.Forbidden as error:
        raise _refusal(400, "INPUT_URL_NOT_ALLOWED", field, str(error)) from None
    except fetch.Missing:
        raise _missing(field) from None
    except fetch.TooLarge:
        raise too_large(one.kind, field) from None
    except fetch.Unreachable as error:
        raise _refusal(502, "INPUT_FETCH_FAILED", field, str(error)) from None


def _way_to(url: str, field: str) -> tuple[list[str], str]:
    """Which host the fetcher may ask for this URL: a public one by name, or an origin that the settings trust whole."""
    try:
        parts = urlsplit(url)
        host, path = (parts.hostname or "").lower(), parts.path
    except ValueError:
        host = path = ""
    if not host or path in ("", "/"):
        raise _refusal(400, "INPUT_URL_NOT_ALLOWED", field, "The link leads to no file.")
    for allowed in settings.INPUT_ASSET_ALLOWED_HOSTS:
        if "://" in allowed:
            if f"{parts.scheme}://{parts.netloc}".lower() == allowed:
                return [], allowed
        elif fnmatch(host, allowed):
            return [host], ""
    text = "The link leads to a host that is not allowed here. Upload the file first: POST /api/assets."
    raise _refusal(400, "INPUT_URL_NOT_ALLOWED", field, text)


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


def _checked(spool: Spool, kind: Kind, field: str, *, takes_any: bool) -> File:
    return picture_of(spool, field, takes_any=takes_any) if kind is Kind.IMAGE else model_of(spool, field)


def picture_of(spool: Spool, field: str, *, takes_any: bool) -> File:
    """Decode a picture. takes_any: also GIF, BMP and TIFF, whose first frame becomes a PNG. Raises ApiError 422."""
    try:
        return images.check_any(spool.rewind().file) if takes_any else images.check(spool.rewind().file)
    except images.BadPicture as fault:
        raise invalid(field, f"{WRONG_KIND[Kind.IMAGE]} This is {fault}.") from None


def model_of(spool: Spool, field: str) -> File:
    """Look at a model: a GLB by its table of chunks, an OBJ by its first lines. Raises ApiError 422."""
    if is_obj(spool.head(64 * 1024)):
        return Plain(spool, OBJ, "obj")
    try:
        meshes.read(spool.file, spool.size_bytes)
    except meshes.BadModel as fault:
        raise invalid(field, f"{WRONG_KIND[Kind.MODEL]} This is {fault}.") from None
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


def store(file: File, owner_id: UUID) -> Asset:
    """Store a checked file as an input of its owner; return its row, not yet saved. Raises ApiError 503.

    Takes the file over: it is closed.
    """
    asset = Asset(
        id=uuid.uuid4(),
        owner_id=owner_id,
        kind=AssetKind.INPUT,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        width=file.width,
        height=file.height,
        created_at=timezone.now(),
    )
    asset.key = storage.input_key(owner_id, asset.id, file.extension)
    connection.close()
    try:
        with closing(file):
            storage.save(asset.key, file.body)
    except storage.StorageError as error:
        text = "The file cannot be stored at the moment."
        raise ApiError(503, "SERVICE_UNAVAILABLE", text, headers={"Retry-After": "5"}) from error
    return asset


# --- Refusals ------------------------------------------------------------------------------------


def _refusal(status: int, code: str, field: str, text: str) -> ApiError:
    return ApiError(status, code, text, errors=[FieldFault(field, text, code)])


def _missing(field: str) -> ApiError:
    return _refusal(404, "INPUT_ASSET_NOT_FOUND", field, "There is no file behind the link.")


def invalid(field: str, text: str) -> ApiError:
    return _refusal(422, "INPUT_INVALID", field, text)


def too_large(kind: Kind, field: str) -> ApiError:
    most = settings.MAX_IMAGE_BYTES if kind is Kind.IMAGE else settings.MAKEIT3D_MAX_MODEL_BYTES
    what = "A picture" if kind is Kind.IMAGE else "A model"
    return _refusal(413, "INPUT_TOO_LARGE", field, f"{what} may have at most {most // MEGABYTE} MB.")
