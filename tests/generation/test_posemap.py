"""Pose maps: the control picture's exact rules, and a library of figures that a person could stand in."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from generation import posemap

LIBRARY = json.loads(Path("generation/doors/poses/library.json").read_text())
POSES = [pytest.param(pose, id=f"{pose['category']}: {pose['name']}") for pose in LIBRARY["poses"]]

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_PIXELS = 128
DRAWN: dict[str, Callable[..., Image.Image]] = {"map": posemap.draw_map, "mannequin": posemap.draw_mannequin}
# The first pose of every third category.
SHOWN = {pose["category"]: pose for pose in reversed(LIBRARY["poses"])}
SHOWN = {name: SHOWN[name] for name in sorted(SHOWN)[::3]}

STANDING: posemap.Keypoints = [
    (0.5, 0.15), (0.5, 0.25), (0.375, 0.25), (0.35, 0.4), (0.35, 0.5), (0.625, 0.25), (0.65, 0.4), (0.65, 0.5),
    (0.45, 0.5), (0.45, 0.7), (0.45, 0.9), (0.55, 0.5), (0.55, 0.7), (0.55, 0.9),
    (0.47, 0.12), (0.53, 0.12), (0.44, 0.13), (0.56, 0.13),
]  # fmt: skip


def points_of(pose: dict[str, Any]) -> list[posemap.Point | None]:
    return [tuple(point) if point else None for point in pose["keypoints"]]


def middle(first: int, last: int, size: int) -> tuple[int, int]:
    (x1, y1), (x2, y2) = STANDING[first] or (0, 0), STANDING[last] or (0, 0)
    return int((x1 + x2) / 2 * size), int((y1 + y2) / 2 * size)


@pytest.mark.parametrize("size", [512, 1024])
def test_a_map_has_the_colours_that_the_model_was_trained_on(size: int) -> None:
    drawn = posemap.draw_map(STANDING, size, size)
    assert drawn.getpixel((0, 0)) == (0, 0, 0)
    assert drawn.getpixel((size // 2, int(0.15 * size))) == (255, 0, 0)  # the nose
    assert drawn.getpixel((size // 2, int(0.25 * size))) == (255, 85, 0)  # the neck
    for number, (first, last) in enumerate(posemap.LIMBS[:12]):
        dimmed = tuple(int(part * 0.6) for part in posemap.COLOURS[number])
        assert drawn.getpixel(middle(first, last, size)) == dimmed


def test_right_is_right() -> None:
    """The right wrist of who faces the camera is on the viewer's left, in the right wrist's own colour."""
    drawn = posemap.draw_map(STANDING, 512, 512)
    assert drawn.getpixel((int(0.35 * 512), 256)) == (170, 255, 0)
    assert drawn.getpixel((int(0.65 * 512), 256)) == (0, 255, 85)


def test_a_missing_point_takes_its_limbs_with_it() -> None:
    without = list(STANDING)
    without[3] = None
    drawn = posemap.draw_map(without, 512, 512)
    assert drawn.getpixel(middle(2, 3, 512)) == (0, 0, 0)
    assert drawn.getpixel(middle(3, 4, 512)) == (0, 0, 0)
    assert drawn.getpixel((int(0.35 * 512), 256)) == (170, 255, 0)


def test_limbs_grow_with_the_canvas() -> None:
    def thickness(size: int) -> int:
        drawn = posemap.draw_map(STANDING, size, size)
        column = int(0.45 * size)
        return sum(drawn.getpixel((x, int(0.6 * size))) != (0, 0, 0) for x in range(column - 40, column + 30))

    assert thickness(1024) == pytest.approx(2 * thickness(512), abs=2)


def test_a_pose_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="18 points"):
        posemap.draw_map(STANDING[:17], 64, 64)
    with pytest.raises(ValueError, match="without points"):
        posemap.box([None] * 18)


# --- Our own library -----------------------------------------------------------------------------


def test_every_child_category_has_three_poses_or_more() -> None:
    children = [one["name"] for one in LIBRARY["categories"] if one["parent"]]
    assert len(children) == 22
    for child in children:
        assert sum(pose["category"] == child for pose in LIBRARY["poses"]) >= 3
    assert {pose["category"] for pose in LIBRARY["poses"]} == set(children)
    assert len({(pose["category"], pose["name"]) for pose in LIBRARY["poses"]}) == len(LIBRARY["poses"])


@pytest.mark.parametrize("pose", POSES)
def test_a_figure_stays_within_the_frame(pose: dict[str, Any]) -> None:
    points = points_of(pose)
    assert len(points) == posemap.POINTS
    assert all(0.02 <= part <= 0.98 for point in points if point for part in point)
    frame = posemap.box(points)
    assert frame.left < frame.right
    assert frame.top < frame.bottom


@pytest.mark.parametrize("pose", POSES)
def test_a_figure_has_the_proportions_of_a_person(pose: dict[str, Any]) -> None:
    """Limbs may be foreshortened, never stretched; both sides are of one body."""
    points = points_of(pose)

    def length(first: int, last: int) -> float:
        start, end = points[first], points[last]
        return math.dist(start, end) if start and end else 0.0

    arms = [(2, 3), (3, 4), (5, 6), (6, 7)]
    longest = max(length(*limb) for limb in arms)
    assert longest > 0
    assert all(length(*limb) <= longest * 1.01 for limb in arms)
    thighs, shins = [length(8, 9), length(11, 12)], [length(9, 10), length(12, 13)]
    if any(thighs):
        assert 1.1 <= max(*thighs, *shins) / longest <= 2.1
        torso = max(length(1, 8), length(1, 11))
        assert 0.9 <= torso / max(*thighs, *shins) <= 1.8
    if points[0]:  # who is seen from behind has no face
        assert 0.4 <= length(0, 1) / longest <= 1.2
    assert points[1]
    assert points[2]
    assert points[5]


@pytest.mark.parametrize("pose", POSES)
def test_a_figure_has_no_side_swapped(pose: dict[str, Any]) -> None:
    """Shoulders, hips, eyes and ears agree on which way it faces; who shows the back shows no face."""
    points = points_of(pose)

    def across(right: int, left: int) -> float:
        """How far the left point is to the viewer's right of the right one; 0 where it is hardly to be told."""
        start, end = points[right], points[left]
        far = end[0] - start[0] if start and end else 0.0
        return far if abs(far) > 0.02 else 0.0

    shoulders = across(2, 5)
    assert all(shoulders * across(*pair) >= 0 for pair in ((8, 11), (14, 15), (16, 17)))
    if shoulders < 0:
        assert not (points[14] and points[15])


@pytest.mark.parametrize("pose", POSES)
def test_a_figure_can_be_drawn_both_ways(pose: dict[str, Any]) -> None:
    points = points_of(pose)
    assert posemap.draw_map(points, 256, 256).getbbox() is not None
    doll = posemap.draw_mannequin(points, 256, 256)
    assert doll.size == (256, 256)
    assert len(doll.getcolors(65536) or []) > 3


def differing(left: Image.Image, right: Image.Image) -> float:
    """The share of pixels that anybody would call another colour, of what either shows."""
    apart = ImageChops.difference(left, right).convert("L").point(lambda level: 255 * (level > 24))
    shown = ImageChops.lighter(*(_not_ground(image) for image in (left, right)))
    return apart.histogram()[255] / max(1, shown.histogram()[255])


def _not_ground(image: Image.Image) -> Image.Image:
    ground = Image.new("RGB", image.size, image.getpixel((0, 0)))
    return ImageChops.difference(image, ground).convert("L").point(lambda level: 255 * (level > 8))


@pytest.mark.parametrize("category", SHOWN)
@pytest.mark.parametrize("way", DRAWN)
def test_a_figure_looks_as_it_always_did(way: str, category: str) -> None:
    """Beside a picture that somebody looked at. KEEP=1 takes it anew: look at it again."""
    drawn = DRAWN[way](points_of(SHOWN[category]), 512, 512)
    assert (drawn.size, drawn.mode) == ((512, 512), "RGB")
    small = drawn.resize((GOLDEN_PIXELS, GOLDEN_PIXELS), Image.Resampling.BOX)
    path = GOLDEN / f"{way}-{category}.png"
    if os.environ.get("KEEP"):
        small.save(path, optimize=True)
    with Image.open(path) as golden:
        assert (golden.size, golden.format) == (small.size, "PNG")
        assert differing(small, golden.convert("RGB")) < 0.02
    others = [other for other in GOLDEN.glob(f"{way}-*.png") if other != path]
    assert others
    assert all(differing(small, Image.open(other).convert("RGB")) > 0.2 for other in others)
