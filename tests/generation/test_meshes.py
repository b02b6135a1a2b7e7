"""Models of strangers: read with care, never whole, and without their makers' marks."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest

from generation import meshes
from generation.meshes import BadModel
from providers.simulator import models

PLAIN = {"asset": {"version": "2.0"}}


def glb(
    document: Any = PLAIN, binary: bytes = b"", *, version: int = 2, longer: int = 0, kind: int = 0x4E4F534A
) -> bytes:
    """A file of one JSON and one binary chunk; longer: how many bytes more it says to have."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), kind) + text
    if binary:
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", version, 12 + len(chunks) + longer) + chunks


def check(data: bytes) -> tuple[meshes.Model, bytes]:
    """The model, and what is in its file."""
    model = meshes.check(io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest())
    with contextlib.closing(model):
        model.body.seek(0)
        return model, model.body.read()


def document_of(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    return found


def test_a_model_without_marks_is_taken_as_it_is() -> None:
    data = glb(PLAIN, b"\0" * 16)
    model, content = check(data)
    assert (content, model.sha256) == (data, hashlib.sha256(data).hexdigest())
    assert (model.content_type, model.extension, model.width) == ("model/gltf-binary", "glb", None)


def test_its_makers_marks_are_cut_out_and_its_geometry_stays() -> None:
    binary = bytes(range(256)) * 1024
    marked = {
        "asset": {"version": "2.0", "generator": "Maker 3", "copyright": "Maker", "extras": {"task": 7}},
        "extras": {"maker": 1},
        "nodes": [{"name": "maker_node_1", "mesh": 0, "extras": {"maker": 2}}],
        "meshes": [{"name": "maker_mesh", "primitives": [{"attributes": {"POSITION": 0}}]}],
        "buffers": [{"byteLength": len(binary)}],
    }
    model, data = check(glb(marked, binary))
    assert b"aker" not in data
    assert data.endswith(binary)
    assert (len(data), hashlib.sha256(data).hexdigest()) == (model.size_bytes, model.sha256)
    assert document_of(data) == {
        "asset": {"version": "2.0"},
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "buffers": [{"byteLength": len(binary)}],
    }
    assert check(data)[1] == data, "the second time nothing is left to cut"


BAD: dict[str, bytes] = {
    "nothing": b"",
    "another file": b"OBJ " + glb()[4:],
    "a head alone": glb()[:10],
    "version 1": glb(version=1),
    "longer than it is": glb(longer=4),
    "shorter than it is": glb(longer=-4),
    "cut off": glb(PLAIN, b"\0" * 64)[:-8],
    "no chunk": struct.pack("<4sII", b"glTF", 2, 12),
    "half a chunk's head": struct.pack("<4sII", b"glTF", 2, 16) + b"\0" * 4,
    "binary first": glb(kind=0x004E4942),
    "endless chunks": struct.pack("<4sII", b"glTF", 2, 12 + 8 * 100) + struct.pack("<II", 0, 1) * 100,
    "no JSON": glb(b"{"),
    "not UTF-8": glb(b'{"asset": "\xff"}'),
    "no number": glb(b'{"asset": {"version": "2.0", "generator": "m"}, "nodes": [{"scale": [NaN]}]}'),
    "endless number": glb(b'{"asset": {"version": "2.0", "generator": "m"}, "nodes": [{"scale": [1e999]}]}'),
    "a deep hole": glb(b"[" * 100_000),
    "a list": glb([]),
    "another version inside": glb({"asset": {"version": "1.0"}}),
    "no asset": glb({"asset": []}),
    "geometry elsewhere": glb({**PLAIN, "buffers": [{"uri": "https://maker.test/model.bin"}]}),
    "a texture elsewhere": glb({**PLAIN, "images": [{"uri": "texture.png"}]}),
    "too much JSON": glb(b'{"asset": {"version": "2.0"}}' + b" " * meshes.MOST_JSON_BYTES),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_whole_model_is_refused(data: bytes) -> None:
    with pytest.raises(BadModel):
        check(data)


def test_what_was_drawn_for_tests_is_a_model() -> None:
    model, _ = check(models.glb(7))
    assert model.size_bytes > 1000


@pytest.mark.parametrize("marked", [False, True], ids=["taken as it is", "copied without its marks"])
def test_a_big_model_is_not_held_in_memory(marked: bool, tmp_path: Any) -> None:
    asset = {"version": "2.0", **({"generator": "Maker"} if marked else {})}
    size = 64 * 1024 * 1024
    start = glb({"asset": asset})
    with (tmp_path / "big.glb").open("w+b") as body:
        body.write(start)
        body.write(struct.pack("<II", size, 0x004E4942))
        length = len(start) + 8 + size
        body.truncate(length)
        body.seek(8)
        body.write(struct.pack("<I", length))
        assert most_held(lambda: meshes.check(body, length, "0" * 64)) < 4 * 1024 * 1024


def most_held(act: Callable[[], meshes.Model]) -> int:
    tracemalloc.start()
    try:
        act().close()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_refused_body_is_left_to_who_gave_it() -> None:
    body: BinaryIO = io.BytesIO(b"nothing")
    with pytest.raises(BadModel):
        meshes.check(body, 7, "")
    assert not body.closed
