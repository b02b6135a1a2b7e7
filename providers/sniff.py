"""What a file really is: by its first bytes, never by a header or a name.

Looks at heads and tails only and decodes no pixel; the guarded decoder of the desk does the rest.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

PICTURES = ("image/png", "image/jpeg", "image/webp")
_HEAD, _TAIL = 64 * 1024, 4096


@dataclass(frozen=True)
class Look:
    """content_type: empty when unknown. is_whole: its end is there. width, height: 0 when not found."""

    content_type: str
    is_whole: bool
    width: int = 0
    height: int = 0


def look(file: BinaryIO, size_bytes: int) -> Look:
    """Recognise PNG, JPEG, WebP and GLB. Leaves `file` at its start."""
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(max(0, size_bytes - _TAIL))
    tail = file.read(_TAIL)
    file.seek(0)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack(">II", head[16:24]) if len(head) >= 24 else (0, 0)
        return Look("image/png", b"IEND" in tail, width, height)
    if head.startswith(b"\xff\xd8\xff"):
        return Look("image/jpeg", b"\xff\xd9" in tail, *_jpeg_size(head))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Look("image/webp", size_bytes >= _le32(head, 4) + 8, *_webp_size(head))
    if head[:4] == b"glTF":
        return Look("model/gltf-binary", size_bytes >= 20 and size_bytes >= _le32(head, 8))
    return Look("", False)


def look_at(data: bytes) -> Look:
    """The same for bytes in hand."""
    return look(io.BytesIO(data), len(data))


def _le32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _jpeg_size(head: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        kind = head[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 if kind == 0xFF or 0xD0 <= kind <= 0xD8 else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L" and len(head) >= 25:
        bits = _le32(head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(head) >= 30:
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
