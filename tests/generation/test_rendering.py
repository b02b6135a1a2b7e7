"""A model that came without a picture is drawn; what cannot be drawn is said to be so, and quickly."""

from __future__ import annotations

import io
import math
import struct
import time
from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from generation import rendering
from generation.meshes import BadModel
from providers.simulator import models
from tests.generation.test_meshes import glb

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def model(
    points: Sequence[tuple[float, ...]], corners: Sequence[int] = (), kind: str = "H", **document: Any
) -> dict[str, Any]:
    """A document and its geometry, for `packed`; `document` overrides."""
    where, which = array("f", [n for point in points for n in point]).tobytes(), array(kind, corners).tobytes()
    number = {"B": 5121, "H": 5123, "I": 5125}[kind]
    piece = {"attributes": {"POSITION": 0}, **({"indices": 1} if corners else {})}
    return {
        "asset": {"version": "2.0"},
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "meshes": [{"primitives": [piece]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": len(points)},
            {"bufferView": 1, "componentType": number, "type": "SCALAR", "count": len(corners)},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": len(where)},
            {"buffer": 0, "byteOffset": len(where), "byteLength": len(which)},
        ],
        "binary": where + which + b"\0" * (-len(which) % 4),
        **document,
    }


def cube(kind: str = "H", **document: Any) -> dict[str, Any]:
    corners = [n for a, b, c, d in SIDES for n in (a, b, c, a, c, d)]
    return model(CORNERS, corners, kind, **document)


def drawn(found: dict[str, Any] | bytes, pixels: int = 200) -> Image.Image:
    if isinstance(found, dict):
        found = glb({**found, "binary": None}, found["binary"])
    picture = rendering.draw(io.BytesIO(found), len(found), pixels)
    assert (picture.content_type, picture.width, picture.height) == ("image/webp", pixels, pixels)
    return Image.open(io.BytesIO(picture.data)).convert("RGBA")


def covered(image: Image.Image) -> float:
    """The share of the picture that the model covers."""
    alpha = image.getchannel("A").histogram()
    return sum(alpha[128:]) / sum(alpha)


def test_a_model_stands_in_the_middle_before_nothing() -> None:
    image = drawn(models.glb(3), 400)
    left, top, right, bottom = image.getchannel("A").getbbox() or (0, 0, 0, 0)
    assert abs(left - (400 - right)) < 6
    assert abs(top - (400 - bottom)) < 6
    assert bottom - top > 340
    assert 0.2 < covered(image) < 0.6


def test_its_sides_are_shaded_apart() -> None:
    image = drawn(cube())
    shades = {image.getpixel(at)[0] for at in ((100, 30), (70, 120), (150, 120))}  # type: ignore[index]
    assert len(shades) == 3


@pytest.mark.parametrize("kind", ["B", "H", "I"])
def test_corners_may_be_numbered_in_three_ways_or_not_at_all(kind: str) -> None:
    numbered = drawn(cube(kind))
    plain = drawn(model([CORNERS[n] for a, b, c, d in SIDES for n in (a, b, c, a, c, d)]))
    assert numbered.tobytes() == plain.tobytes()


def test_points_may_lie_among_other_numbers() -> None:
    found = cube()
    wide = b"".join(struct.pack("<5f", *point, 7, 8) for point in CORNERS)
    tail = found["binary"][96:]
    views = [{"buffer": 0, "byteStride": 20}, {"buffer": 0, "byteOffset": len(wide)}]
    assert drawn({**found, "bufferViews": views, "binary": wide + tail}).tobytes() == drawn(found).tobytes()


def test_parts_stand_where_their_nodes_put_them() -> None:
    half = math.sqrt(0.5)
    nodes = [
        {"mesh": 0, "children": [1, 2]},
        {"mesh": 0, "translation": [3, 0, 0], "rotation": [0, half, 0, half], "scale": [0.5, 0.5, 0.5]},
        {"children": [3], "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 2, 0, 1]},
        {"mesh": 0},
    ]
    image = drawn(cube(nodes=nodes))
    assert 0.05 < covered(image) < covered(drawn(cube()))


def test_a_plain_colour_is_shown_and_a_texture_is_not() -> None:
    red = {"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}
    found = cube(materials=[red])
    found["meshes"][0]["primitives"][0]["material"] = 0
    pixel = drawn(found).getpixel((70, 120))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 4 * max(pixel[1], 1)


def test_of_many_triangles_some_stand_for_all() -> None:
    side = 300
    points = [(x / side, math.sin(x / 30) * math.cos(y / 30) / 5, y / side) for y in range(side) for x in range(side)]
    at = [y * side + x for y in range(side - 1) for x in range(side - 1)]
    found = model(points, [n for p in at for n in (p, p + side, p + 1, p + 1, p + side, p + side + 1)], "I")
    began = time.process_time()
    image = drawn(found, 400)
    assert time.process_time() - began < 2
    hidden = image.getchannel("A").crop((150, 170, 250, 230)).histogram()[:128]
    assert sum(hidden) < 60, "no holes to speak of"


def without(found: dict[str, Any], *path: Any) -> dict[str, Any]:
    at = found
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return found


def altered(**changes: Any) -> dict[str, Any]:
    found = cube()
    found["accessors"][0] |= changes
    return found


RINGS = [{"children": [0]}]
CANNOT: dict[str, dict[str, Any]] = {
    "nothing in it": {"asset": {"version": "2.0"}, "binary": b""},
    "no geometry": cube(binary=b""),
    "less geometry than it says": cube(binary=b"\0" * 40),
    "compressed": without(cube(), "accessors", 0, "bufferView"),
    "sparse": altered(sparse={}),
    "short numbers": altered(componentType=5122),
    "endless": altered(count=10**9),
    "less than nothing": altered(count=-5),
    "before its beginning": altered(byteOffset=-8),
    "a word for a number": altered(count="many"),
    "corners that are not there": model(CORNERS, [0, 1, 99]),
    "a mesh that is not there": cube(nodes=[{"mesh": 9}]),
    "a ring of nodes": cube(nodes=RINGS),
    "nodes without number": cube(nodes=[{"children": [1, 1]}, {"children": [2, 2]}, *[{"children": [2, 2]}] * 9]),
    "lines": cube(meshes=[{"primitives": [{"mode": 1, "attributes": {"POSITION": 0}}]}]),
    "nowhere": cube(nodes=[{"mesh": 0, "translation": [1e39, 0, 0]}]),
    "a point": cube(nodes=[{"mesh": 0, "scale": [0, 0]}]),
    "one piece ten thousand times": cube(meshes=[{"primitives": [{"attributes": {"POSITION": 0}}] * 300_000}]),
}


@pytest.mark.parametrize("found", CANNOT.values(), ids=CANNOT)
def test_what_cannot_be_drawn_is_said_to_be_so_and_quickly(found: dict[str, Any]) -> None:
    began = time.process_time()
    with pytest.raises(BadModel):
        drawn(found)
    assert time.process_time() - began < 3
