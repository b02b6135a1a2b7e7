"""The models that the simulator draws are sound glTF: what a viewer or a mesh reader would trip over."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import pytest
from PIL import Image

from providers import sniff
from providers.simulator import models

FORMATS = {5126: "f", 5123: "H"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}


def parsed(body: bytes) -> tuple[dict[str, Any], bytes]:
    """The document and the binary chunk of a GLB file."""
    magic, version, length = struct.unpack_from("<4sII", body)
    assert (magic, version, length) == (b"glTF", 2, len(body))
    text_length, text_kind = struct.unpack_from("<I4s", body, 12)
    binary_length, binary_kind = struct.unpack_from("<I4s", body, 20 + text_length)
    assert (text_kind, binary_kind) == (b"JSON", b"BIN\0")
    assert text_length % 4 == 0 == binary_length % 4
    assert 28 + text_length + binary_length == len(body)
    return json.loads(body[20 : 20 + text_length]), body[28 + text_length :]


def rows(document: dict[str, Any], binary: bytes, number: int) -> list[tuple[float, ...]]:
    accessor = document["accessors"][number]
    view = document["bufferViews"][accessor["bufferView"]]
    width = WIDTHS[accessor["type"]]
    values = struct.unpack_from(
        f"<{accessor['count'] * width}{FORMATS[accessor['componentType']]}", binary, view["byteOffset"]
    )
    return [values[n : n + width] for n in range(0, len(values), width)]


@pytest.mark.parametrize("mark", [0, 5, 2**48 - 1])
def test_a_model_is_a_closed_mesh_with_normals_a_colour_and_a_texture(mark: int) -> None:
    body = models.glb(mark)
    assert sniff.look(io.BytesIO(body), len(body)) == sniff.Look("model/gltf-binary", True)
    document, binary = parsed(body)
    [primitive] = document["meshes"][0]["primitives"]
    places = primitive["attributes"]
    corners, normals = rows(document, binary, places["POSITION"]), rows(document, binary, places["NORMAL"])
    bounds = document["accessors"][places["POSITION"]]
    assert [min(axis) for axis in zip(*corners, strict=True)] == bounds["min"]
    assert [max(axis) for axis in zip(*corners, strict=True)] == bounds["max"]
    assert all(abs(sum(part * part for part in normal) - 1) < 1e-5 for normal in normals)

    indices = [int(index) for (index,) in rows(document, binary, primitive["indices"])]
    welded = {corner: tuple(round(part, 5) for part in point) for corner, point in enumerate(corners)}
    edges = [
        (welded[indices[n + k]], welded[indices[n + (k + 1) % 3]]) for n in range(0, len(indices), 3) for k in range(3)
    ]
    assert len(set(edges)) == len(edges)
    assert set(edges) == {(b, a) for a, b in edges}, "each edge is met from the other side"

    material = document["materials"][primitive["material"]]["pbrMetallicRoughness"]
    assert len(material["baseColorFactor"]) == 4
    view = document["bufferViews"][document["images"][0]["bufferView"]]
    with Image.open(io.BytesIO(binary[view["byteOffset"] :][: view["byteLength"]])) as texture:
        texture.load()
        assert texture.format == "PNG"


def test_the_same_mark_is_the_same_model() -> None:
    first = models.glb(7)
    models.glb.cache_clear()
    assert models.glb(7) == first != models.glb(8)
