"""What a checker is shown of a picture is made while that lies decoded: only a help."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from generation import images
from providers import looks
from tests.providers.make import make_png


@pytest.fixture(autouse=True)
def nothing_ready(settings: Any) -> Iterator[None]:
    settings.OPENROUTER = {**settings.OPENROUTER, "PICTURE_PIXELS": 100}
    looks._ready.clear()
    yield
    looks._ready.clear()


def kept(file: bytes) -> bytes:
    picture = images.check_to_keep(io.BytesIO(file), is_looked_at=True)
    assert isinstance(picture, images.Picture)
    return picture.data


@pytest.mark.parametrize("colour", [(200, 30, 30), (255, 0, 0, 0)], ids=["opaque", "shows-through"])
def test_a_picture_that_will_be_looked_at_is_decoded_once(
    colour: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_png(300, 120, colour, "RGBA" if len(colour) == 4 else "RGB")
    seen = looks.of(file)
    data = kept(file)
    with monkeypatch.context() as away:
        away.setattr(Image, "open", lambda *args, **options: pytest.fail("it was decoded again"))
        assert looks.of(data) == seen
        assert looks.of(data) == seen, "it may be asked again"


def test_a_small_picture_needs_no_look() -> None:
    file = make_png(100, 40, (200, 30, 30))
    assert looks.of(kept(file)) == (file, "image/png")
    assert not looks._ready


def test_what_is_made_of_a_picture_leaves_it_as_it_is() -> None:
    file = make_png(300, 120, (200, 30, 30))
    with Image.open(io.BytesIO(file)) as decoded:
        looks.prepare(file, hashlib.sha256(file).hexdigest(), decoded)
        assert decoded.size == (300, 120)


def test_a_picture_that_had_to_be_turned_is_looked_at_upright() -> None:
    exif = Image.Exif()
    exif[images.ORIENTATION_TAG] = 6
    out = io.BytesIO()
    Image.new("RGB", (300, 120), "teal").save(out, "JPEG", exif=exif)
    seen, _ = looks.of(kept(out.getvalue()))
    assert Image.open(io.BytesIO(seen)).size == (40, 100)


def test_the_oldest_go_when_they_are_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [make_png(300, 120, (shade, 0, 0)) for shade in (10, 20, 30)]
    monkeypatch.setattr(looks, "MOST_BYTES", 2 * len(looks.of(files[0])[0]) + 100)
    digests = [hashlib.sha256(kept(file)).hexdigest() for file in files]
    assert [digest in looks._ready for digest in digests] == [False, True, True]
