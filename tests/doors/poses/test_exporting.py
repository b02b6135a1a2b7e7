"""Exports of finished poses: as archives, and one made anew."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image, ImageChops, ImageStat

from generation import composing, storage
from generation.doors.poses import exporting
from generation.images import BadPicture
from generation.models import Asset, Request
from tests.doors.poses.desk import Customer, assert_books_are_right, faults_of, pose_item, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

BLUE = {"backgroundMode": "solid_color", "backgroundColor": "#0000ff"}


def archived(customer: Customer, generation_id: str, query: str = "") -> dict[str, Image.Image]:
    """The pictures of an archive by their names."""
    answer = customer.call("GET", f"generations/{generation_id}/export-zip{query}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="poses-{generation_id}.zip"'
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as pack:
        assert pack.testzip() is None
        return {name: Image.open(io.BytesIO(pack.read(name))) for name in pack.namelist()}


def test_an_archive_holds_every_export_of_every_pose(alices: Customer) -> None:
    generation_id = alices.generated(exportFormats=["ig-story", "original"])
    work()
    first, second = (pose["id"] for pose in alices.poses(generation_id))
    found = archived(alices, generation_id)
    assert found.keys() == {
        f"{name}/{pose}.{extension}"
        for pose in (first, second)
        for name, extension in (("ig-story", "jpg"), ("original", "png"))
    }
    assert found[f"ig-story/{first}.jpg"].size == (1080, 1920)
    assert found[f"original/{first}.png"].size == (1024, 1024)


def test_without_exports_the_usual_ones_are_made_on_the_way(alices: Customer) -> None:
    pose = alices.finished_pose()
    before = Asset.objects.count()
    found = archived(alices, pose["generationId"])
    assert {name.split("/")[0] for name in found} == set(exporting.USUAL)
    assert {picture.format for picture in found.values()} == {"JPEG"}
    assert Asset.objects.count() == before


def test_wanted_formats_are_made_where_they_lack_and_unknown_ones_dropped(alices: Customer) -> None:
    pose = alices.finished_pose(exportFormats=["tiktok"])
    found = archived(alices, pose["generationId"], "?formats=tiktok,myspace,%20twitter_post,tiktok")
    assert found.keys() == {f"tiktok/{pose['id']}.jpg", f"twitter_post/{pose['id']}.jpg"}
    assert found[f"twitter_post/{pose['id']}.jpg"].size == (1200, 675)


def test_none_but_unknown_formats_are_refused(alices: Customer) -> None:
    pose = alices.finished_pose()
    answer = alices.call("GET", f"generations/{pose['generationId']}/export-zip?formats=myspace")
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    assert "shopee_product" in answer.json()["message"]


@pytest.mark.parametrize("wanted", ["application/zip", "application/json", "application/zip, */*;q=0.1"])
def test_who_accepts_archives_gets_one(alices: Customer, wanted: str) -> None:
    pose = alices.finished_pose()
    path = f"generations/{pose['generationId']}/export-zip"
    answer = alices.call("GET", f"{path}?formats=tiktok", None, Accept=wanted)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    refusal = alices.call("GET", f"{path}?formats=myspace", None, Accept=wanted)
    assert (refusal.status_code, refusal.headers["Content-Type"]) == (400, "application/problem+json")
    assert "shopee_product" in refusal.json()["message"]


def test_without_a_finished_pose_there_is_no_archive(alices: Customer) -> None:
    answer = alices.call("GET", f"generations/{alices.generated()}/export-zip")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_STATE")


def test_an_archive_shows_the_newest_background(alices: Customer) -> None:
    pose = alices.finished_pose(exportFormats=["tiktok"])
    alices.change(pose["id"], **BLUE)
    work()
    found = archived(alices, pose["generationId"], "?formats=tiktok,lazada")
    for picture in found.values():
        red, green, blue = picture.convert("RGB").getpixel((3, 3))  # type: ignore[misc]
        assert (red < 20, green < 20, blue > 230) == (True, True, True)


def test_a_figure_of_words_is_kept_where_it_was_cut_out(alices: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the worker makes and what is made on the way are cropped alike."""
    low = Image.new("L", (1024, 1024))
    low.paste(255, (600, 700, 900, 1000))
    monkeypatch.setattr(composing, "seam", lambda cut_out: low)
    pose = alices.finished_pose(useBackgroundChanger=True, exportFormats=["facebook_post"], **BLUE)
    shown = alices.picture(pose["outputImageUrl"]).convert("RGB")
    kept = shown.crop((0, 486, 1024, 1024)).resize((1200, 630))
    archive = archived(alices, pose["generationId"], "?formats=facebook_post,fb-post")
    assert len(archive) == 2
    for picture in archive.values():
        assert ImageStat.Stat(ImageChops.difference(picture, kept)).mean < [4, 4, 4]


def test_a_pose_whose_picture_is_gone_is_left_out(alices: Customer) -> None:
    generation_id = alices.generated()
    work()
    lost, left = alices.poses(generation_id)
    storage.delete(pose_item(lost["id"]).results["generate"]["key"])
    assert archived(alices, generation_id, "?formats=tiktok").keys() == {f"tiktok/{left['id']}.jpg"}


# --- One export anew -----------------------------------------------------------------------------


def regenerate(customer: Customer, pose_id: str, **body: Any) -> Any:
    return customer.post(f"poses/{pose_id}/regenerate-export", body)


def test_an_export_is_made_anew_in_place_of_the_old(alices: Customer) -> None:
    pose = alices.finished_pose(exportFormats=["tiktok"])
    answer = regenerate(alices, pose["id"], format="tiktok")
    told = answer.json()
    assert (answer.status_code, told["success"], told["format"]) == (200, True, "tiktok")
    assert alices.picture(told["exportUrl"]).size == (1080, 1920)
    (shown,) = alices.poses(pose["generationId"])
    assert shown["exportFormats"]["tiktok"].split("?")[0] == told["exportUrl"].split("?")[0]
    assert told["exportUrl"].split("?")[0] != pose["exportFormats"]["tiktok"].split("?")[0]
    assert alices.http.get(pose["exportFormats"]["tiktok"].removeprefix("http://testserver")).status_code == 404
    assert Asset.objects.filter(step="exports").count() == 1
    assert (alices.balance, Request.objects.count()) == (70, 1)
    assert_books_are_right()


def test_an_export_that_was_not_asked_for_is_added(alices: Customer) -> None:
    pose = alices.finished_pose()
    regenerate(alices, pose["id"], format="print_4x6")
    (shown,) = alices.poses(pose["generationId"])
    assert alices.picture(shown["exportFormats"]["print_4x6"]).size == (1800, 1200)


def test_after_a_change_the_new_picture_is_exported(alices: Customer) -> None:
    pose = alices.finished_pose()
    alices.change(pose["id"], **BLUE)
    work()
    told = regenerate(alices, pose["id"], format="original").json()
    assert alices.picture(told["exportUrl"]).convert("RGB").getpixel((3, 3)) == (0, 0, 255)
    # And the next background takes it along.
    alices.change(pose["id"], backgroundMode="solid_color", backgroundColor="#ff0000")
    work()
    (shown,) = alices.poses(pose["generationId"])
    assert alices.picture(shown["exportFormats"]["original"]).convert("RGB").getpixel((3, 3)) == (255, 0, 0)


def test_exports_that_failed_are_made_with_the_next_background(
    alices: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise BadPicture("too large")

    with monkeypatch.context() as once:
        once.setattr("generation.exports.make", refuse)
        pose = alices.finished_pose(exportFormats=["tiktok"])
    assert pose["exportFormats"] == {}
    alices.change(pose["id"], **BLUE)
    work()
    (shown,) = alices.poses(pose["generationId"])
    assert alices.picture(shown["exportFormats"]["tiktok"]).size == (1080, 1920)
    assert_books_are_right()


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"format": "REQUIRED"}),
        ({"format": "myspace"}, {"format": "UNKNOWN"}),
        ({"format": 1}, {"format": "INVALID"}),
    ],
)
def test_an_unknown_format_is_refused(alices: Customer, body: dict[str, Any], faults: dict[str, str]) -> None:
    answer = regenerate(alices, str(uuid4()), **body)
    assert faults_of(answer) == faults


def test_an_unfinished_pose_has_no_exports(alices: Customer) -> None:
    (pose, _) = alices.poses(alices.generated())
    answer = regenerate(alices, pose["id"], format="tiktok")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_STATE")


def test_a_store_that_is_away_loses_nothing(alices: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    pose = alices.finished_pose(exportFormats=["tiktok"])

    def away(key: str, body: Any) -> None:
        raise storage.StorageError("away")

    monkeypatch.setattr(storage, "save", away)
    answer = regenerate(alices, pose["id"], format="tiktok")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    (shown,) = alices.poses(pose["generationId"])
    assert alices.picture(shown["exportFormats"]["tiktok"]).size == (1080, 1920)
