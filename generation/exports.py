"""Exports: one picture in the sizes and formats that shops and networks take (Pillow).

Each preset is cropped to cover around the figure where it is known, else around the centre; never padded.
The original is not touched, metadata is not carried over, transparency is laid on white, and the quality
steps down until the file fits the platform's limit.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from generation.images import BadPicture, Picture
from generation.posemap import Box

MEGABYTE = 1024 * 1024
QUALITY_STEP, LEAST_QUALITY = 5, 40


@dataclass(frozen=True)
class Preset:
    """width, height: pixels, 0 as the original's. quality: of a JPEG; a PNG has none.

    most_bytes: the platform's limit, 0 where there is none.
    """

    width: int
    height: int
    format: str = "jpeg"
    quality: int = 85
    most_bytes: int = 8 * MEGABYTE
    aliases: tuple[str, ...] = ()

    @property
    def extension(self) -> str:
        return "jpg" if self.format == "jpeg" else self.format


# Sizes and qualities: pose-generator contract, section 8. Limits: the platforms' own documents, November 2026.
PRESETS: Mapping[str, Preset] = {
    "facebook_post": Preset(1200, 630, aliases=("fb-post",)),
    "instagram_feed": Preset(1080, 1080, aliases=("instagram_post", "ig-post", "instagram_square", "instagram")),
    "instagram_landscape": Preset(1080, 566, quality=90),
    "instagram_portrait": Preset(1080, 1350),
    "instagram_story": Preset(1080, 1920, quality=90, aliases=("ig-story", "instagram_reel", "ig-reel")),
    "instagram_tall": Preset(1080, 1440, quality=90),
    "lazada_product": Preset(1000, 1000, quality=95, most_bytes=2 * MEGABYTE, aliases=("lazada",)),
    "linkedin_post": Preset(1200, 627, aliases=("linkedin",)),
    "original": Preset(0, 0, "png", most_bytes=0),
    "print_4x6": Preset(1800, 1200, "png", most_bytes=0, aliases=("print-4x6", "print_standard")),
    "print_a4": Preset(2480, 3508, "png", most_bytes=0, aliases=("print-a4", "print_large")),
    "shopee_portrait": Preset(1080, 1440, quality=90, most_bytes=2 * MEGABYTE),
    "shopee_product": Preset(1000, 1000, quality=95, most_bytes=2 * MEGABYTE, aliases=("shopee", "shopee_square")),
    "tiktok": Preset(1080, 1920, quality=90, most_bytes=20 * MEGABYTE, aliases=("tiktok_vertical",)),
    "tiktok_square": Preset(1080, 1080, quality=90, most_bytes=20 * MEGABYTE),
    "tokopedia_product": Preset(1200, 1200, quality=95, most_bytes=2 * MEGABYTE, aliases=("tokopedia",)),
    "twitter_post": Preset(1200, 675, aliases=("twitter-post",)),
}
_BY_NAME = {name: preset for key, preset in PRESETS.items() for name in (key, *preset.aliases)}


def names() -> list[str]:
    """Every name that a client may send, sorted."""
    return sorted(_BY_NAME)


def preset_of(name: str) -> Preset | None:
    return _BY_NAME.get(name)


def extension_of(name: str) -> str:
    """Raises KeyError for an unknown name."""
    return _BY_NAME[name].extension


def is_enlarged(name: str, size: tuple[int, int]) -> bool:
    """Is a picture of that size scaled up for this export? Raises KeyError for an unknown name."""
    preset = _BY_NAME[name]
    if not preset.width:
        return False
    left, _, right, _ = crop_of(size, preset.width / preset.height)
    return preset.width > right - left


def make(image: Image.Image, wanted: Iterable[str], figure: Box | None = None) -> dict[str, Picture]:
    """Make each wanted export, by the name it was asked for. Presets of one shape are scaled from one crop.

    image: decoded and upright. figure: where it stands, in shares. Raises KeyError for an unknown name.
    """
    made: dict[Preset, Picture] = {}
    found = {}
    for name in wanted:
        preset = _BY_NAME[name]
        if preset not in made:
            made[preset] = _export(image, preset, figure)
        found[name] = made[preset]
    return found


def crop_of(size: tuple[int, int], ratio: float, figure: Box | None = None) -> tuple[int, int, int, int]:
    """The largest part of a picture with this ratio (width / height) that keeps the figure, nearest to its middle.

    A figure larger than the part keeps its head: the crop begins at its top.
    """
    width, height = size
    across, down = (width, round(width / ratio)) if width / height < ratio else (round(height * ratio), height)
    across, down = min(across, width), min(down, height)
    if figure is None:
        left, top = (width - across) // 2, (height - down) // 2
    else:
        left = _placed(across, width, figure.left * width, figure.right * width, keeps_start=False)
        top = _placed(down, height, figure.top * height, figure.bottom * height, keeps_start=True)
    return left, top, left + across, top + down


def _placed(part: int, whole: int, start: float, end: float, *, keeps_start: bool) -> int:
    """Where a part of a side begins, so that the figure from `start` to `end` is in it."""
    begin = start if keeps_start and end - start > part else (start + end - part) / 2
    return max(0, min(whole - part, round(begin)))


def _export(image: Image.Image, preset: Preset, figure: Box | None) -> Picture:
    if not preset.width:
        return _encoded(image, preset)
    part = crop_of(image.size, preset.width / preset.height, figure)
    scaled = image.resize((preset.width, preset.height), Image.Resampling.LANCZOS, box=part, reducing_gap=2.0)
    return _encoded(scaled, preset)


def _encoded(image: Image.Image, preset: Preset) -> Picture:
    """Write a picture within the platform's limit. Raises BadPicture when no quality gets it there."""
    kind = preset.format.upper()
    if kind == "PNG":
        return _picture(
            image if image.mode in ("RGB", "RGBA", "L") else image.convert("RGBA"), preset, compress_level=3
        )
    flat = _on_white(image)
    for quality in range(preset.quality, LEAST_QUALITY - 1, -QUALITY_STEP):
        made = _picture(flat, preset, quality=quality)
        if not preset.most_bytes or made.size_bytes <= preset.most_bytes:
            return made
    raise BadPicture("this picture cannot be made small enough for the platform")


def _picture(image: Image.Image, preset: Preset, **options: int) -> Picture:
    out, bare = io.BytesIO(), image.copy()
    bare.info.clear()  # comments and profiles would be written along
    bare.save(out, preset.format.upper(), **options)
    data = out.getvalue()
    return Picture(data, f"image/{preset.format}", preset.extension, *image.size, hashlib.sha256(data).hexdigest())


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    clear = image.convert("RGBA")
    ground = Image.new("RGB", clear.size, "white")
    ground.paste(clear, mask=clear.getchannel("A"))
    return ground
