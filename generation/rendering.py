"""A small drawing of a 3D model that came without one: flat shaded, farthest triangles first (Pillow).

Only for people to know it again: no textures, a bounded number of triangles. What is compressed, or built in ways
that are not followed here, is not drawn.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from PIL import Image, ImageDraw

from generation import images, meshes
from generation.meshes import BadModel, Glb

MOST_TRIANGLES = 20_000
MOST_NODES = MOST_PIECES = 10_000
# Of the coordinates and the corners of all pieces together.
MOST_BYTES = 24 * 1024 * 1024
SUPERSAMPLED = 2
MARGIN = 0.06
GREY = (190, 190, 196)
LIGHT = (0.35, 0.55, 0.76)
AMBIENT = 0.35

FLOAT, TRIANGLES = 5126, 4
INTEGERS = {5121: "B", 5123: "H", 5125: "I"}

Point = tuple[float, float, float]
# Three rows of a matrix that turns, scales and moves.
Matrix = tuple[tuple[float, float, float, float], ...]
UNMOVED: Matrix = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0))


@dataclass(frozen=True)
class Triangle:
    corners: tuple[Point, Point, Point]
    colour: tuple[int, int, int]


def draw(body: BinaryIO, size_bytes: int, pixels: int) -> images.Picture:
    """Draw a model as a WebP of `pixels` square before nothing. Raises BadModel. Costs up to 0.2 s of CPU."""
    side = pixels * SUPERSAMPLED
    try:
        seen = list(_seen(list(_triangles(body, meshes.read(body, size_bytes))), side))
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise BadModel(f"is built in a way that is not drawn ({type(error).__name__})") from None
    canvas = Image.new("RGBA", (side, side), (*GREY, 0))
    paint = ImageDraw.Draw(canvas)
    for corners, colour in seen:
        paint.polygon(corners, colour)
    return images.packed(canvas.reduce(SUPERSAMPLED), "WEBP", quality=80, method=1)


# --- What is there -------------------------------------------------------------------------------


def _triangles(body: BinaryIO, glb: Glb) -> Iterator[Triangle]:
    """Every triangle of the model, or every n-th, as large as those it stands for."""
    pieces = list(islice(_pieces(glb.document), MOST_PIECES))
    if sum(_size(glb.document, piece) for piece, _ in pieces) > MOST_BYTES:
        raise BadModel("is too big to draw")
    read = [(piece, matrix, *_geometry(body, glb, piece)) for piece, matrix in pieces]
    total = sum(len(corners) // 3 for *_, corners in read)
    nth = math.ceil(total / MOST_TRIANGLES)
    for piece, matrix, (xs, ys, zs), corners in read:
        colour, moved = _colour(glb.document, piece), _looking(matrix)
        for at in range(0, len(corners) - 2, 3 * nth):
            points = [_at(moved, xs[n], ys[n], zs[n]) for n in corners[at : at + 3]]
            if all(map(math.isfinite, (*points[0], *points[1], *points[2]))):
                a, b, c = _grown(points, math.sqrt(nth)) if nth > 1 else points
                yield Triangle((a, b, c), colour)


def _pieces(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Matrix]]:
    """The pieces of the scene that are made of triangles, each with where it stands."""
    nodes, scenes = document.get("nodes", []), document.get("scenes", [])
    roots = scenes[document.get("scene", 0)]["nodes"] if scenes else range(len(nodes))
    waiting: list[tuple[int, Matrix]] = [(root, UNMOVED) for root in roots]
    for _ in range(MOST_NODES):
        if not waiting:
            return
        number, above = waiting.pop()
        node = nodes[number]
        matrix = _times(above, _matrix(node))
        waiting += [(child, matrix) for child in node.get("children", [])]
        if "mesh" in node:
            for piece in document["meshes"][node["mesh"]]["primitives"]:
                if piece.get("mode", TRIANGLES) == TRIANGLES:
                    yield piece, matrix
    raise BadModel("has too many nodes, or they go round in a ring")


def _size(document: dict[str, Any], piece: dict[str, Any]) -> int:
    """How many bytes a piece takes at least to be read."""
    named = [piece["attributes"]["POSITION"], *([piece["indices"]] if "indices" in piece else [])]
    return sum(int(document["accessors"][number]["count"]) * 4 for number in named) * 3


def _geometry(
    body: BinaryIO, glb: Glb, piece: dict[str, Any]
) -> tuple[tuple[Sequence[float], Sequence[float], Sequence[float]], Sequence[int]]:
    """The coordinates of a piece's points, and the points of its triangles."""
    accessors = glb.document["accessors"]
    where = accessors[piece["attributes"]["POSITION"]]
    if where["componentType"] != FLOAT or where["type"] != "VEC3":
        raise BadModel("holds its points in a way that is not drawn")
    flat, step = _numbers(body, glb, where, "f", 3)
    points = flat[0::step], flat[1::step], flat[2::step]
    if "indices" not in piece:
        return points, range(where["count"])
    named = accessors[piece["indices"]]
    return points, _numbers(body, glb, named, INTEGERS[named["componentType"]], 1)[0]


def _numbers(body: BinaryIO, glb: Glb, accessor: dict[str, Any], kind: str, width: int) -> tuple[array[Any], int]:
    """The numbers of an accessor, and how many lie from one of its elements to the next."""
    view = glb.document["bufferViews"][accessor["bufferView"]]
    if "sparse" in accessor or view.get("extensions") or view.get("buffer", 0) != 0:
        raise BadModel("holds its points in a way that is not drawn")
    numbers: array[Any] = array(kind)
    stride, count = view.get("byteStride", width * numbers.itemsize), accessor["count"]
    first = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    size = stride * (count - 1) + width * numbers.itemsize
    if count < 1 or stride < width * numbers.itemsize or stride % numbers.itemsize or size > MOST_BYTES:
        raise BadModel("holds its points in a way that is not drawn")
    if first < 0 or first + size > glb.binary_bytes:
        raise BadModel("points outside itself")
    body.seek(glb.binary_at + first)
    numbers.frombytes(body.read(size))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers, stride // numbers.itemsize


def _colour(document: dict[str, Any], piece: dict[str, Any]) -> tuple[int, int, int]:
    if "material" not in piece:
        return GREY
    surface = document["materials"][piece["material"]].get("pbrMetallicRoughness", {})
    if "baseColorTexture" in surface or "baseColorFactor" not in surface:
        return GREY
    # glTF's colours are linear.
    red, green, blue = (round(255 * min(max(part, 0.0), 1.0) ** (1 / 2.2)) for part in surface["baseColorFactor"][:3])
    return red, green, blue


# --- Where it stands -----------------------------------------------------------------------------


def _matrix(node: dict[str, Any]) -> Matrix:
    if "matrix" in node:
        m = node["matrix"]
        return tuple((m[row], m[row + 4], m[row + 8], m[row + 12]) for row in range(3))
    (x, y, z, w), (sx, sy, sz) = node.get("rotation", (0, 0, 0, 1)), node.get("scale", (1, 1, 1))
    tx, ty, tz = node.get("translation", (0, 0, 0))
    return (
        (sx * (1 - 2 * (y * y + z * z)), sy * 2 * (x * y - z * w), sz * 2 * (x * z + y * w), tx),
        (sx * 2 * (x * y + z * w), sy * (1 - 2 * (x * x + z * z)), sz * 2 * (y * z - x * w), ty),
        (sx * 2 * (x * z - y * w), sy * 2 * (y * z + x * w), sz * (1 - 2 * (x * x + y * y)), tz),
    )


def _times(left: Matrix, right: Matrix) -> Matrix:
    below = (*right, (0, 0, 0, 1))
    return tuple(
        (*(sum(row[n] * below[n][column] for n in range(4)) for column in range(4)),)  # type: ignore[misc]
        for row in left
    )


def _looking(matrix: Matrix) -> Matrix:
    """From a little to the right and above; the third row is what comes towards the viewer."""
    turn, tilt = math.radians(-32), math.radians(18)
    across: Matrix = ((math.cos(turn), 0, math.sin(turn), 0), (0, 1, 0, 0), (-math.sin(turn), 0, math.cos(turn), 0))
    over: Matrix = ((1, 0, 0, 0), (0, math.cos(tilt), -math.sin(tilt), 0), (0, math.sin(tilt), math.cos(tilt), 0))
    return _times(over, _times(across, matrix))


def _at(matrix: Matrix, x: float, y: float, z: float) -> Point:
    (a, b, c, d), (e, f, g, h), (i, j, k, m) = matrix
    return a * x + b * y + c * z + d, e * x + f * y + g * z + h, i * x + j * y + k * z + m


def _grown(points: Sequence[Point], by: float) -> list[Point]:
    middle = [sum(point[n] for point in points) / 3 for n in range(3)]
    return [(*(middle[n] + by * (point[n] - middle[n]) for n in range(3)),) for point in points]  # type: ignore[misc]


# --- What is seen --------------------------------------------------------------------------------


def _seen(
    triangles: Sequence[Triangle], side: int
) -> Iterator[tuple[list[tuple[float, float]], tuple[int, int, int, int]]]:
    """The triangles on the canvas, the farthest first, each in its shade. Raises BadModel when there is nothing."""
    if not triangles:
        raise BadModel("shows nothing")
    xs = [x for one in triangles for x, _, _ in one.corners]
    ys = [y for one in triangles for _, y, _ in one.corners]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    size = max(right - left, high - low)
    if not 0 < size < math.inf:
        raise BadModel("shows nothing")
    scale = side * (1 - 2 * MARGIN) / size
    middle_x, middle_y, half = (left + right) / 2, (low + high) / 2, side / 2
    for one in sorted(triangles, key=lambda one: one.corners[0][2] + one.corners[1][2] + one.corners[2][2]):
        shade = _shade(one.corners)
        red, green, blue = one.colour
        corners = [(half + scale * (x - middle_x), half - scale * (y - middle_y)) for x, y, _ in one.corners]
        yield corners, (int(red * shade), int(green * shade), int(blue * shade), 255)


def _shade(corners: tuple[Point, Point, Point]) -> float:
    """How much light falls on the side of a triangle that we see."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    if not length or not math.isfinite(length):
        return AMBIENT
    facing = (nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2]) / (length if nz > 0 else -length)
    return AMBIENT + (1 - AMBIENT) * max(facing, 0.0)
