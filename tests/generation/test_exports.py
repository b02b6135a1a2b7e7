"""Exports: the right size, format and weight, around the figure, and nothing of the original's metadata."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from generation import exports
from generation.images import BadPicture, Picture
from generation.posemap import Box

SIZES = {
    "instagram_story": (1080, 1920, "JPEG"),
    "instagram_feed": (1080, 1080, "JPEG"),
    "instagram_portrait": (1080, 1350, "JPEG"),
    "tiktok": (1080, 1920, "JPEG"),
    "shopee_product": (1000, 1000, "JPEG"),
    "tokopedia_product": (1200, 1200, "JPEG"),
    "lazada_product": (1000, 1000, "JPEG"),
    "facebook_post": (1200, 630, "JPEG"),
    "twitter_post": (1200, 675, "JPEG"),
    "linkedin_post": (1200, 627, "JPEG"),
    "print_a4": (2480, 3508, "PNG"),
    "print_4x6": (1800, 1200, "PNG"),
    "original": (1024, 1024, "PNG"),
}


def landscape() -> Image.Image:
    """A picture whose every place has a colour of its own: red grows to the right, green downwards."""
    red, green = Image.linear_gradient("L").rotate(90), Image.linear_gradient("L")
    return Image.merge("RGB", [red, green, Image.new("L", red.size, 90)]).resize(
        (1024, 1024), Image.Resampling.BILINEAR
    )


def opened(export: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(export.data))
    image.load()
    return image


def distance(left: Image.Image, right: Image.Image) -> float:
    """The mean difference of two pictures at 16 x 16, 0 to 255: blind to coding, awake to what is where."""
    small = [image.convert("RGB").resize((16, 16), Image.Resampling.BOX).tobytes() for image in (left, right)]
    return sum(abs(one - other) for one, other in zip(*small, strict=True)) / len(small[0])


@pytest.mark.parametrize(("name", "expected"), SIZES.items())
def test_an_export_has_the_platforms_size_and_format(name: str, expected: tuple[int, int, str]) -> None:
    made = exports.make(landscape(), [name])[name]
    image = opened(made)
    assert (*image.size, image.format) == expected
    assert (made.width, made.height) == image.size
    assert made.content_type == f"image/{image.format.lower()}"


@pytest.mark.parametrize(("name", "expected"), SIZES.items())
def test_an_export_shows_the_middle_of_the_original(name: str, expected: tuple[int, int, str]) -> None:
    original = landscape()
    width, height, _ = expected
    part = original.crop(exports.crop_of(original.size, width / height))
    assert distance(opened(exports.make(original, [name])[name]), part) < 2


def test_every_alias_leads_to_its_preset() -> None:
    for preset in exports.PRESETS.values():
        for alias in preset.aliases:
            assert exports.preset_of(alias) is preset
    assert exports.preset_of("myspace") is None
    assert exports.names() == sorted(exports.names())
    with pytest.raises(KeyError):
        exports.make(landscape(), ["myspace"])


def test_the_answer_goes_by_the_name_that_was_asked_for() -> None:
    made = exports.make(landscape(), ["ig-story", "instagram_reel"])
    assert list(made) == ["ig-story", "instagram_reel"]
    assert made["ig-story"] is made["instagram_reel"]


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (None, (400, 0, 600, 200)),
        (Box(0.0, 0.1, 0.1, 0.9), (0, 0, 200, 200)),
        (Box(0.8, 0.1, 1.0, 0.9), (800, 0, 1000, 200)),
        (Box(0.6, 0.1, 0.7, 0.9), (550, 0, 750, 200)),
    ],
)
def test_a_crop_keeps_the_figure(figure: Box | None, expected: tuple[int, int, int, int]) -> None:
    assert exports.crop_of((1000, 200), 1.0, figure) == expected


def test_a_crop_too_small_for_the_figure_keeps_its_head() -> None:
    left, top, right, bottom = exports.crop_of((1000, 1000), 2.0, Box(0.3, 0.1, 0.7, 0.95))
    assert (right - left, bottom - top) == (1000, 500)
    assert top == 100


@pytest.mark.parametrize(("name", "is_so"), [("print_a4", True), ("shopee", False), ("original", False)])
def test_what_was_smaller_is_said_to_be_enlarged(name: str, is_so: bool) -> None:
    assert exports.is_enlarged(name, landscape().size) is is_so


def test_a_heavy_picture_steps_down_to_the_limit() -> None:
    noise = Image.effect_noise((1024, 1024), 200).convert("RGB")
    made = exports.make(noise, ["tokopedia"])["tokopedia"]
    assert made.size_bytes <= exports.PRESETS["tokopedia_product"].most_bytes


def test_a_limit_that_no_quality_meets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = exports.Preset(1000, 1000, most_bytes=100)
    monkeypatch.setitem(exports._BY_NAME, "tiny", tiny)
    with pytest.raises(BadPicture):
        exports.make(landscape(), ["tiny"])


def test_what_is_clear_lies_on_white() -> None:
    clear = Image.new("RGBA", (800, 800), (0, 0, 0, 0))
    ImageDraw.Draw(clear).rectangle((300, 300, 500, 500), fill=(200, 0, 0, 255))
    image = opened(exports.make(clear, ["shopee"])["shopee"]).convert("RGB")
    assert min(image.getpixel((5, 5))) >= 254  # type: ignore[arg-type, type-var]
    assert exports.make(clear, ["original"])["original"].content_type == "image/png"


def test_nothing_of_the_originals_metadata_is_carried_over() -> None:
    notes = PngInfo()
    notes.add_text("Comment", "taken at home")
    out = io.BytesIO()
    landscape().save(out, "PNG", pnginfo=notes, icc_profile=b"profile of a vendor", exif=b"Exif\0\0secret place")
    original = Image.open(out)
    original.load()
    before = original.info.copy()
    for export in exports.make(original, ["original", "instagram_feed"]).values():
        data = export.data
        assert b"taken at home" not in data
        assert b"profile of a vendor" not in data
        assert b"secret place" not in data
    assert original.info == before
