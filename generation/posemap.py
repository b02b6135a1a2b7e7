"""Pose maps: a figure's keypoints drawn as ControlNet reads them, and as a mannequin that people read.

Keypoints are 18 points in COCO order, each (x, y) in shares of width and height or None when it is not to be
seen: nose, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, knee, ankle, left hip,
knee, ankle, right eye, left eye, right ear, left ear. Right and left are the figure's own.

The map follows controlnet_aux: limbs in dimmed colours first, joints in full colours on top; its palette is
not that of OpenPose's own renderer, which is shifted by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

Point = tuple[float, float]
Keypoints = Sequence[Point | None]

POINTS = 18
NOSE, NECK = 0, 1
# Each limb joins two points and takes the colour of its own number.
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
    (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
    (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
ARMS = {"right": (2, 3, 4), "left": (5, 6, 7)}
LEGS = {"right": (8, 9, 10), "left": (11, 12, 13)}
DIMMED = 0.6
# Half the thickness of a limb and the radius of a joint, on a canvas whose short side is 512.
STROKE_OF_512, LEAST_STROKE = 4, 2

# How thick a mannequin is, in shares of its torso's length: upper arms, forearms, thighs, shins.
_ARM, _FOREARM, _THIGH, _SHIN, _NECK, _HEAD = 0.16, 0.125, 0.25, 0.18, 0.14, 0.34
_SMOOTH = 2  # drawn so many times as large and reduced


@dataclass(frozen=True)
class Box:
    """Where a figure is, in shares of the frame; with room for crown, hands and feet beyond the joints."""

    left: float
    top: float
    right: float
    bottom: float


def box(keypoints: Keypoints) -> Box:
    """Frame a figure. Raises ValueError when no point is to be seen."""
    seen = [point for point in keypoints if point]
    if not seen:
        raise ValueError("a pose without points")
    xs, ys = [x for x, _ in seen], [y for _, y in seen]
    room = 0.6 * _torso(keypoints) * _HEAD * 2
    return Box(
        max(0.0, min(xs) - room), max(0.0, min(ys) - room), min(1.0, max(xs) + room), min(1.0, max(ys) + room / 2)
    )


def draw_map(keypoints: Keypoints, width: int, height: int) -> Image.Image:
    """Draw the control picture of one figure, RGB on black. Missing points take their limbs with them."""
    canvas = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(canvas)
    stroke = max(LEAST_STROKE, STROKE_OF_512 * min(width, height) / 512)
    spots = _spots(keypoints, width, height)
    for number, (start, end) in enumerate(LIMBS):
        first, last = spots[start], spots[end]
        if first and last and first != last:
            red, green, blue = COLOURS[number]
            dimmed = (int(red * DIMMED), int(green * DIMMED), int(blue * DIMMED))
            pen.polygon(_ellipse(first, last, stroke), fill=dimmed)
    for number, spot in enumerate(spots):
        if spot:
            x, y = spot
            pen.ellipse((x - stroke, y - stroke, x + stroke, y + stroke), fill=COLOURS[number])
    return canvas


def draw_mannequin(
    keypoints: Keypoints,
    width: int,
    height: int,
    *,
    body: str = "#8b8f98",
    near: str = "#a3a7af",
    far: str = "#70747d",
    ground: str = "#ffffff",
) -> Image.Image:
    """Draw the figure as a jointed doll: what people choose by, and a structure for models without skeletons.

    near, far: the colours of what is before the torso and behind it. ground: of the background.
    """
    canvas = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), ground)
    pen = ImageDraw.Draw(canvas)
    spots = _spots(keypoints, *canvas.size)
    unit = _torso(keypoints) * min(canvas.size)
    nose, neck = spots[NOSE], spots[NECK]
    far_side = _far_side(spots)
    if far_side:
        _limb(pen, [spots[n] for n in ARMS[far_side]], unit, is_leg=False, colour=far)
        _limb(pen, [spots[n] for n in LEGS[far_side]], unit, is_leg=True, colour=far)
    _torso_shape(pen, [spots[n] for n in (2, 5, 11, 8)], neck, unit, body)
    for side in ("right", "left"):
        if side != far_side:
            _limb(pen, [spots[n] for n in LEGS[side]], unit, is_leg=True, colour=body)
            _limb(pen, [spots[n] for n in ARMS[side]], unit, is_leg=False, colour=near)
    _head(pen, spots, nose, neck, unit, body)
    return canvas.resize((width, height), Image.Resampling.BOX)


def _spots(keypoints: Keypoints, width: int, height: int) -> list[tuple[int, int] | None]:
    """The points in whole pixels, cut off towards zero as the reference does."""
    if len(keypoints) != POINTS:
        raise ValueError(f"a pose has {POINTS} points, not {len(keypoints)}")
    return [(int(point[0] * width), int(point[1] * height)) if point else None for point in keypoints]


def _torso(keypoints: Keypoints) -> float:
    """The length of the torso; from the shoulders' width when the hips are out of the frame."""
    neck, hips = keypoints[NECK], [point for point in (keypoints[8], keypoints[11]) if point]
    if neck and hips:
        middle = (sum(x for x, _ in hips) / len(hips), sum(y for _, y in hips) / len(hips))
        return max(0.05, math.dist(neck, middle))
    right, left = keypoints[2], keypoints[5]
    return max(0.05, math.dist(right, left) * 1.35) if right and left else 0.25


def _ellipse(start: tuple[int, int], end: tuple[int, int], half_thickness: float) -> list[Point]:
    """A filled limb: an ellipse between two points, turned along them, as a polygon in steps of 5 degrees."""
    (x1, y1), (x2, y2) = start, end
    across, down = (x1 + x2) / 2, (y1 + y2) / 2
    half, turn = math.dist(start, end) / 2, math.atan2(y2 - y1, x2 - x1)
    cos_t, sin_t = math.cos(turn), math.sin(turn)
    steps = [math.radians(degrees) for degrees in range(0, 360, 5)]
    return [
        (
            across + half * math.cos(u) * cos_t - half_thickness * math.sin(u) * sin_t,
            down + half * math.cos(u) * sin_t + half_thickness * math.sin(u) * cos_t,
        )
        for u in steps
    ]


def _far_side(spots: Sequence[tuple[int, int] | None]) -> str:
    """The side that is turned away in a profile; none in front and from behind."""
    right, left, right_eye, left_eye = spots[2], spots[5], spots[14], spots[15]
    is_from_behind = bool(right and left and right[0] > left[0])
    if is_from_behind or bool(right_eye) == bool(left_eye):
        return ""
    return "left" if right_eye else "right"


def _limb(
    pen: ImageDraw.ImageDraw, spots: Sequence[tuple[int, int] | None], unit: float, *, is_leg: bool, colour: str
) -> None:
    upper, lower = (_THIGH, _SHIN) if is_leg else (_ARM, _FOREARM)
    start, joint, end = spots
    if start and joint:
        _capsule(pen, start, joint, unit * upper / 2, unit * lower / 2 * 1.1, colour)
    if joint and end:
        _capsule(pen, joint, end, unit * lower / 2 * 1.1, unit * lower / 2 * 0.72, colour)
    if end and not is_leg:
        _disc(pen, end, unit * _FOREARM * 0.58, colour)


def _capsule(
    pen: ImageDraw.ImageDraw, start: tuple[int, int], end: tuple[int, int], first: float, last: float, colour: str
) -> None:
    """A tapered stroke with round ends. first, last: its radius at either end."""
    turn = math.atan2(end[1] - start[1], end[0] - start[0])
    side = (-math.sin(turn), math.cos(turn))
    pen.polygon(
        [
            (start[0] + side[0] * first, start[1] + side[1] * first),
            (end[0] + side[0] * last, end[1] + side[1] * last),
            (end[0] - side[0] * last, end[1] - side[1] * last),
            (start[0] - side[0] * first, start[1] - side[1] * first),
        ],
        fill=colour,
    )
    _disc(pen, start, first, colour)
    _disc(pen, end, last, colour)


def _disc(pen: ImageDraw.ImageDraw, spot: Point, radius: float, colour: str) -> None:
    x, y = spot
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _torso_shape(
    pen: ImageDraw.ImageDraw,
    corners: Sequence[tuple[int, int] | None],
    neck: tuple[int, int] | None,
    unit: float,
    colour: str,
) -> None:
    """Shoulders to hips; straight down out of the frame when the hips are not to be seen."""
    right, left, left_hip, right_hip = corners
    if not (right and left):
        return
    bottom = pen.im.size[1] if pen.im else 0
    low_left, low_right = left_hip or (left[0], bottom), right_hip or (right[0], bottom)
    radius = unit * _ARM / 2
    pen.polygon([right, left, low_left, low_right], fill=colour)
    for start, end in ((right, left), (left, low_left), (right, low_right), (low_right, low_left)):
        _capsule(pen, start, end, radius, radius * (1.2 if end in (low_left, low_right) else 1), colour)
    if neck:
        _disc(pen, neck, radius, colour)


def _head(
    pen: ImageDraw.ImageDraw,
    spots: Sequence[tuple[int, int] | None],
    nose: tuple[int, int] | None,
    neck: tuple[int, int] | None,
    unit: float,
    colour: str,
) -> None:
    """An egg around the face's points, joined to the neck."""
    face = [spot for spot in (nose, *spots[14:18]) if spot]
    if not face:
        return
    middle = (sum(x for x, _ in face) / len(face), sum(y for _, y in face) / len(face))
    radius = unit * _HEAD / 2 * 1.25
    if neck:
        _capsule(pen, neck, (int(middle[0]), int(middle[1])), unit * _NECK / 2, unit * _NECK / 2, colour)
        away = math.dist(neck, middle) or 1.0
        lift = radius * 0.25
        middle = (middle[0] + (middle[0] - neck[0]) / away * lift, middle[1] + (middle[1] - neck[1]) / away * lift)
    _disc(pen, middle, radius, colour)
