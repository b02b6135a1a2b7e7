"""The guarded reader of binary glTF (GLB 2.0), and what we make of 3D models ourselves.

Models come from strangers: what is read of one is its header, its table of chunks and its JSON, never the whole
file at once. Its maker's marks (who exported it, what they call its parts) are cut out: they name the vendor.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

from providers.spool import CHUNK_BYTES, Spool

CONTENT_TYPE = "model/gltf-binary"
MAGIC, VERSION = b"glTF", 2
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
HEADER_BYTES, CHUNK_HEADER_BYTES = 12, 8
# Real ones hold some hundred kilobytes; parsed they take a multiple of it.
MOST_JSON_BYTES = 4 * 1024 * 1024
MOST_CHUNKS = 16


class BadModel(Exception):
    """These bytes are not a model that we take. The text says why, for people."""


@dataclass(frozen=True)
class Model:
    """A checked model without its maker's marks, mostly on disk. Who takes it closes it."""

    body: BinaryIO
    size_bytes: int
    sha256: str
    content_type: ClassVar[str] = CONTENT_TYPE
    extension: ClassVar[str] = "glb"
    width: ClassVar[None] = None
    height: ClassVar[None] = None

    def close(self) -> None:
        self.body.close()


@dataclass(frozen=True)
class Glb:
    """What a GLB says of itself. binary_at, binary_bytes: where its geometry lies; 0 bytes when it has none."""

    document: dict[str, Any]
    json_end: int
    binary_at: int
    binary_bytes: int


def check(body: BinaryIO, size_bytes: int, sha256: str) -> Model:
    """Read a model's table and JSON and cut its maker's marks out. Raises BadModel.

    Takes `body` over: it comes back inside the Model, or is closed when a copy without the marks was made of it,
    which costs one pass over the file.
    """
    glb = read(body, size_bytes)
    if not _cut_marks(glb.document):
        return Model(body, size_bytes, sha256)
    with body:
        return _rewritten(body, glb, size_bytes)


def read(body: BinaryIO, size_bytes: int) -> Glb:
    """Read what a GLB says of itself; its geometry stays where it is. Raises BadModel."""
    body.seek(0)
    head = body.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[:4] != MAGIC:
        raise BadModel("not a binary glTF file")
    version, length = struct.unpack("<II", head[4:])
    if version != VERSION:
        raise BadModel(f"glTF of version {version}, not {VERSION}")
    if length != size_bytes:
        raise BadModel(f"a file that says that it has {length} bytes, and has {size_bytes}")
    chunks = _chunks(body, size_bytes)
    if not chunks or chunks[0][0] != JSON_CHUNK:
        raise BadModel("a file that does not begin with its JSON")
    _, at, json_bytes = chunks[0]
    if json_bytes > MOST_JSON_BYTES:
        raise BadModel(f"a file with more than {MOST_JSON_BYTES} bytes of JSON")
    body.seek(at)
    document = _parsed(body.read(json_bytes))
    binary_at, binary_bytes = chunks[1][1:] if len(chunks) > 1 and chunks[1][0] == BINARY_CHUNK else (0, 0)
    return Glb(document, at + json_bytes, binary_at, binary_bytes)


def _chunks(body: BinaryIO, size_bytes: int) -> list[tuple[int, int, int]]:
    """(kind, first byte, length) of each chunk; together they fill the file to its end."""
    found: list[tuple[int, int, int]] = []
    at = HEADER_BYTES
    while at < size_bytes:
        body.seek(at)
        head = body.read(CHUNK_HEADER_BYTES)
        if len(head) < CHUNK_HEADER_BYTES or len(found) == MOST_CHUNKS:
            raise BadModel("a file with a damaged table of chunks")
        length, kind = struct.unpack("<II", head)
        found.append((kind, at + CHUNK_HEADER_BYTES, length))
        at += CHUNK_HEADER_BYTES + length
    if at != size_bytes:
        raise BadModel("a file that is cut off")
    return found


def _parsed(text: bytes) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        document = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadModel(f"a file whose JSON cannot be read ({type(error).__name__})") from None
    asset = document.get("asset") if isinstance(document, dict) else None
    if not isinstance(asset, dict) or not str(asset.get("version", "")).startswith(f"{VERSION}."):
        raise BadModel("a file whose JSON is no glTF 2")
    for kind in ("buffers", "images"):
        for part in _parts(document, kind):
            if not str(part.get("uri", "data:")).startswith("data:"):
                raise BadModel("a model of which parts lie elsewhere")
    return document


def _parts(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    listed = document.get(kind, [])
    return [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []


def _cut_marks(document: dict[str, Any]) -> bool:
    """Take away who exported it and what they call its parts, which point at each other by number; was there any?"""
    marked = [(document["asset"], ("generator", "copyright", "extras")), (document, ("extras",))]
    for kind in document:
        marked += [(part, ("name", "extras")) for part in _parts(document, kind)]
    found = False
    for holder, marks in marked:
        for mark in marks:
            found |= holder.pop(mark, None) is not None
    return found


def _rewritten(body: BinaryIO, glb: Glb, size_bytes: int) -> Model:
    """Copy a model with its JSON as it stands now; the chunks behind it stay as they are."""
    try:
        text = json.dumps(glb.document, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise BadModel("a file whose JSON cannot be written again") from None
    text += b" " * (-len(text) % 4)
    length = HEADER_BYTES + CHUNK_HEADER_BYTES + len(text) + size_bytes - glb.json_end
    copy = Spool(length)
    copy.write(struct.pack("<4sIIII", MAGIC, VERSION, length, len(text), JSON_CHUNK) + text)
    body.seek(glb.json_end)
    while chunk := body.read(CHUNK_BYTES):
        copy.write(chunk)
    return Model(copy.rewind().file, copy.size_bytes, copy.sha256)
