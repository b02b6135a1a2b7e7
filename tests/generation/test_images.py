"""The guarded decoder: what is refused, what is turned, and what is cut out of a picture's container."""

from __future__ import annotations

import io
import random
import struct
import threading
import zlib
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageCms, PngImagePlugin

from generation import images
from generation.images import BadPicture, Small
from providers.simulator import pictures
from tests.generation.support import picture

KINDS = ("PNG", "JPEG", "WEBP")
SECRETS = (b"OpenAI", b"Canon", b"52.3676", b"c2pa", b"gpt-image", b"Adobe XMP")


def check(data: bytes) -> images.Picture:
    return images.check(io.BytesIO(data))


def refusal(data: bytes) -> str:
    with pytest.raises(BadPicture) as caught:
        check(data)
    return str(caught.value)


# --- Refused -----------------------------------------------------------------------------------------


def test_a_small_bomb_is_refused_by_its_header() -> None:
    assert "damaged" in refusal(pictures.bomb().body) or "pixels" in refusal(pictures.bomb().body)


def test_one_pixel_more_than_allowed_is_refused_before_it_is_decoded(settings: Any) -> None:
    settings.MAX_IMAGE_PIXELS = 64 * 48
    assert check(picture()).width == 64
    assert refusal(picture(size=(64, 49))) == "more pixels than we take"


def test_more_bytes_than_allowed_are_refused(settings: Any) -> None:
    settings.MAX_IMAGE_BYTES = 1024 * 1024
    assert refusal(picture() + b"\0" * 1024 * 1024) == "larger than 1 MB"


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_picture_is_refused(kind: str) -> None:
    noise = Image.effect_noise((96, 96), 80).convert("RGB")
    out = io.BytesIO()
    noise.save(out, kind)
    for part in (0.9, 0.5, 0.1):
        assert refusal(out.getvalue()[: int(len(out.getvalue()) * part)])


@pytest.mark.parametrize("data", [b"", b"<html>", b"GIF89a" + b"\0" * 40, b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"RIFF"])
def test_what_is_no_picture_of_ours_is_refused(data: bytes) -> None:
    assert refusal(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM"])
def test_other_formats_are_refused(kind: str) -> None:
    assert refusal(picture(kind)) == "not a PNG, JPEG or WebP picture"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green")]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    assert refusal(out.getvalue()) == "an animation, not a picture"


def test_of_a_phones_jpeg_with_more_pictures_in_it_the_photograph_is_taken() -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(out, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    kept = check(out.getvalue())
    assert (kept.content_type, kept.width, kept.height) == ("image/jpeg", 64, 48)
    with Image.open(kept.body) as seen:
        assert seen.format == "JPEG"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own, about what it skips
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_broken_in_it_the_decoder_says_so_in_one_way(kind: str) -> None:
    """Bytes changed at random: either still a picture, or BadPicture, never another exception."""
    chance, good = random.Random(4711), with_secrets(kind)
    for _ in range(300):
        broken = bytearray(good)
        for _ in range(chance.randint(1, 8)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        data = bytes(broken[: chance.choice([len(broken), chance.randrange(len(broken))])])
        try:
            kept = check(data)
        except BadPicture:
            continue
        Image.open(kept.body).load()


# --- Turned ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("orientation", "corner"), [(1, "red"), (3, "blue"), (6, "red"), (8, "blue")])
def test_a_picture_is_turned_upright(kind: str, orientation: int, corner: str) -> None:
    """Left half red, right half blue. Turned to the right (6) the left half comes to lie on top."""
    image = Image.new("RGB", (64, 32), "red")
    image.paste("blue", (32, 0, 64, 32))
    exif = Image.Exif()
    exif[images.ORIENTATION_TAG] = orientation
    out = io.BytesIO()
    image.save(out, kind, exif=exif.tobytes(), quality=95)
    kept = check(out.getvalue())
    with Image.open(kept.body) as seen:
        assert seen.size == (kept.width, kept.height) == ((32, 64) if orientation in (6, 8) else (64, 32))
        assert images.ORIENTATION_TAG not in seen.getexif()
        red, _, blue = seen.convert("RGB").getpixel((2, 2))  # type: ignore[misc]
    assert ("red" if red > blue else "blue") == corner


# --- Cut out -----------------------------------------------------------------------------------------


def with_secrets(kind: str) -> bytes:
    """A picture with everything in its container that says where, with what and by whom it was made."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0131] = "Canon", "OpenAI gpt-image"
    image = Image.effect_noise((80, 60), 60).convert("RGB")
    out = io.BytesIO()
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", "OpenAI")
        text.add_itxt("XML:com.adobe.xmp", "Adobe XMP 52.3676", zip=False)
        text.add_text("parameters", "gpt-image", zip=True)
        image.save(out, "PNG", exif=exif.tobytes(), pnginfo=text)
        data = out.getvalue()
        end = data.rindex(b"IEND") - 4
        return data[:end] + png_chunk(b"caBX", b"c2pa manifest by OpenAI") + data[end:] + b"Canon behind the end"
    if kind == "JPEG":
        image.save(
            out, "JPEG", exif=exif.tobytes(), comment=b"made by OpenAI", xmp=b"Adobe XMP 52.3676", progressive=True
        )
        data = out.getvalue()
        c2pa = jpeg_segment(0xEB, b"JP\0\x01c2pa manifest by OpenAI")
        multi = jpeg_segment(0xE2, b"FPXR\0Canon")
        scan = data.rindex(b"\xff\xda")  # between the scans of a progressive picture
        return data[:2] + c2pa + multi + data[2:scan] + jpeg_segment(0xFE, b"OpenAI again") + data[scan:] + data
    image.save(out, "WEBP", exif=exif.tobytes(), xmp=b"Adobe XMP 52.3676")
    data = out.getvalue() + riff_chunk(b"C2PA", b"c2pa manifest by OpenAI") + riff_chunk(b"XYZ ", b"Canon")
    return b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:] + b"Canon behind the end"


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_is_cut_out_and_the_picture_stays_as_it_is(kind: str) -> None:
    data = with_secrets(kind)
    assert any(secret in data for secret in SECRETS)
    kept = check(data)
    assert [secret for secret in SECRETS if secret in kept.data] == []
    with Image.open(io.BytesIO(data)) as before, Image.open(kept.body) as after:
        assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()
        assert not after.getexif()
        assert not {"exif", "xmp", "comment", "Software", "parameters", "XML:com.adobe.xmp"} & set(after.info)


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"tEXt", b"k\0v") * 60_000,
        b"\xff\xd8" + jpeg_segment(0xFE, b"") * 60_000,
        b"\xff\xd8" + b"\xff" * 60_000,
        b"\xff\xd8" + b"junk" * 60_000,
    ],
    ids=["chunks", "comments", "fill bytes", "junk"],
)
def test_a_picture_in_crumbs_is_refused_before_anything_reads_them(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", None)
    assert "too many parts" in refusal(data)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_colours_depend_on_stays(kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    kept = check(picture(kind, icc_profile=profile))
    with Image.open(kept.body) as after:
        assert after.info["icc_profile"] == profile


def test_a_checked_picture_says_what_it_is() -> None:
    for kind, content_type, extension in zip(
        KINDS, ("image/png", "image/jpeg", "image/webp"), ("png", "jpg", "webp"), strict=True
    ):
        kept = check(picture(kind))
        assert (kept.content_type, kept.extension, kept.width, kept.height) == (content_type, extension, 64, 48)
        assert kept.size_bytes == len(kept.data)
        assert check(kept.data).sha256 == kept.sha256, "checking it again changes nothing"


# --- Thumbnails --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"), [((800, 400), (400, 200)), ((300, 900), (133, 400)), ((20, 10), (20, 10))]
)
def test_a_thumbnail_fits_into_its_square(size: tuple[int, int], expected: tuple[int, int]) -> None:
    made = images.thumbnail(io.BytesIO(picture("JPEG", size)), 400)
    assert (made.content_type, made.width, made.height) == ("image/jpeg", *expected)


def test_a_thumbnail_shows_through_where_its_picture_does() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (900, 600), (255, 0, 0, 0)).save(out, "PNG")
    made = images.thumbnail(out, 400)
    assert made.content_type == "image/webp"
    with Image.open(made.body) as small:
        assert small.convert("RGBA").getpixel((200, 100))[3] == 0  # type: ignore[index]


def test_a_thumbnail_is_the_picture_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.radial_gradient("L").resize((1000, 1000)).convert("RGB")
    out = io.BytesIO()
    image.save(out, "PNG")
    with Image.open(images.thumbnail(out, 400).body) as small:
        apart = ImageChops.difference(small, image.resize((400, 400), Image.Resampling.LANCZOS))
    assert max(high for _, high in apart.getextrema()) < 12  # type: ignore[misc]


def test_a_thumbnail_says_nothing_that_its_picture_was_cut_of() -> None:
    out = io.BytesIO()
    picture_with_words = Image.new("RGB", (900, 600))
    picture_with_words.save(out, "JPEG", comment=b"a place and a name")
    assert b"a name" in out.getvalue()
    assert b"a name" not in images.thumbnail(out, 400).data


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16", "CMYK"])
def test_a_thumbnail_is_made_of_every_mode(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (64, 64)).save(out, "JPEG" if mode == "CMYK" else "PNG")
    assert images.thumbnail(out, 32).width == 32


def test_no_thumbnail_of_what_is_no_picture() -> None:
    with pytest.raises(BadPicture):
        images.thumbnail(io.BytesIO(b"nothing"), 32)


def test_a_picture_just_checked_is_not_decoded_again_for_its_thumbnail(monkeypatch: pytest.MonkeyPatch) -> None:
    afresh = images.thumbnail(io.BytesIO(picture("PNG", (900, 600))), 400)
    checked = images.check(io.BytesIO(picture("PNG", (900, 600))), small=Small(400))
    monkeypatch.setattr(images, "_opened", lambda data: pytest.fail("it was decoded again"))
    assert images.thumbnail(checked.body, 400) == afresh


def test_a_picture_just_checked_is_not_decoded_again_for_a_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    afresh = images.thumbnail(io.BytesIO(picture("PNG", (900, 600))), 400, covers=True)
    assert (afresh.width, afresh.height, afresh.content_type) == (400, 400, "image/png")
    checked = images.check(io.BytesIO(picture("PNG", (900, 600))), small=Small(400, covers=True))
    monkeypatch.setattr(images, "_opened", lambda data: pytest.fail("it was decoded again"))
    assert images.thumbnail(checked.body, 400, covers=True) == afresh


def test_a_thumbnail_of_another_kind_is_made_afresh() -> None:
    checked = images.check(io.BytesIO(picture("PNG", (900, 600))), small=Small(400))
    assert images.thumbnail(checked.body, 400, covers=True).height == 400


def test_another_picture_than_the_one_just_checked_is_decoded() -> None:
    images.check(io.BytesIO(picture("PNG", (900, 600))), small=Small(400))
    assert images.thumbnail(io.BytesIO(picture("PNG", (600, 900))), 400).width == 267


@pytest.mark.parametrize("side", [64, 700])
def test_a_big_picture_is_laid_down_on_disk_until_it_is_stored(side: int) -> None:
    """Noise does not pack, so the larger one is beyond what a waiting thread may hold."""
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(1).randbytes(side * side * 3)).save(out, "PNG")
    held, kept = check(out.getvalue()), images.check_to_keep(io.BytesIO(out.getvalue()))
    assert isinstance(kept, images.LaidDown) is (side == 700)
    kept.body.seek(0)
    assert kept.body.read() == held.data
    for fact in ("content_type", "extension", "width", "height", "size_bytes", "sha256"):
        assert getattr(kept, fact) == getattr(held, fact)
    kept.close()


def test_two_pictures_need_one_turn_where_there_is_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that held one and waited for another turn would wait for ever."""
    monkeypatch.setattr(images, "_decoding", threading.BoundedSemaphore(1))
    bodies = [io.BytesIO(picture("PNG", size)) for size in ((90, 60), (60, 90))]
    with images.opened(*bodies) as (wide, tall):
        assert (wide.size, tall.size) == ((90, 60), (60, 90))
    assert all(body.closed for body in bodies)
