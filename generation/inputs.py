"""What customers bring: files behind links become files that we hold, before anything is stored or charged.

A link of our own is looked up by its owner, and no other permission is asked: its signature may have ended, but
somebody else's file is as missing as one that never was. Other hosts must be allowed by the settings, and are
fetched by the guarded fetcher; every picture is looked at by the guarded decoder (MakeIt3D contract, 3.12).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from config.api.errors import ApiError, FieldFault
from generation import images, storage
from generation.models import Asset, AssetKind
from generation.steps import File
from providers import fetch
from providers.spool import Spool

MEGABYTE = 1024 * 1024
PICTURES = ("image/png", "image/jpeg", "image/webp")
NO_PICTURE = "It must lead to a PNG, JPEG or WebP picture."


@dataclass(frozen=True)
class Found:
    """A file that was named. is_new: it was fetched just now, and has no row yet."""

    asset: Asset
    is_new: bool


def picture(url: str, field: str, owner_id: UUID, base_url: str) -> Found:
    """Find or fetch the picture behind a link; `field` is where the link stood.

    Raises ApiError: 400 INPUT_URL_NOT_ALLOWED, 404 INPUT_ASSET_NOT_FOUND, 413 INPUT_TOO_LARGE, 422 INPUT_INVALID,
    502 INPUT_FETCH_FAILED, 503. Costs a query for a link of our own; else a fetch, a decoding and a write, without
    a connection. Must not run inside a transaction.
    """
    key = storage.key_of_link(url, base_url)
    if key is not None:
        asset = own([key], owner_id).get(key)
        if asset is None:
            raise missing(field)
        if asset.content_type not in PICTURES:
            raise invalid(field, NO_PICTURE)
        return Found(asset, is_new=False)
    most = settings.MAX_IMAGE_BYTES
    with closing(fetched(url, field, most, too_large(field, "A picture", most))) as spool:
        return Found(store(decoded(spool, field), owner_id), is_new=True)


def own(keys: Iterable[str], owner_id: UUID) -> dict[str, Asset]:
    """Somebody's own files by their keys. One query."""
    usable = [key for key in keys if key.isprintable()]
    if not usable:
        return {}
    return {asset.key: asset for asset in Asset.objects.select_related("item").filter(key__in=usable, owner=owner_id)}


def discard(assets: Iterable[Asset]) -> None:
    """Remove what was fetched for a request that came to nothing. What cannot be removed now, prune removes."""
    for asset in assets:
        with suppress(storage.StorageError):
            storage.delete(asset.key)


# --- Fetching ------------------------------------------------------------------------------------


def fetched(url: str, field: str, limit_bytes: int, beyond: ApiError) -> Spool:
    """Get a file of an allowed host; `beyond` is raised when it is larger. No redirect may lead to another host."""
    hosts, origin = _way_to(url, field)
    connection.close()  # back to the pool: nobody holds one while a stranger's server thinks
    try:
        return fetch.fetch(
            url, deadline_s=settings.INPUT_FETCH_TIMEOUT_S, limit_bytes=limit_bytes, hosts=hosts, origin=origin
        ).spool
    except fetch.Forbidden as error:
        raise refusal(400, "INPUT_URL_NOT_ALLOWED", field, str(error)) from None
    except fetch.Missing:
        raise missing(field) from None
    except fetch.TooLarge:
        raise beyond from None
    except fetch.Unreachable as error:
        raise refusal(502, "INPUT_FETCH_FAILED", field, str(error)) from None


def _way_to(url: str, field: str) -> tuple[list[str], str]:
    """Which host the fetcher may ask for this URL: a public one by name, or an origin that the settings trust whole."""
    try:
        parts = urlsplit(url)
        host, path = (parts.hostname or "").lower(), parts.path
    except ValueError:
        host = path = ""
    if not host or path in ("", "/"):
        raise refusal(400, "INPUT_URL_NOT_ALLOWED", field, "The link leads to no file.")
    for allowed in settings.INPUT_ASSET_ALLOWED_HOSTS:
        if "://" in allowed:
            if f"{parts.scheme}://{parts.netloc}".lower() == allowed:
                return [], allowed
        elif fnmatch(host, allowed):
            return [host], ""
    text = "The link leads to a host that is not allowed here. Upload the file first: POST /api/assets."
    raise refusal(400, "INPUT_URL_NOT_ALLOWED", field, text)


# --- Looking at files, keeping them --------------------------------------------------------------


def decoded(spool: Spool, field: str, *, takes_any: bool = False) -> File:
    """Decode a picture. takes_any: also GIF, BMP and TIFF, whose first frame becomes a PNG. Raises ApiError 422."""
    try:
        return images.check_any(spool.rewind().file) if takes_any else images.check(spool.rewind().file)
    except images.BadPicture as fault:
        raise invalid(field, f"{NO_PICTURE} This is {fault}.") from None


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
        raise away() from error
    return asset


# --- Refusals ------------------------------------------------------------------------------------


def refusal(status: int, code: str, field: str, text: str) -> ApiError:
    return ApiError(status, code, text, errors=[FieldFault(field, text, code)])


def away() -> ApiError:
    text = "Files cannot be stored or read at the moment."
    return ApiError(503, "SERVICE_UNAVAILABLE", text, headers={"Retry-After": "5"})


def missing(field: str) -> ApiError:
    return refusal(404, "INPUT_ASSET_NOT_FOUND", field, "There is no file behind the link.")


def invalid(field: str, text: str) -> ApiError:
    return refusal(422, "INPUT_INVALID", field, text)


def too_large(field: str, what: str, most_bytes: int) -> ApiError:
    return refusal(413, "INPUT_TOO_LARGE", field, f"{what} may have at most {most_bytes // MEGABYTE} MB.")
