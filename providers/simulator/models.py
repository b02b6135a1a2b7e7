"""Draws 3D models: a turned vase as a binary glTF 2.0 file, with normals, a colour and a texture.

The same mark gives the same bytes. A model is closed, stands on y = 0, is 1 high, and has some 2,000 faces.
"""

from __future__ import annotations

import colorsys
import json
import math
import random
import struct
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from providers.simulator import pictures

RINGS, SIDES = 32, 32
CONTENT_TYPE = "model/gltf-binary"

_FLOAT, _SHORT = 5126, 5123  # componentType
_VERTICES, _INDICES = 34962, 34963  # target of a buffer view
_TEXTURE_PIXELS = 128


@lru_cache(maxsize=32)
def glb(mark: int) -> bytes:
    """A model for a mark, as a file. Costs 5 ms the first time."""
    dice = random.Random(mark)
    positions, normals, places = _surface(_profile(dice))
    texture = pictures.draw(pictures.Wish(mark, _TEXTURE_PIXELS, _TEXTURE_PIXELS, "png")).body
    chunks = [
        array("f", positions).tobytes(),
        array("f", normals).tobytes(),
        array("f", places).tobytes(),
        array("H", _triangles()).tobytes(),
        texture,
    ]
    return _pack(
        _document(chunks, positions, colorsys.hsv_to_rgb(dice.random(), 0.25, 1.0)), b"".join(map(_even, chunks))
    )


def _profile(dice: random.Random) -> list[tuple[float, float]]:
    """(radius, height) from the middle of the foot to the middle of the lid."""
    waves = [(dice.uniform(0.02, 0.09), dice.uniform(1.0, 3.5), dice.uniform(0.0, 6.3)) for _ in range(3)]

    def radius(at: float) -> float:
        belly = 0.12 + 0.2 * math.sin(math.pi * at) ** 0.8
        return max(0.04, belly + sum(size * math.sin(count * math.pi * at + turn) for size, count, turn in waves))

    between = [(radius(n / (RINGS - 2)), n / (RINGS - 2)) for n in range(RINGS - 1)]
    return [(0.0, 0.0), *between, (0.0, 1.0)]


def _surface(profile: Sequence[tuple[float, float]]) -> tuple[list[float], list[float], list[float]]:
    """The profile turned around the y axis. The seam's column is there twice: once for each end of the texture."""
    positions: list[float] = []
    normals: list[float] = []
    places: list[float] = []
    for ring, (radius, height) in enumerate(profile):
        before, after = profile[max(0, ring - 1)], profile[min(RINGS, ring + 1)]
        out, up = after[1] - before[1], before[0] - after[0]
        length = math.hypot(out, up)
        for side in range(SIDES + 1):
            angle = 2 * math.pi * side / SIDES
            across, along = math.cos(angle), math.sin(angle)
            positions += (radius * across, height, radius * along)
            normals += (across * out / length, up / length, along * out / length)
            places += (1 - side / SIDES, 1 - ring / RINGS)
    return positions, normals, places


def _triangles() -> list[int]:
    """Counter-clockwise from outside. At the two ends of the axis one of each pair would have no area."""
    found: list[int] = []
    for ring in range(RINGS):
        for side in range(SIDES):
            low = ring * (SIDES + 1) + side
            high = low + SIDES + 1
            if ring < RINGS - 1:
                found += (low, high, high + 1)
            if ring:
                found += (low, high + 1, low + 1)
    return found


def _document(chunks: Sequence[bytes], positions: Sequence[float], colour: Sequence[float]) -> dict[str, Any]:
    views: list[dict[str, Any]] = []
    offset = 0
    for chunk, target in zip(chunks, (_VERTICES, _VERTICES, _VERTICES, _INDICES, None), strict=True):
        view = {"buffer": 0, "byteOffset": offset, "byteLength": len(chunk)}
        views.append({**view, "target": target} if target else view)
        offset += len(_even(chunk))
    exact = array("f", positions)  # the bounds must be those of the stored floats
    bounds = {"min": [min(exact[n::3]) for n in range(3)], "max": [max(exact[n::3]) for n in range(3)]}
    vertices = len(positions) // 3
    vectors = {"componentType": _FLOAT, "count": vertices}
    accessors = [
        {"bufferView": 0, **vectors, "type": "VEC3", **bounds},
        {"bufferView": 1, **vectors, "type": "VEC3"},
        {"bufferView": 2, **vectors, "type": "VEC2"},
        {"bufferView": 3, "componentType": _SHORT, "count": len(chunks[3]) // 2, "type": "SCALAR"},
    ]
    surface = {
        "baseColorFactor": [*(round(part, 4) for part in colour), 1.0],
        "baseColorTexture": {"index": 0},
        "metallicFactor": 0.0,
        "roughnessFactor": 0.8,
    }
    mesh = {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}
    return {
        "asset": {"version": "2.0", "generator": "simulator"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "model"}],
        "meshes": [{"name": "model", "primitives": [mesh]}],
        "materials": [{"name": "surface", "pbrMetallicRoughness": surface}],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 33071}],
        "images": [{"bufferView": 4, "mimeType": "image/png"}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }


def _pack(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def _even(chunk: bytes) -> bytes:
    """Every part begins at a multiple of four."""
    return chunk + bytes(-len(chunk) % 4)
