"""What lay decoded a moment ago is not decoded again: only a help, given out once."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import pytest
from PIL import Image

from generation import images
from providers import lately, shapes
from tests.providers.make import make_png


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    lately._kept.clear()
    yield
    lately._kept.clear()


def digest(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


def test_a_picture_that_will_be_looked_at_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_png(300, 120, (200, 30, 30))
    seen = shapes.reduced(file, 100)
    kept = images.check_to_keep(io.BytesIO(file), is_looked_at=True)
    assert isinstance(kept, images.Picture)
    with monkeypatch.context() as away:
        away.setattr(Image, "open", lambda *args, **options: pytest.fail("it was decoded again"))
        assert shapes.reduced(kept.data, 100) == seen
    assert shapes.reduced(kept.data, 100) == seen, "given out once, then decoded"


def test_what_shows_through_lies_on_the_same_ground() -> None:
    file = make_png(40, 40, (255, 0, 0, 0), "RGBA")
    seen = shapes.reduced(file, 20)
    images.check_to_keep(io.BytesIO(file), is_looked_at=True)
    assert shapes.reduced(file, 20) == seen


def test_a_picture_that_had_to_be_turned_is_not_kept() -> None:
    exif = Image.Exif()
    exif[images.ORIENTATION_TAG] = 6
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(out, "JPEG", exif=exif)
    turned = images.check_to_keep(out, is_looked_at=True)
    assert isinstance(turned, images.Picture)
    assert lately.take(turned.data) is None


def test_the_oldest_go_when_there_are_too_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "MOST_PIXELS", 250)
    files = [bytes([number]) for number in range(3)]
    for file in files:
        lately.keep(digest(file), Image.new("RGB", (10, 10)))
    assert [lately.take(file) is not None for file in files] == [False, True, True]
