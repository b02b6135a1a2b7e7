"""Sizes, ratios and masks: from the desk's inputs to what a vendor's model knows. Pure.

The desk's inputs: `width` and `height` in pixels, or `aspect_ratio` such as "3:4"; neither means square.
Its masks: white is where to change.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from PIL import Image, UnidentifiedImageError

T = TypeVar("T")

MOST_DECODED = 64_000_000
# About a megapixel, exact ratios, sides that every current model takes (multiples of 16).
RATIO_SIZES: dict[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "3:4": (864, 1152),
    "4:3": (1152, 864),
    "9:16": (720, 1280),
    "16:9": (1280, 720),
}


def wanted_size(inputs: Mapping[str, Any], *, step: int = 16, most_pixels: int, longest: int) -> tuple[int, int]:
    """The size asked for, rounded to `step`, shrunk in proportion to fit, between 1:3 and 3:1."""
    width, height = _asked(inputs)
    width, height = max(width, math.ceil(height / 3)), max(height, math.ceil(width / 3))
    shrink = min(1.0, longest / max(width, height), math.sqrt(most_pixels / (width * height)))
    across, down = _rounded(width * shrink, step), _rounded(height * shrink, step)
    # Rounding may have stretched it beyond 3:1 again, so the shorter side grows.
    return max(across, math.ceil(down / 3 / step) * step), max(down, math.ceil(across / 3 / step) * step)


def nearest_size(inputs: Mapping[str, Any], sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """That of a fixed list whose ratio is nearest, and of those the nearest in area."""
    width, height = _asked(inputs)
    return min(
        sizes,
        key=lambda size: (
            round(abs(math.log(size[0] / size[1] * height / width)), 3),
            abs(size[0] * size[1] - width * height),
        ),
    )


def nearest_ratio(inputs: Mapping[str, Any], ratios: Iterable[str]) -> str:
    """That of a vendor's list of ratios ("16:9" …) which is nearest to what was asked for."""
    width, height = _asked(inputs)
    return min(ratios, key=lambda ratio: abs(math.log(_ratio(ratio) * height / width)))


def unread(inputs: Mapping[str, Any], known: Iterable[str]) -> tuple[str, ...]:
    """Names of inputs that were given and that are not among the known; seed 0 is no wish."""
    given = {name for name, value in inputs.items() if value not in (None, "", [], ()) and (name, value) != ("seed", 0)}
    return tuple(sorted(given - set(known)))


def alpha_mask(mask: bytes, size: tuple[int, int]) -> bytes:
    """Turn our mask into a PNG whose transparent pixels are where to change, of exactly `size`.

    Grey counts as white from the middle up. Raises ValueError for bytes that are no picture.
    """
    keep = _flat(mask, "black", size).point(lambda grey: 0 if grey >= 128 else 255)
    made = Image.new("RGBA", size, "black")
    made.putalpha(keep)
    return _packed(made, "PNG", compress_level=1)


def plain_mask(mask: bytes, size: tuple[int, int]) -> bytes:
    """Turn our mask into a greyscale PNG of exactly `size` that is pure white where to change and pure black elsewhere.

    Grey counts as white from the middle up. Raises ValueError for bytes that are no picture.
    """
    return _packed(_flat(mask, "black", size).point(lambda grey: 255 if grey >= 128 else 0), "PNG", compress_level=1)


def reduced(picture: bytes, longest: int) -> bytes:
    """A JPEG of the picture, no side longer than `longest`, for models that only look. Raises ValueError."""
    return _decoded(picture, lambda image: reduced_from(image, longest))


def reduced_from(image: Image.Image, longest: int) -> bytes:
    """The same of a picture that lies decoded, which stays as it is."""
    flat, scale = _grounded(image, "white", "RGB"), longest / max(image.size)
    if scale < 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        # Every pixel counts in this filter too, at a fifth of the finest one's cost.
        flat = flat.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return _packed(flat, "JPEG", quality=90)


def _flat(picture: bytes, ground: str, size: tuple[int, int]) -> Image.Image:
    """The picture in grey, of that size, on a ground of that colour. Raises ValueError for anything else."""
    return _decoded(picture, lambda image: _grounded(image, ground, "L").resize(size, Image.Resampling.NEAREST))


def _decoded(picture: bytes, use: Callable[[Image.Image], T]) -> T:
    """Use a picture while it lies decoded. Raises ValueError for what is none."""
    try:
        with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG", "WEBP")) as opened:
            if opened.width * opened.height > MOST_DECODED:
                raise ValueError("the picture is too large")
            return use(opened)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError("this is not a picture") from error


def _grounded(picture: Image.Image, ground: str, mode: str) -> Image.Image:
    """It may be the picture itself."""
    if not picture.has_transparency_data:
        return picture if picture.mode == mode else picture.convert(mode)
    flat = Image.new("RGBA", picture.size, ground)
    flat.alpha_composite(picture.convert("RGBA"))
    return flat.convert(mode)


def _packed(image: Image.Image, format: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def _asked(inputs: Mapping[str, Any]) -> tuple[int, int]:
    width, height = inputs.get("width"), inputs.get("height")
    if width and height:
        return max(1, int(width)), max(1, int(height))
    return RATIO_SIZES.get(str(inputs.get("aspect_ratio") or "1:1"), RATIO_SIZES["1:1"])


def _rounded(side: float, step: int) -> int:
    return max(step, round(side / step) * step)


def _ratio(text: str) -> float:
    across, down = text.split(":")
    return float(across) / float(down)
