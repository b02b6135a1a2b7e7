"""The guarded decoder and what we make of pictures ourselves (Pillow).

Pictures come from strangers: few formats, a cap on pixels before anything is decoded, one decoding per
CPU at a time, and no metadata (`generation.containers`).
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from django.conf import settings
from PIL import Image, ImageOps, UnidentifiedImageError

from generation import containers
from providers import looks

EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
ORIENTATION_TAG = 0x0112
# What few doors take, by name and by how it begins; it becomes a PNG.
OTHER_FORMATS = ("GIF", "BMP", "TIFF")
OTHER_BEGINNINGS = (b"GIF8", b"BM", b"II*\0", b"MM\0*")
# A phone's JPEG with a preview or a brightness map behind it, of which we take the photograph alone.
SEVERAL_JPEGS = "MPO"

# Beyond this a picture is laid down on disk as soon as it is checked.
HELD_BYTES, CHUNK_BYTES = 512 * 1024, 64 * 1024
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")

_decoding = threading.BoundedSemaphore(os.cpu_count() or 1)
# The thumbnail of the picture that this thread checked last, made while that lay decoded: mostly the same thread is
# asked for it next, and decoding again would cost more than the thumbnail itself.
_last = threading.local()


class BadPicture(Exception):
    """These bytes are not a picture that we take. The text says why, for people."""


@dataclass(frozen=True)
class Picture:
    """A checked picture without metadata: its bytes and what they are."""

    data: bytes
    content_type: str
    extension: str
    width: int
    height: int
    sha256: str

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def body(self) -> BinaryIO:
        return io.BytesIO(self.data)

    def close(self) -> None:
        """Nothing is open: a picture is held in memory."""


@dataclass(frozen=True)
class Small:
    """What small picture is wanted: one that fits into a square of `pixels`, or a PNG that covers it."""

    pixels: int
    covers: bool = False


@dataclass(frozen=True)
class LaidDown:
    """A checked picture on disk. Who takes it closes it."""

    body: BinaryIO
    content_type: str
    extension: str
    width: int
    height: int
    size_bytes: int
    sha256: str

    def close(self) -> None:
        self.body.close()


def check(body: BinaryIO, *, small: Small | None = None) -> Picture:
    """Decode a picture whole, cut its metadata out and turn it upright. Raises BadPicture.

    Costs one decoding, and an encoding only when the picture must be turned. small: make its thumbnail too, while it
    lies decoded, for the `thumbnail` that this thread asks for next.
    """
    with _opened(body) as (image, data):
        return _checked(image, data, small)


def check_to_keep(body: BinaryIO, *, small: Small | None = None, is_looked_at: bool = False) -> Picture | LaidDown:
    """As `check`, and lay a big one down on disk: threads that wait for the store hold none of them in memory.

    is_looked_at: a checker will be shown it next, so what it will see is made while the picture lies decoded.
    """
    with _opened(body) as (image, data):
        picture = _checked(image, data, small, is_looked_at=is_looked_at)
        if picture.size_bytes <= HELD_BYTES:
            return picture
        file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  who takes it closes it
        try:
            file.write(picture.data)
        except BaseException:
            file.close()
            raise
    about = picture.content_type, picture.extension, picture.width, picture.height
    return LaidDown(file, *about, picture.size_bytes, picture.sha256)


def _checked(image: Image.Image, data: bytes, small: Small | None, *, is_looked_at: bool = False) -> Picture:
    made = None
    kind = "JPEG" if image.format == SEVERAL_JPEGS else str(image.format)
    turned = image.getexif().get(ORIENTATION_TAG, 1) not in (0, 1)
    image.load()
    if turned:
        data = _encoded(ImageOps.exif_transpose(image), kind)
    elif small:
        made = _made_small(image, small)
    width, height = (image.height, image.width) if turned and _swaps_sides(image) else image.size
    data = _plain(data, kind)
    digest = hashlib.sha256(data).hexdigest()
    _last.thumbnail = (digest, small, made)
    if is_looked_at and not turned:
        looks.prepare(data, digest, image)
    return Picture(data, Image.MIME[kind], EXTENSIONS[kind], width, height, digest)


def check_any(body: BinaryIO) -> Picture:
    """As `check`, and take GIF, BMP and TIFF too, whose first frame becomes a PNG. Raises BadPicture."""
    body.seek(0)
    if not body.read(4).startswith(OTHER_BEGINNINGS):
        return check(body)
    with _opened(body, OTHER_FORMATS) as (image, _):
        image.load()
        upright = ImageOps.exif_transpose(image)
        has_alpha = "A" in upright.mode or "transparency" in upright.info
        return packed(upright.convert("RGBA" if has_alpha else "RGB"), "PNG")


def as_png(body: BinaryIO) -> Picture:
    """Make a PNG of a picture that is none. Raises BadPicture. Costs a decoding, and ten times that to encode."""
    with _opened(body) as (image, _):
        image.load()
        upright = ImageOps.exif_transpose(image)
        return packed(upright if upright.mode in PNG_MODES else upright.convert("RGB"), "PNG")


def thumbnail(body: BinaryIO, pixels: int, *, covers: bool = False) -> Picture:
    """Make a small picture that fits into a square of `pixels`: a JPEG, or a WebP of what is not opaque. covers: a PNG
    that fills the square, cut around the picture's middle. Raises BadPicture.

    Costs one decoding; none when this thread made it while checking that picture last.
    """
    wanted = Small(pixels, covers)
    digest, made_small, made = vars(_last).pop("thumbnail", ("", None, None))
    if made and made_small == wanted and digest == _digest(body):
        return made
    with _opened(body) as (image, _):
        image.draft("RGB", (pixels * 2, pixels * 2))
        return _made_small(image, wanted)


def _made_small(image: Image.Image, wanted: Small) -> Picture:
    if not wanted.covers:
        return _shrunk(image, wanted.pixels)
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = (left, top, left + side, top + side)
    size = (wanted.pixels, wanted.pixels)
    small = image.resize(size, Image.Resampling.BOX, box=square, reducing_gap=1.0)
    # A photograph's grain packs hardly better with five times the work.
    return packed(small, "PNG", compress_level=1)


def framed(body: BinaryIO | IO[bytes], size: tuple[int, int]) -> Picture:
    """Set a picture whole into a white frame of that size, for models whose result follows its size; a JPEG.

    Closes the file. Raises BadPicture. Costs one decoding.
    """
    with opened(body) as (image,):
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, "white")
        ground.alpha_composite(clear)
        return packed(ImageOps.pad(ground.convert("RGB"), size, color="white"), "JPEG", quality=90)


@contextmanager
def opened(*bodies: BinaryIO | IO[bytes]) -> Iterator[list[Image.Image]]:
    """Decode pictures and turn them upright, for work on their pixels; closes the files. Raises BadPicture.

    All in one turn: threads that held one picture each while they waited for a second turn would wait for ever.
    """
    with ExitStack() as stack:
        for body in bodies:
            stack.enter_context(body)
        stack.enter_context(_decoding)
        yield [
            ImageOps.exif_transpose(stack.enter_context(_decoded(cast(BinaryIO, body), tuple(EXTENSIONS)))[0])
            for body in bodies
        ]


def packed(image: Image.Image, kind: str, **options: Any) -> Picture:
    """A picture of ours in its file, without what its pixels' own file had said beside them."""
    data = _plain(_encoded(image, kind, **options), kind)
    return Picture(data, Image.MIME[kind], EXTENSIONS[kind], *image.size, hashlib.sha256(data).hexdigest())


def _shrunk(image: Image.Image, pixels: int) -> Picture:
    """Make the picture fit into a square of `pixels`; a picture that is no larger keeps its size.

    Halved first as often as that goes: a third of the cost of the filter over every pixel. No copy is made of the
    whole picture. A JPEG takes an eighth of the time of a WebP, which is only needed where something shows through.
    """
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    scale = min(pixels / image.width, pixels / image.height, 1.0)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if (times := min(image.width // size[0], image.height // size[1])) > 1:
        image = image.reduce(times)
    if image.size != size:
        image = image.resize(size, Image.Resampling.HAMMING)
    if image.mode == "RGB":
        return packed(image, "JPEG", quality=80)
    return packed(image, "WEBP", quality=80, method=1)


def _digest(body: BinaryIO) -> str:
    body.seek(0)
    hashed = hashlib.sha256()
    while chunk := body.read(CHUNK_BYTES):
        hashed.update(chunk)
    return hashed.hexdigest()


def _read(body: BinaryIO) -> bytes:
    body.seek(0)
    data = body.read(settings.MAX_IMAGE_BYTES + 1)
    if len(data) > settings.MAX_IMAGE_BYTES:
        raise BadPicture(f"larger than {settings.MAX_IMAGE_BYTES // (1024 * 1024)} MB")
    return data


@contextmanager
def _opened(body: BinaryIO, formats: tuple[str, ...] = tuple(EXTENSIONS)) -> Iterator[tuple[Image.Image, bytes]]:
    """Wait for a turn, then open a picture. A hundred threads that wait here hold no copy of theirs."""
    with _decoding, _decoded(body, formats) as found:
        yield found


@contextmanager
def _decoded(body: BinaryIO, formats: tuple[str, ...]) -> Iterator[tuple[Image.Image, bytes]]:
    """Open a picture after its header was judged; every fault of Pillow's comes out as BadPicture."""
    data = _read(body)
    if containers.is_in_crumbs(data):
        raise BadPicture("made of too many parts")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if image.width * image.height > settings.MAX_IMAGE_PIXELS:
                raise BadPicture("more pixels than we take")
            takes_first = image.format == SEVERAL_JPEGS or image.format in OTHER_FORMATS
            if not takes_first and getattr(image, "n_frames", 1) > 1:
                raise BadPicture("an animation, not a picture")
            yield image, data
    except BadPicture:
        raise
    except UnidentifiedImageError:
        raise BadPicture("not a PNG, JPEG or WebP picture") from None
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        raise BadPicture(f"a damaged picture ({type(error).__name__})") from None


def _swaps_sides(image: Image.Image) -> bool:
    return image.getexif().get(ORIENTATION_TAG, 1) in (5, 6, 7, 8)


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 95} if kind == "JPEG" else {}) | options)
    return out.getvalue()


def _plain(data: bytes, kind: str) -> bytes:
    try:
        return containers.without_metadata(data, kind)
    except containers.Damaged:
        raise BadPicture("a damaged picture") from None
