"""What Stability's endpoints draw: a new scene, or something done to the picture that was sent."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw, ImageFilter, ImageOps, UnidentifiedImageError

from providers.simulator import pictures
from providers.simulator.desk import Desk
from providers.simulator.pictures import Picture
from providers.simulator.stability_rules import SIZES

_CORE_GROWS = 1.5**0.5  # about one and a half megapixels instead of one
NEW = ("core", "ultra", "sd3", "styled")


async def draw(
    desk: Desk, how: str, texts: Mapping[str, str], files: Mapping[str, bytes], seed: int, *, blurred: bool, bomb: bool
) -> Picture:
    """The answer's picture. blurred: as the output filter leaves it."""
    if bomb:
        return await asyncio.to_thread(pictures.bomb)
    format = texts.get("output_format") or "png"
    original = files.get("image") or files.get("subject_image") or files.get("init_image")
    if how in NEW or original is None:
        width, height = SIZES[texts.get("aspect_ratio") or "1:1"]
        if how == "core":
            width, height = (round(side * _CORE_GROWS / 16) * 16 for side in (width, height))
    else:
        width, height = _size(original)
    prompt = texts.get("prompt") or texts.get("background_prompt") or ""
    if how in NEW:
        made = await desk.draw(pictures.wish(prompt, seed, width, height, format))
    elif how in ("steered", "inpaint", "relight"):
        scene = await desk.draw(pictures.wish(prompt, seed, width, height, "png"))
        made = await asyncio.to_thread(_upon, how, original or b"", scene.body, files.get("mask"), format)
    else:
        made = await asyncio.to_thread(_edit, how, original or b"", texts, format)
    return await asyncio.to_thread(blur, made) if blurred else made


def blur(made: Picture) -> Picture:
    """What the output filter leaves of a picture."""
    with _opened(made.body) as image:
        soft = image.convert("RGB").reduce(8).filter(ImageFilter.GaussianBlur(6)).resize(image.size)
    return pictures.pack(soft, made.content_type.removeprefix("image/"))


def about(name: str, body: bytes) -> dict[str, Any]:
    """Facts about a file that was sent, for the log of calls."""
    try:
        with Image.open(io.BytesIO(body)) as opened:
            facts = {"width": opened.width, "height": opened.height, "mode": opened.mode, "format": opened.format}
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        facts = {}
    return {"role": name, "size_bytes": len(body), **facts}


def _opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def _size(body: bytes) -> tuple[int, int]:
    with _opened(body) as image:
        return image.size


def _upon(how: str, original: bytes, scene: bytes, mask: bytes | None, format: str) -> Picture:
    """A scene laid over the picture that was sent: thinly, or where it may change."""
    with _opened(original) as opened, _opened(scene) as drawn:
        fresh, base = drawn.convert("RGB"), opened.convert("RGBA")
    if how == "steered":
        return pictures.pack(Image.blend(base.convert("RGB"), fresh, 0.45), format)
    if how == "relight":
        return pictures.pack(Image.composite(base.convert("RGB"), fresh, _subject(base.size)), format)
    if mask:
        with _opened(mask) as opened:
            change = opened.convert("L").resize(base.size)
    else:
        change = ImageOps.invert(base.getchannel("A"))
    return pictures.pack(Image.composite(fresh, base.convert("RGB"), change), format)


def _edit(how: str, original: bytes, texts: Mapping[str, str], format: str) -> Picture:
    """Something done to the picture that was sent, without a scene of its own."""
    with _opened(original) as opened:
        base = opened.convert("RGB")
    if how == "cut-out":
        base.putalpha(_subject(base.size))
    elif how == "recolor":
        red, green, blue = base.split()
        base = Image.merge("RGB", (blue, red, green))
    elif how == "outpaint":
        left, up, right, down = (int(texts.get(side) or 0) for side in ("left", "up", "right", "down"))
        base = ImageOps.expand(base, (left, up, right, down), fill="grey")
    elif how == "enlarge":
        base = base.resize((base.width * 4, base.height * 4), Image.Resampling.BILINEAR)
    return pictures.pack(base, format)


def _subject(size: tuple[int, int]) -> Image.Image:
    """Where the simulator takes the subject to be: an oval in the middle."""
    found = Image.new("L", size)
    ImageDraw.Draw(found).ellipse([part * side for part in (0.15, 0.85) for side in size], fill=255)
    return found
