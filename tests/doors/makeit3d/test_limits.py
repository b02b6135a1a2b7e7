"""Pictures that a provider does not take as they are: enlarged; made smaller where the result is another thing."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from generation import storage
from generation.models import Asset, Item
from tests.doors.makeit3d.desk import Customer, inputs_of, item_of, picture, refusal_of
from tests.doors.visuals.desk import work
from tests.simulator import Remote

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = {
    "image-to-model": "input_image_asset_urls",
    "sketch-to-image": "input_sketch_asset_url",
}


def asked(customer: Customer, operation: str, provider: str, link: str) -> Any:
    field = FIELDS.get(operation, "input_image_asset_url")
    return customer.post(operation, provider=provider, **{field: [link] if field.endswith("urls") else link})


def sent(request_id: str, nth: int = 0) -> Image.Image:
    """The picture that goes to the provider."""
    return Image.open(io.BytesIO(storage.read(item_of(request_id).steps[0]["inputs"]["images"][nth])))


@pytest.mark.parametrize(
    ("operation", "provider", "size", "goes_as"),
    [
        ("image-to-model", "stability", (320, 480), (640, 960)),  # too small
        ("image-to-model", "stability", (3000, 2000), (2508, 1672)),  # too many pixels
        ("image-to-model", "tripo", (16, 24), (20, 30)),
        ("image-to-image", "stability", (50, 100), (64, 128)),
        ("image-to-image", "recraft", (5000, 500), (4096, 409)),
        ("sketch-to-image", "stability", (4000, 3000), (3547, 2660)),
        ("remove-background", "stability", (32, 300), (64, 600)),  # the picture itself, but no smaller
        ("upscale", "recraft", (1, 1), (32, 32)),
    ],
)
def test_a_picture_goes_out_in_the_nearest_size_that_is_taken(
    alices: Customer, operation: str, provider: str, size: tuple[int, int], goes_as: tuple[int, int]
) -> None:
    given = alices.asset(size=size)
    answer = asked(alices, operation, provider, alices.link_of(given))
    assert answer.status_code == 200, answer.json()
    request_id = answer.json()["task_id"]
    assert sent(request_id).size == goes_as
    (row,) = alices.rows("models" if operation.endswith("model") else "images")
    place = (
        f"{FIELDS[operation]}[0]" if operation == "image-to-model" else FIELDS.get(operation, "input_image_asset_url")
    )
    assert row["metadata"]["sent_as"] == {
        place: {"width": goes_as[0], "height": goes_as[1], "content_type": "image/png"}
    }
    # What it was made from is still what its owner brought.
    assert row["source_input_asset_id"] == str(given.pk)
    assert "sent_as" not in inputs_of(request_id)
    assert str(Asset.objects.exclude(pk=given.pk).get().request_id) == request_id


def test_a_picture_that_is_taken_goes_out_as_it_is(alices: Customer) -> None:
    given = alices.asset()
    request_id = asked(alices, "image-to-model", "stability", alices.link_of(given)).json()["task_id"]
    assert item_of(request_id).steps[0]["inputs"]["images"] == [given.key]
    assert "sent_as" not in alices.rows("models")[0]["metadata"]


def test_of_several_views_those_are_adapted_that_must_be(alices: Customer) -> None:
    links = [alices.link_to(), alices.link_to(size=(10, 10))]
    answer = alices.post("image-to-model", provider="tripo", input_image_asset_urls=links)
    request_id = answer.json()["task_id"]
    assert [sent(request_id, nth).size for nth in (0, 1)] == [(640, 640), (20, 20)]
    assert alices.rows("models")[0]["metadata"]["sent_as"].keys() == {"input_image_asset_urls[1]"}


def test_a_mask_goes_along_when_its_picture_grows(alices: Customer, simulator: Remote) -> None:
    links = {name: alices.upload(picture(size=(64, 32))).json()["asset_url"] for name in ("picture", "mask")}
    request_id = alices.asked(
        "image-inpaint", input_image_asset_url=links["picture"], input_mask_asset_url=links["mask"]
    )
    work()
    assert alices.status(request_id)["status"] == "complete"
    (call,) = simulator.calls("recraft", "inpaint")
    assert [(file["width"], file["height"]) for file in call["files"]] == [(512, 256)] * 2


def test_transparency_survives(alices: Customer) -> None:
    out = io.BytesIO()
    Image.new("LA", (320, 320), (90, 0)).save(out, "PNG")
    link = alices.upload(out.getvalue()).json()["asset_url"]
    request_id = asked(alices, "image-to-model", "stability", link).json()["task_id"]
    assert sent(request_id).getpixel((300, 300))[3] == 0  # type: ignore[index]


def heavy(kind: str = "PNG") -> bytes:
    """A picture of 640 x 640 pixels and more than a megabyte."""
    out = io.BytesIO()
    Image.frombytes("RGB", (640, 640), os.urandom(640 * 640 * 3)).save(out, kind, compress_level=1)
    return out.getvalue()


@pytest.fixture
def light(settings: Any) -> None:
    settings.RECRAFT = {**settings.RECRAFT, "INPUT_BYTES": 900_000}


@pytest.mark.usefixtures("light")
def test_a_picture_that_is_too_heavy_goes_out_in_a_lighter_format(alices: Customer) -> None:
    link = alices.upload(heavy()).json()["asset_url"]
    request_id = asked(alices, "image-to-image", "recraft", link).json()["task_id"]
    assert (sent(request_id).format, sent(request_id).size) == ("WEBP", (640, 640))
    (told,) = alices.rows("images")[0]["metadata"]["sent_as"].values()
    assert told == {"width": 640, "height": 640, "content_type": "image/webp"}


@pytest.mark.usefixtures("light")
def test_a_picture_that_comes_back_itself_is_refused_for_its_bytes_before_it_costs_anything(alices: Customer) -> None:
    link = alices.upload(heavy()).json()["asset_url"]
    answer = asked(alices, "remove-background", "recraft", link)
    assert refusal_of(answer) == (422, "INPUT_INVALID")
    assert "899,999 bytes" in answer.json()["error"]
    assert (Item.objects.count(), alices.balance) == (0, 100)


@pytest.mark.parametrize(
    ("operation", "size", "rule"),
    [
        ("image-to-image", (300, 100), "longer side must be at most 2.5 times"),  # no size of this shape is taken
        ("image-to-model", (100, 1500), "must have 640 or more pixels"),
        ("remove-background", (2048, 2050), "must have 4,096 to 4,194,304 pixels"),
    ],
)
def test_what_no_size_would_mend_is_refused_with_its_rule(
    alices: Customer, operation: str, size: tuple[int, int], rule: str
) -> None:
    answer = asked(alices, operation, "stability", alices.link_to(size=size))
    assert refusal_of(answer) == (422, "INPUT_INVALID")
    assert rule in answer.json()["error"]
    assert ("Make it smaller first" in answer.json()["error"]) is (operation == "remove-background")
    assert (Item.objects.count(), alices.balance) == (0, 100)


def test_what_was_adapted_for_nothing_is_removed(make_customer: Any, media: Path) -> None:
    poor = Customer(make_customer("poor", 0))
    link = poor.upload(picture(size=(320, 320))).json()["asset_url"]
    assert refusal_of(asked(poor, "image-to-model", "stability", link)) == (402, "INSUFFICIENT_CREDITS")
    assert len([path for path in media.rglob("*") if path.is_file()]) == 1
    assert not Item.objects.exists()
