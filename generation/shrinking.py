"""Making a picture fit: into a file of so many bytes, of which its quality goes first, then its dimensions; or into
what a model takes (Pillow)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any, BinaryIO

from PIL import Image

from generation.images import Picture, opened, packed

MEGABYTE = 1024 * 1024
# What is tried in turn, the best first; the last one stays when the picture itself becomes smaller.
TRIED: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "JPEG": tuple({"quality": quality} for quality in (90, 80, 70, 60, 50, 40)),
    "WEBP": tuple({"quality": quality, "method": 2} for quality in (90, 75, 60, 45)),
    "PNG": ({},),
}
PNG_COLOURS = 256
WEBP_PIXELS = 16383
# Each turn aims a little below the limit, and takes at least this much off.
AIM, LEAST_STEP = 0.95, 0.9


def fit(image: Image.Image, kind: str, most_bytes: int, *, square: bool = False) -> Picture:
    """Make a picture of at most so many bytes. kind: PNG, JPEG or WEBP. square: padded with white.

    A PNG keeps its colours while it may, then has 256 of them. Costs an encoding for each thing tried.
    """
    whole = _squared(image) if square else image
    for shown, options in _tries(_spelled(whole, kind), kind):
        made = packed(shown, kind, **options)
        if made.size_bytes <= most_bytes or max(shown.size) == 1:
            return made
    while True:
        by = min(LEAST_STEP, AIM * (most_bytes / made.size_bytes) ** 0.5)
        size = max(1, int(made.width * by)), max(1, int(made.height * by))
        smaller = _spelled(whole.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0), kind)
        made = packed(_few_coloured(smaller) if kind == "PNG" else smaller, kind, **options)
        if made.size_bytes <= most_bytes or max(size) == 1:
            return made


def adapted(body: BinaryIO | IO[bytes], kind: str, size: tuple[int, int], most_bytes: int) -> Picture:
    """Make a picture of another size for a model that takes no other; a WebP when it would be heavier than that.

    Closes the file. Raises BadPicture. Costs a decoding and an encoding, two for a heavy one.
    """
    with opened(body) as (image,):
        shown = _spelled(image, kind)
        if shown.size != size:
            shown = shown.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        made = packed(shown, kind)
        if most_bytes and made.size_bytes > most_bytes and max(size) <= WEBP_PIXELS:
            made = packed(shown, "WEBP", **TRIED["WEBP"][0])
        return made


def _tries(image: Image.Image, kind: str) -> Iterator[tuple[Image.Image, Mapping[str, Any]]]:
    """What can be done to a picture's quality, step by step down."""
    for options in TRIED[kind]:
        yield image, options
    if kind == "PNG":
        yield _few_coloured(image), {}


def _squared(image: Image.Image) -> Image.Image:
    side = max(image.size)
    figure = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")
    ground = Image.new("RGB", (side, side), "white")
    ground.paste(figure, ((side - image.width) // 2, (side - image.height) // 2), _alpha(figure))
    return ground


def _spelled(image: Image.Image, kind: str) -> Image.Image:
    """The picture in a mode that its file can hold; a JPEG has no transparency, so it stands on white."""
    has_alpha = image.has_transparency_data
    if kind == "JPEG" and has_alpha:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGBA" if has_alpha else "RGB")


def _on_white(figure: Image.Image) -> Image.Image:
    ground = Image.new("RGB", figure.size, "white")
    ground.paste(figure, mask=_alpha(figure))
    return ground


def _alpha(image: Image.Image) -> Image.Image | None:
    return image.getchannel("A") if "A" in image.getbands() else None


def _few_coloured(image: Image.Image) -> Image.Image:
    by = Image.Quantize.FASTOCTREE if "A" in image.getbands() else Image.Quantize.MEDIANCUT
    return image.quantize(PNG_COLOURS, method=by)
