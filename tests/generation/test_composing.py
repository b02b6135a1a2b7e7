"""A figure before a new background: no trace of the old one, hair kept, the seam where it should be."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from generation import composing
from generation.posemap import Box

OLD, FIGURE, NEW = (0, 230, 0), (200, 40, 60), (30, 30, 220)


def cut_out(side: int = 512) -> Image.Image:
    """A red figure with hair, photographed before green and cut out well: its edge pixels are tinted green."""
    large = Image.new("L", (side * 2, side * 2))
    pen = ImageDraw.Draw(large)
    pen.ellipse([side // 2, side // 3, side * 3 // 2, side * 2 - 20], fill=255)
    for number in range(30):
        pen.line([side + number * 4, side // 3 + 10, side + number * 18, 20], fill=255, width=2)
    alpha = large.resize((side, side), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(1.2))
    photograph = Image.composite(Image.new("RGB", (side, side), FIGURE), Image.new("RGB", (side, side), OLD), alpha)
    photograph.putalpha(alpha)
    return photograph


def greenest(picture: Image.Image) -> int:
    return int(picture.getchannel("G").getextrema()[1])  # type: ignore[arg-type]


def test_no_edge_pixel_carries_the_old_background() -> None:
    figure = cut_out()
    composed = composing.compose(figure, Image.new("RGB", (64, 64), NEW))
    assert greenest(composed) <= max(FIGURE[1], NEW[1]) + 4
    # Blended as it came, it would.
    naive = Image.new("RGB", figure.size, NEW)
    naive.paste(figure, mask=figure.getchannel("A"))
    assert greenest(naive) > 70


def test_the_figure_stands_as_it_stood_and_its_hair_is_kept() -> None:
    figure = cut_out()
    composed = composing.compose(figure, Image.new("RGB", figure.size, NEW))
    assert composed.getpixel((256, 300)) == FIGURE
    assert composed.getpixel((5, 500)) == NEW
    exact = Image.composite(
        Image.new("RGB", figure.size, FIGURE), Image.new("RGB", figure.size, NEW), figure.getchannel("A")
    )
    difference = ImageChops.difference(composed, exact).convert("L")
    assert difference.getextrema()[1] <= 6  # type: ignore[operator]


def test_the_background_covers_without_being_squeezed() -> None:
    background = Image.new("RGB", (400, 100), NEW)
    ImageDraw.Draw(background).rectangle((0, 0, 99, 99), fill=(255, 255, 0))
    composed = composing.compose(cut_out(), background)
    assert composed.size == (512, 512)
    assert (255, 255, 0) not in [colour for _, colour in composed.getcolors(512 * 512) or []]


def test_a_cutters_dirt_is_left_out() -> None:
    dirty = cut_out()
    alpha = dirty.getchannel("A").point(lambda value: max(value, composing.FAINTEST - 2))
    dirty.putalpha(alpha)
    assert composing.compose(dirty, Image.new("RGB", (64, 64), NEW)).getpixel((5, 500)) == NEW


def test_a_cut_out_with_nothing_solid_is_blended_as_it_is() -> None:
    faint = Image.new("RGBA", (64, 64), (200, 40, 60, 128))
    assert composing.compose(faint, Image.new("RGB", (64, 64), NEW)).size == (64, 64)


def test_the_seam_lies_along_the_edge_only() -> None:
    seam = composing.seam(cut_out())
    assert seam.mode == "L"
    assert set(seam.getcolors() and [value for _, value in seam.getcolors() or []]) == {0, 255}
    assert seam.getpixel((256, 300)) == 0  # inside
    assert seam.getpixel((5, 500)) == 0  # outside
    assert seam.getpixel((129, 296)) == 255  # the left edge of the ellipse
    share = seam.histogram()[255] / (512 * 512)
    assert 0.01 < share < 0.2


def test_the_seam_says_where_the_figure_stands() -> None:
    mask = Image.new("L", (200, 100))
    mask.paste(255, (50, 20, 100, 100))
    assert composing.frame(mask) == Box(0.25, 0.2, 0.5, 1.0)
    assert composing.frame(Image.new("L", (200, 100))) is None


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (cut_out(), True),
        (Image.new("RGB", (64, 64), NEW), False),
        (Image.new("RGBA", (64, 64), (*NEW, 255)), False),
        (Image.new("RGBA", (64, 64), (*NEW, 0)), False),
    ],
)
def test_a_cut_out_is_known_by_its_alpha(picture: Image.Image, expected: bool) -> None:
    assert composing.is_cut_out(picture) is expected


def test_a_plain_background_has_its_colour() -> None:
    assert composing.plain("#1e1edc", (8, 4)).getpixel((7, 3)) == NEW
    with pytest.raises(ValueError, match="unknown color"):
        composing.plain("no colour", (8, 4))


def test_a_figure_is_cut_out_by_a_mask_of_another_size() -> None:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 4, 12, 12))
    cut = composing.cut_by(Image.new("RGB", (64, 64), "red"), mask)
    assert (cut.mode, cut.size) == ("RGBA", (64, 64))
    assert (cut.getpixel((32, 32)), cut.getpixel((2, 2))) == ((255, 0, 0, 255), (255, 0, 0, 0))
    assert composing.is_cut_out(cut)
