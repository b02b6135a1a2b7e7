"""What Recraft makes of a picture: drawn anew inside a mask, cut out, enlarged, or as vectors."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from providers.simulator import pictures
from providers.simulator.pictures import Picture, Wish

if TYPE_CHECKING:
    from providers.simulator.recraft_fields import Asked

LARGEST = 4096


def work(asked: Asked, wish: Wish) -> Picture:
    """Work on the picture that was sent."""
    assert asked.image is not None
    match asked.name:
        case "removeBackground":
            return _cut_out(asked.image, wish.format)
        case "crispUpscale" | "creativeUpscale":
            return _enlarge(asked.image, wish.format)
        case "replaceBackground":
            return pictures.repaint(asked.image, _holes(ImageOps.invert(_blob(wish.width, wish.height))), wish)
    return pictures.repaint(asked.image, _holes(_grey(asked.mask)) if asked.mask else None, wish)


def vector(wish: Wish) -> bytes:
    """A few shapes; the same wish gives the same."""
    hue, width, height = wish.mark % 360, wish.width, wish.height
    shapes = (
        f'<rect width="{width}" height="{height}" fill="hsl({hue},70%,85%)"/>'
        f'<circle cx="{width // 2}" cy="{height // 3}" r="{min(width, height) // 8}" fill="hsl({hue},80%,55%)"/>'
        f'<path d="M0 {height}L{width // 2} {height // 2}L{width} {height}Z" fill="hsl({hue + 120},40%,35%)"/>'
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{shapes}</svg>'.encode()


def _cut_out(data: bytes, format: str) -> Picture:
    image = _opened(data).convert("RGBA")
    image.putalpha(_blob(*image.size))
    return pictures.pack(image, format)


def _enlarge(data: bytes, format: str) -> Picture:
    image = _opened(data).convert("RGB")
    times = min(2.0, LARGEST / max(image.size))
    image = image.resize((int(image.width * times), int(image.height * times)), Image.Resampling.LANCZOS)
    return pictures.pack(image.filter(ImageFilter.UnsharpMask(2, 60)), format)


def _blob(width: int, height: int) -> Image.Image:
    """White where the thing in the middle is taken to be."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse((width // 5, height // 8, width * 4 // 5, height * 7 // 8), fill=255)
    return mask


def _grey(mask: bytes) -> Image.Image:
    return _opened(mask).convert("L")


def _holes(change: Image.Image) -> bytes:
    """White where to change, as a picture with holes there."""
    made = Image.new("RGBA", change.size)
    made.putalpha(ImageOps.invert(change))
    out = io.BytesIO()
    made.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        return opened
