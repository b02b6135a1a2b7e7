"""Files of a story that its owner sends here, having no bucket of their own. Checked before they are kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from config.api.errors import ApiError
from config.api.parsers import read_object
from config.models import User
from generation import images, storage
from generation.doors.stories import places, present, segments, serializers, starting


@dataclass(frozen=True)
class Kept:
    """What is stored, and what its sender is told of it."""

    data: bytes
    told: Mapping[str, Any]


def keep_segments(data: bytes) -> Kept:
    outline = starting.checked(data)
    warnings = present.warning_documents(outline.warnings)
    return Kept(data, {"outline": present.outline_document(outline), "warnings": warnings})


def keep_config(data: bytes) -> Kept:
    """Take an object whose known values are right; the rest of it is none of ours. Raises ApiError, ValidationError."""
    options, lowered = serializers.effective({}, serializers.read_options(read_object(data)))
    return Kept(data, {"options": options.as_json(), "warnings": present.warning_documents(lowered)})


def keep_diagram(data: bytes) -> Kept:
    """Take a picture, as a PNG without what else its file held. Raises ApiError."""
    try:
        picture = images.check(io.BytesIO(data))
        if picture.content_type != "image/png":
            picture = images.as_png(picture.body)
    except images.BadPicture as fault:
        raise ApiError(400, "INVALID_IMAGE", f"diagram.png cannot be used: {fault}.") from fault
    return Kept(picture.data, {"width": picture.width, "height": picture.height, "warnings": []})


@dataclass(frozen=True)
class Kind:
    keep: Callable[[bytes], Kept]
    most_bytes: Callable[[], int]


KINDS: dict[str, Kind] = {
    places.SEGMENTS: Kind(keep_segments, lambda: segments.MOST_BYTES),
    places.CONFIG: Kind(keep_config, lambda: starting.CONFIG_BYTES),
    places.DIAGRAM: Kind(keep_diagram, lambda: settings.MAX_IMAGE_BYTES),
}


def keep(user: User, session_id: str, name: str, data: bytes) -> dict[str, Any]:
    """Store one file of a person's session in its place, in place of an older one; return what is told of it.

    Nothing is stored when it cannot be used. Raises ApiError, ValidationError.
    """
    if len(data) > KINDS[name].most_bytes():
        raise starting.too_large(KINDS[name].most_bytes())
    kept = KINDS[name].keep(data)
    usual = places.usual(user.storage_id, session_id).directory
    directory = starting.owned(session_id, user.pk, usual).directory
    key = storage.story_key(directory, name)
    if not connection.in_atomic_block:
        connection.close()
    with starting.store_errors():
        storage.replace(key, io.BytesIO(kept.data))
    return {"s3_path": key, **kept.told}
