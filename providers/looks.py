"""What a checker is shown of a picture: as it is when it is small, else a JPEG of it.

Decoding is the dearest part of a look, so whoever has a picture decoded that will be looked at next has its look
made then. Only a help: what is not ready is made when it is asked for. The oldest go first when they are too many
bytes.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from django.conf import settings
from PIL import Image

from providers import shapes, sniff

MOST_BYTES = 16_000_000

_ready: OrderedDict[str, bytes] = OrderedDict()
_lock = threading.Lock()


def prepare(picture: bytes, sha256: str, decoded: Image.Image) -> None:
    """Make the look of a picture that lies decoded, if it needs one."""
    if _is_shown_as_it_is(picture):
        return
    look = shapes.reduced_from(decoded, _longest())
    with _lock:
        _ready[sha256] = look
        _ready.move_to_end(sha256)
        while sum(map(len, _ready.values())) > MOST_BYTES:
            _ready.popitem(last=False)


def of(picture: bytes) -> tuple[bytes, str]:
    """What is shown of a picture, and its content type. Raises ValueError for what is no picture."""
    if _is_shown_as_it_is(picture):
        return picture, sniff.look_at(picture).content_type
    return _found(picture) or shapes.reduced(picture, _longest()), "image/jpeg"


def _found(picture: bytes) -> bytes | None:
    return _ready.get(hashlib.sha256(picture).hexdigest()) if _ready else None


def _longest() -> int:
    return int(settings.OPENROUTER["PICTURE_PIXELS"])


def _is_shown_as_it_is(picture: bytes) -> bool:
    """A small one without holes that would have to be filled."""
    if len(picture) > settings.OPENROUTER["PICTURE_BYTES"]:
        return False
    seen = sniff.look_at(picture)
    if not seen.is_whole or not 0 < max(seen.width, seen.height) <= _longest():
        return False
    return seen.content_type == "image/jpeg" or _is_opaque_png(picture)


def _is_opaque_png(picture: bytes) -> bool:
    """A PNG of plain red, green and blue, by its header; one colour may still be declared transparent by a chunk."""
    is_rgb = picture.startswith(b"\x89PNG\r\n\x1a\n") and picture[24:26] == b"\x08\x02"
    return is_rgb and b"tRNS" not in picture[: picture.find(b"IDAT")]
