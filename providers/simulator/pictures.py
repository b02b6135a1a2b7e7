"""Draws: a landscape by the prompt's hash, or outlines to colour in when a colouring page is asked for.

The same wish gives the same bytes. Drawing costs some 100 ms of CPU, so pictures are kept; with
`picture_bytes` every prompt of one size and format shares one picture of exactly that many bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import random
import re
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from PIL import Image, ImageDraw, ImageFilter, ImageOps

FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}
MOST_KEPT = 64
_COLOURING = re.compile(r"colou?ring|line art|outline", re.IGNORECASE)
_SUPERSAMPLE, _LARGEST = 2, 1024  # drawn twice as large and reduced, at most this side; larger is enlarged


@dataclass(frozen=True)
class Wish:
    """What to draw. mark: the seed of the drawing, from prompt and seed. padded_bytes: 0 is as it comes."""

    mark: int
    width: int
    height: int
    format: str
    lines: bool = False
    black: bool = False
    padded_bytes: int = 0

    def padded(self, size: int) -> Wish:
        return replace(self, mark=7, lines=False, padded_bytes=size)


@dataclass(frozen=True)
class Picture:
    content_type: str
    body: bytes
    base64: bytes


def wish(prompt: str, seed: int, width: int, height: int, format: str) -> Wish:
    mark = int.from_bytes(hashlib.sha256(f"{seed}:{prompt}".encode()).digest()[:6], "big")
    return Wish(mark, width, height, format, lines=bool(_COLOURING.search(prompt)))


_kept: OrderedDict[Wish, Picture] = OrderedDict()
_lock = threading.Lock()


def known(wanted: Wish) -> Picture | None:
    return _kept.get(wanted)


def draw(wanted: Wish) -> Picture:
    with _lock:  # one at a time: a hundred equal wishes at once are one drawing
        if found := _kept.get(wanted):
            return found
        made = pack(_render(wanted), wanted.format, wanted.padded_bytes)
        _kept[wanted] = made
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
        return made


def pack(image: Image.Image, format: str, padded_bytes: int = 0) -> Picture:
    out = io.BytesIO()
    if padded_bytes and format == "png":
        image = _sand(image, padded_bytes)
    if format == "jpeg":
        image = image.convert("RGB")
    options = {"png": {"compress_level": 5}, "jpeg": {"quality": 88}, "webp": {"quality": 88}}[format]
    image.save(out, FORMATS[format], **options)
    body = out.getvalue()
    if len(body) < padded_bytes:
        body = _PAD[format](body, padded_bytes - len(body))
    return Picture(f"image/{format}", body, base64.b64encode(body))


@cache
def bomb() -> Picture:
    """A PNG of 20,000 x 20,000 pixels in 50 kB: 400 million when decoded."""
    side = 20_000
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + side // 8) * 100) for _ in range(side // 100)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    return Picture("image/png", body, base64.b64encode(body))


def repaint(original: bytes, mask: bytes | None, wanted: Wish) -> Picture:
    """An edit: the scene inside the mask's transparent part, or laid thinly over the whole picture."""
    with Image.open(io.BytesIO(original)) as opened:
        base = opened.convert("RGB").resize((wanted.width, wanted.height))
    scene = _render(wanted).convert("RGB")
    if mask is None:
        return pack(Image.blend(base, scene, 0.45), wanted.format)
    with Image.open(io.BytesIO(mask)) as opened:
        keep = opened.convert("RGBA").getchannel("A").resize(base.size)
    return pack(Image.composite(base, scene, keep), wanted.format)


# --- Drawing -------------------------------------------------------------------------------------


def _render(wanted: Wish) -> Image.Image:
    if wanted.black:
        return Image.new("RGB", (wanted.width, wanted.height))
    shrink = min(1.0, _LARGEST / max(wanted.width, wanted.height)) * _SUPERSAMPLE
    size = (max(8, int(wanted.width * shrink)), max(8, int(wanted.height * shrink)))
    scene = _Scene(random.Random(wanted.mark), *size)
    image = scene.outlines() if wanted.lines else scene.landscape()
    return image.resize((wanted.width, wanted.height), Image.Resampling.BILINEAR, reducing_gap=2.0)


_PALETTES = [  # sky above, sky at the horizon, sun, hills from far to near
    ("#2b5c9e", "#ffd9a0", "#fff3c4", ("#8fa9c9", "#5f87a6", "#3f6f6b", "#24493a")),
    ("#1f2a52", "#f2789f", "#ffe0b5", ("#7b5c93", "#553f78", "#37295a", "#1d1838")),
    ("#4aa3df", "#e8f6ff", "#fffbe0", ("#9fcfb4", "#6fb37f", "#3f8f57", "#22613c")),
    ("#0e1b3d", "#31578f", "#f4f1de", ("#2c4a7c", "#203a63", "#152a4a", "#0b1830")),
    ("#e8825d", "#ffe3b8", "#fff6dc", ("#cf8f76", "#a8635c", "#7a4450", "#472a3d")),
    ("#5b7fa6", "#f6efe2", "#ffffff", ("#b3bfc9", "#8b9fae", "#61798c", "#3c5164")),
]


class _Scene:
    """Sky, sun, hills, trees and birds, in colours or as outlines."""

    def __init__(self, dice: random.Random, width: int, height: int) -> None:
        self.dice, self.width, self.height = dice, width, height
        self.unit = min(width, height)
        self.sun = (dice.uniform(0.2, 0.8) * width, dice.uniform(0.16, 0.36) * height, self.unit * 0.085)

    def landscape(self) -> Image.Image:
        above, horizon, sun, hills = self.dice.choice(_PALETTES)
        ramp = Image.linear_gradient("L").resize((self.width, self.height))
        image = ImageOps.colorize(ramp, above, horizon, mid=None)
        self._glow(image, sun)
        pen = ImageDraw.Draw(image)
        x, y, r = self.sun
        pen.ellipse((x - r, y - r, x + r, y + r), fill=sun)
        for n, colour in enumerate(hills):
            ridge = self._ridge(0.5 + 0.12 * n, 0.10 - 0.012 * n)
            pen.polygon([*ridge, (self.width, self.height), (0, self.height)], fill=colour)
            if n >= 2:
                for _ in range(self.dice.randint(3, 7)):
                    self._tree(pen, ridge, 0.05 + 0.03 * n, fill=hills[-1] if n < 3 else "#14241d")
        for _ in range(self.dice.randint(2, 5)):
            self._bird(pen, hills[-1], self.unit // 200)
        return image

    def outlines(self) -> Image.Image:
        image = Image.new("RGB", (self.width, self.height), "white")
        pen = ImageDraw.Draw(image)
        line = max(3, self.unit // 130)
        x, y, r = self.sun
        for ray in range(12):
            turn = ray * math.pi / 6
            ends = [(x + math.cos(turn) * r * far, y + math.sin(turn) * r * far) for far in (1.3, 1.75)]
            pen.line(ends, fill="black", width=line)
        pen.ellipse((x - r, y - r, x + r, y + r), outline="black", width=line)
        for n in range(3):
            ridge = self._ridge(0.52 + 0.16 * n, 0.08)
            pen.polygon([*ridge, (self.width, self.height), (0, self.height)], fill="white")
            pen.line(ridge, fill="black", width=line, joint="curve")
            for _ in range(self.dice.randint(2, 4)):
                self._tree(pen, ridge, 0.09 + 0.03 * n, fill="white", outline="black", line=line)
        self._house(pen, line)
        for _ in range(3):
            self._bird(pen, "black", line)
        pen.rectangle((line, line, self.width - line, self.height - line), outline="black", width=line)
        return image

    def _glow(self, image: Image.Image, colour: str) -> None:
        small = Image.new("L", (self.width // 16, self.height // 16))
        x, y, r = (value / 16 for value in self.sun)
        ImageDraw.Draw(small).ellipse((x - r * 1.6, y - r * 1.6, x + r * 1.6, y + r * 1.6), fill=150)
        small = small.filter(ImageFilter.GaussianBlur(r))
        image.paste(Image.new("RGB", image.size, colour), mask=small.resize(image.size, Image.Resampling.BILINEAR))

    def _ridge(self, level: float, swing: float) -> list[tuple[float, float]]:
        waves = [(self.dice.uniform(0.6, 1.6) * 2**k, self.dice.uniform(0, 6.3), swing / 2**k) for k in range(4)]
        steps = 96
        return [
            (
                self.width * n / steps,
                self.height * (level + sum(a * math.sin(f * math.pi * n / steps + p) for f, p, a in waves)),
            )
            for n in range(steps + 1)
        ]

    def _tree(
        self,
        pen: ImageDraw.ImageDraw,
        ridge: list[tuple[float, float]],
        size: float,
        fill: str,
        outline: str | None = None,
        line: int = 1,
    ) -> None:
        x, y = self.dice.choice(ridge[4:-4])
        tall = self.unit * size * self.dice.uniform(0.7, 1.2)
        y += tall * 0.12
        pen.rectangle((x - tall * 0.05, y - tall * 0.3, x + tall * 0.05, y), fill=fill, outline=outline, width=line)
        for part in range(3):
            top, wide = y - tall * (0.55 + 0.22 * part), tall * (0.30 - 0.07 * part)
            corners = [(x, top - tall * 0.12), (x - wide, top + tall * 0.34), (x + wide, top + tall * 0.34)]
            pen.polygon(corners, fill=fill)
            if outline:
                pen.line([*corners, corners[0]], fill=outline, width=line, joint="curve")

    def _house(self, pen: ImageDraw.ImageDraw, line: int) -> None:
        x, y, s = self.dice.uniform(0.3, 0.6) * self.width, self.height * 0.74, self.unit * 0.16
        pen.rectangle((x, y, x + s, y + s * 0.8), fill="white", outline="black", width=line)
        roof = [(x - s * 0.15, y), (x + s / 2, y - s * 0.6), (x + s * 1.15, y)]
        pen.polygon(roof, fill="white")
        pen.line([*roof, roof[0]], fill="black", width=line, joint="curve")
        pen.rectangle((x + s * 0.4, y + s * 0.35, x + s * 0.62, y + s * 0.8), outline="black", width=line)
        pen.rectangle((x + s * 0.08, y + s * 0.2, x + s * 0.3, y + s * 0.42), outline="black", width=line)

    def _bird(self, pen: ImageDraw.ImageDraw, colour: str, line: int) -> None:
        x, y = self.dice.uniform(0.1, 0.9) * self.width, self.dice.uniform(0.08, 0.35) * self.height
        s = self.unit * self.dice.uniform(0.012, 0.022)
        for side in (-1, 1):
            box = (x + (side - 1) * s, y - s * 0.5, x + (side + 1) * s, y + s)
            pen.arc(box, 200, 340, fill=colour, width=max(1, line))


# --- Padding to an exact size ----------------------------------------------------------------------


def _sand(image: Image.Image, wanted_bytes: int) -> Image.Image:
    """Fill the lower rows with grain that no codec can pack, so that size is in the pixels themselves."""
    rows = min(image.height, max(0, (wanted_bytes - 70_000) // (3 * image.width)))
    if rows:
        grain = random.Random(1).randbytes(rows * image.width * 3)
        image = image.copy()
        image.paste(Image.frombytes("RGB", (image.width, rows), grain), (0, image.height - rows))
    return image


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pad_png(body: bytes, missing: int) -> bytes:
    """Pad the stream of the pixels itself, so that whoever cuts metadata out keeps it; what is left is a chunk."""
    chunks = list(_chunks(body))
    packer = zlib.compressobj(9)
    pixels = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    packed, tail = packer.compress(pixels) + packer.flush(zlib.Z_SYNC_FLUSH), packer.flush()
    first, *others = [_chunk(kind, data) for kind, data in chunks if kind != b"IDAT"]
    empty = b"\x00\x00\x00\xff\xff"  # a stored block of no bytes
    held = len(body[:8]) + len(packed) + len(tail) + 12 + sum(map(len, (first, *others)))
    spare = len(body) + missing - held - 12
    data = packed + empty * max(0, spare // 5) + tail
    rest = [_chunk(b"paDd", bytes(spare % 5))] if spare >= 0 else []
    return b"".join((body[:8], first, *others[:-1], _chunk(b"IDAT", data), *rest, others[-1]))


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(body):
        (length,) = struct.unpack_from(">I", body, at)
        yield body[at + 4 : at + 8], body[at + 8 : at + 8 + length]
        at += 12 + length


def _pad_jpeg(body: bytes, missing: int) -> bytes:
    comments = bytearray()
    while missing >= 4:
        size = min(missing, 65_535)
        comments += b"\xff\xfe" + struct.pack(">H", size - 2) + bytes(size - 4)
        missing -= size
    return body[:2] + bytes(comments) + body[2:]


def _pad_webp(body: bytes, missing: int) -> bytes:
    size = max(0, missing - 8) & ~1
    body += b"paDd" + struct.pack("<I", size) + bytes(size)
    return body[:4] + struct.pack("<I", len(body) - 8) + body[8:]


_PAD: dict[str, Callable[[bytes, int], bytes]] = {"png": _pad_png, "jpeg": _pad_jpeg, "webp": _pad_webp}
