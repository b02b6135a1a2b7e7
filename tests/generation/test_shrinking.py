"""A picture that must fit into so many bytes."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from config.models import User
from generation import engine, shrinking, storage
from generation.models import Item
from generation.plan import StepPlan
from tests.generation.support import THUMBNAIL, balance, fresh, make_plan, picture, work_until_quiet

KB = 1024


def noise(size: tuple[int, int] = (320, 240), mode: str = "RGB") -> Image.Image:
    """What no encoder can make small."""
    return Image.frombytes(mode, size, os.urandom(size[0] * size[1] * len(mode)))


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("most", [5 * KB, 20 * KB, 80 * KB, 900 * KB])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_it_fits_and_is_no_smaller_than_it_must_be(kind: str, most: int, mode: str) -> None:
    made = shrinking.fit(noise(mode=mode), kind, most)
    assert made.size_bytes <= most
    image = opened(made.data)
    assert (image.format, image.size) == (kind, (made.width, made.height))
    assert abs(made.width / made.height - 4 / 3) < 0.06, "its shape stays"
    if most > 800 * KB:
        assert made.width == 320
    elif made.width < 320:
        assert made.size_bytes > most / 6, "noise grows smooth when it shrinks, a picture does not"


def test_quality_goes_before_dimensions() -> None:
    image = noise()
    best = shrinking.fit(image, "JPEG", 900 * KB).size_bytes
    less = shrinking.fit(image, "JPEG", best - 1)
    assert (less.width, less.size_bytes < best) == (320, True)
    few = shrinking.fit(image, "PNG", 120 * KB)
    assert (few.width, opened(few.data).mode) == (320, "P")


def test_transparency_stays_where_it_can_and_stands_on_white_where_not() -> None:
    clear = Image.new("RGBA", (64, 32), (255, 0, 0, 0))
    assert opened(shrinking.fit(clear, "PNG", KB * KB).data).getpixel((0, 0)) == (255, 0, 0, 0)
    assert opened(shrinking.fit(clear, "JPEG", KB * KB).data).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_square_is_padded_with_white(mode: str) -> None:
    image = Image.new(mode, (64, 32), 0)
    if mode == "RGBA":
        image.putalpha(255)
    made = shrinking.fit(image, "PNG", KB * KB, square=True)
    shown = opened(made.data)
    assert shown.size == (64, 64)
    assert [shown.getpixel((32, at)) for at in (0, 32, 63)] == [(255,) * 3, (0,) * 3, (255,) * 3]


# --- As a step ---------------------------------------------------------------------------------------


def submit_downscale(owner: User, data: bytes, extension: str, **inputs: Any) -> Item:
    key = f"inputs/x/picture.{extension}"
    storage.save(key, io.BytesIO(data))
    step = StepPlan("downscale", "downscale", {"images": [key], **inputs})
    plan = make_plan(owner)
    return engine.submit(replace(plan, items=(replace(plan.items[0], steps=(step, THUMBNAIL)),))).items.get()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("inputs", "content_type"),
    [
        ({}, "image/png"),
        ({"output_format": "original"}, "image/png"),
        ({"output_format": "jpeg"}, "image/jpeg"),
        ({"output_format": "webp", "aspect_ratio_mode": "square"}, "image/webp"),
    ],
)
def test_a_picture_is_made_smaller_by_ourselves(
    alice: User, audited: None, inputs: dict[str, Any], content_type: str
) -> None:
    out = io.BytesIO()
    noise().save(out, "PNG")
    item = submit_downscale(alice, out.getvalue(), "png", max_size_mb=0.1, **inputs)
    work_until_quiet()
    done = fresh(item)
    made = done.results["downscale"]
    assert (done.status, made["content_type"]) == ("SUCCEEDED", content_type)
    assert len(storage.read(made["key"])) <= 0.1 * KB * KB
    assert (made["width"] == made["height"]) == ("aspect_ratio_mode" in inputs)
    assert {asset.kind for asset in item.assets.all()} == {"image", "thumbnail"}


@pytest.mark.django_db(transaction=True)
def test_a_picture_that_fits_already_is_taken_over(alice: User, audited: None) -> None:
    item = submit_downscale(alice, picture("JPEG"), "jpg", max_size_mb=20, aspect_ratio_mode="original")
    work_until_quiet()
    assert storage.read(fresh(item).results["downscale"]["key"]) == picture("JPEG")


@pytest.mark.django_db(transaction=True)
def test_what_is_no_picture_is_said_to_be_none_and_refunded(alice: User, audited: None) -> None:
    item = submit_downscale(alice, b"nothing", "png", max_size_mb=1)
    work_until_quiet()
    now = fresh(item)
    assert (now.status, now.error_code, now.error_retryable, balance(alice)) == ("FAILED", "INVALID_INPUT", False, 100)
