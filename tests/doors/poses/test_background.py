"""Another background: chosen with the pose, or behind a finished one; its price, its failure, and one at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from config.models import User
from generation import engine, inputs, storage
from generation.dashboard import shelf
from generation.doors.poses import chain
from generation.models import Asset, AssetKind, ItemStatus, Request
from tests.db import race
from tests.doors.poses.desk import (
    Customer,
    assert_books_are_right,
    change_of,
    faults_of,
    make_unlimited,
    pose_item,
    work,
)
from tests.providers.servers import Listener, listening, saying
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

BLUE = {"backgroundMode": "solid_color", "backgroundColor": "#0000ff"}
BEACH = {"backgroundMode": "ai_generate", "backgroundPrompt": "a quiet beach"}
CUT_OUTS = "edit/remove-background"


def png(size: tuple[int, int] = (1500, 700), colour: str = "#00ff00") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def link(settings: Any) -> Iterator[str]:
    """A link to a green picture on a host that is allowed."""
    body = png()
    with listening(saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as server:
        assert isinstance(server, Listener)
        settings.INPUT_ASSET_ALLOWED_HOSTS = [f"http://127.0.0.1:{server.port}"]
        yield f"http://127.0.0.1:{server.port}/beach.png"


def corner(picture: Image.Image) -> tuple[int, ...]:
    found = picture.convert("RGB").getpixel((5, 5))
    assert isinstance(found, tuple)
    return found


# --- Chosen with the pose ------------------------------------------------------------------------


def test_a_plain_ground_is_composed_behind_the_pose(alices: Customer, simulator: Remote) -> None:
    pose = alices.finished_pose(useBackgroundChanger=True, **BLUE)
    assert (pose["backgroundChanged"], pose["backgroundPrompt"]) == (True, "#0000ff")
    assert corner(alices.picture(pose["outputImageUrl"])) == (0, 0, 255)
    assert corner(alices.picture(pose["thumbnailUrl"])) == (0, 0, 255)
    original = alices.picture(pose["originalImageUrl"])
    assert corner(original) != (0, 0, 255)
    # The middle of the figure is untouched.
    assert alices.picture(pose["outputImageUrl"]).getpixel((512, 512)) == original.convert("RGB").getpixel((512, 512))
    assert f"{pose['id']}_bg.png?" in pose["outputImageUrl"]
    # Nothing to blend with on one colour, so nobody is asked to.
    assert len(simulator.calls("stability", CUT_OUTS)) == 1
    assert not [call for call in simulator.calls("replicate") if "blends naturally" in str(call)]
    assert_books_are_right()


def test_a_generated_ground_has_its_seam_painted(alices: Customer, simulator: Remote) -> None:
    pose = alices.finished_pose(useBackgroundChanger=True, **BEACH)
    assert (pose["backgroundChanged"], pose["backgroundPrompt"]) == (True, "a quiet beach")
    assert f"{pose['id']}_bg_seam.png?" in pose["outputImageUrl"]
    prompts = [call["prompt"] for call in simulator.calls() if call["method"] == "POST"]
    assert any("a quiet beach, empty scene without people" in prompt for prompt in prompts)
    assert any("blends naturally" in prompt for prompt in prompts)
    results = pose_item(pose["id"]).results
    assert set(results) == {"generate", "cut-out", "background", "compose", "seam", "thumbnail", "publish"}
    assert_books_are_right()
    # What is cut out and the empty scene are nobody's pictures; the newest picture is the one to show.
    kinds = dict(Asset.objects.values_list("step", "kind"))
    assert (kinds["cut-out"], kinds["background"]) == (AssetKind.STAGE, AssetKind.STAGE)
    sheet = shelf.request(alices.user.pk, UUID(pose["generationId"]), "http://testserver/")  # type: ignore[union-attr]
    assert sheet
    assert sheet.cards[0].link.split("?")[0] == pose["outputImageUrl"].split("?")[0]


def test_an_uploaded_ground_covers_the_picture(alices: Customer, link: str) -> None:
    pose = alices.finished_pose(useBackgroundChanger=True, backgroundMode="upload", backgroundImageUrl=link)
    (brought,) = Asset.objects.filter(kind=AssetKind.INPUT)
    assert str(brought.request_id) == pose["generationId"]
    composed = pose_item(pose["id"]).results["compose"]["key"]
    assert corner(Image.open(io.BytesIO(storage.read(composed)))) == (0, 255, 0)
    assert pose["backgroundPrompt"] is None
    assert alices.generation(pose["generationId"])["backgroundImageUrl"] == link


def test_a_picture_of_ones_own_may_be_the_ground(alices: Customer) -> None:
    first = alices.finished_pose()
    pose = alices.finished_pose(
        useBackgroundChanger=True, backgroundMode="upload", backgroundImageUrl=first["outputImageUrl"]
    )
    assert pose["backgroundChanged"] is True
    assert not Asset.objects.filter(kind=AssetKind.INPUT).exists()


def test_only_the_backgrounds_part_is_refunded_when_only_it_fails(alices: Customer, simulator: Remote) -> None:
    simulator.faults("stability", "500", times=9, operation=CUT_OUTS)
    simulator.faults("recraft", "500", times=9)
    generation_id = alices.generated(batchSize=2, useBackgroundChanger=True, **BLUE)
    assert alices.balance == 20
    work()
    generation = alices.generation(generation_id)
    assert [pose["status"] for pose in generation["poses"]] == ["completed"] * 2
    assert [pose["backgroundChanged"] for pose in generation["poses"]] == [False, False]
    assert all(pose["outputImageUrl"] == pose["originalImageUrl"] for pose in generation["poses"])
    assert all(alices.picture(pose["thumbnailUrl"]).size == (400, 400) for pose in generation["poses"])
    assert (generation["creditCharged"], generation["creditRefunded"], alices.balance) == (80, 20, 40)
    assert_books_are_right()


def test_a_cut_out_that_is_none_costs_no_background(
    alices: Customer, simulator: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.composing.is_cut_out", lambda picture: False)
    pose = alices.finished_pose(useBackgroundChanger=True, **BLUE)
    assert (pose["backgroundChanged"], alices.balance) == (False, 70)
    assert_books_are_right()


def test_a_failed_seam_leaves_the_composed_picture(alices: Customer, simulator: Remote) -> None:
    for vendor in ("replicate", "stability", "recraft"):
        simulator.faults(vendor, "bad-input", times=9, match="blends naturally")
    pose = alices.finished_pose(useBackgroundChanger=True, **BEACH)
    assert f"{pose['id']}_bg.png?" in pose["outputImageUrl"]
    assert (pose["backgroundChanged"], alices.balance) == (True, 60)
    assert_books_are_right()


def test_a_desk_that_only_segments_cuts_out_by_a_mask(alices: Customer, settings: Any, simulator: Remote) -> None:
    settings.POSE_CUT_OUT_PROVIDER_ORDER = ["replicate"]
    pose = alices.finished_pose(useBackgroundChanger=True, **BLUE)
    assert corner(alices.picture(pose["outputImageUrl"])) == (0, 0, 255)
    assert pose_item(pose["id"]).steps[1]["operation"] == "segment"
    assert_books_are_right()


def test_a_desk_without_a_cutter_offers_no_background(alices: Customer, settings: Any) -> None:
    settings.POSE_CUT_OUT_PROVIDER_ORDER = ["huggingface"]
    answer = alices.generate(useBackgroundChanger=True, **BLUE)
    assert (answer.status_code, answer.json()["code"]) == (503, "OPERATION_UNAVAILABLE")
    assert alices.balance == 100


# --- Behind a finished pose ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", chain.MODES)
def test_a_finished_pose_gets_another_background(alices: Customer, link: str, mode: str) -> None:
    pose = alices.finished_pose(exportFormats=["tiktok"])
    fields = {
        chain.SOLID_COLOR: BLUE,
        chain.AI_GENERATE: BEACH,
        chain.UPLOAD: {"backgroundMode": "upload", "backgroundImageUrl": link},
    }[mode]
    answer = alices.change(pose["id"], **fields)
    assert answer.status_code == 202
    told = answer.json()
    assert told["outputImageUrl"].split("?")[0] == pose["outputImageUrl"].split("?")[0]
    assert (told["poseId"], told["creditCharged"], told["creditBalance"]) == (pose["id"], 10, 60)

    work()

    (changed,) = alices.poses(pose["generationId"])
    job = change_of(pose["id"])
    ending = "bg_" + job.public_id + ("_seam" if mode != chain.SOLID_COLOR else "")
    assert f"/poses/{pose['generationId']}/{pose['id']}_{ending}.png?" in changed["outputImageUrl"]
    assert f"/{pose['id']}_bg_{job.public_id}_thumb.png?" in changed["thumbnailUrl"]
    assert changed["originalImageUrl"].split("?")[0] == pose["originalImageUrl"].split("?")[0]
    assert changed["exportFormats"].keys() == {"tiktok"}
    assert f"/exports/{pose['id']}_bg_{job.public_id}_tiktok.jpg?" in changed["exportFormats"]["tiktok"]
    assert (changed["backgroundChanged"], changed["backgroundPrompt"]) == (
        True,
        fields.get("backgroundPrompt") or fields.get("backgroundColor"),
    )
    # The change is told apart from generations everywhere.
    assert alices.get("generations")["pagination"]["total"] == 1
    assert alices.call("GET", f"generations/{job.request_id}").status_code == 404
    assert_books_are_right()


def test_the_newest_change_is_shown_and_starts_from_the_original(alices: Customer) -> None:
    pose = alices.finished_pose(useBackgroundChanger=True, **BEACH)
    alices.change(pose["id"], **BLUE)
    work()
    (shown,) = alices.poses(pose["generationId"])
    assert corner(alices.picture(shown["outputImageUrl"])) == (0, 0, 255)
    assert change_of(pose["id"]).steps[0]["inputs"]["images"] == [pose_item(pose["id"]).results["generate"]["key"]]
    # Nothing is overwritten: what was shown before still lies where it lay.
    assert corner(alices.picture(pose["outputImageUrl"])) != (0, 0, 255)


def test_a_failed_change_leaves_the_picture_and_gives_the_credits_back_once(
    alices: Customer, simulator: Remote
) -> None:
    pose = alices.finished_pose()
    simulator.faults("stability", "500", times=9, operation=CUT_OUTS)
    assert alices.change(pose["id"], **BLUE).status_code == 202
    assert alices.balance == 60
    work()
    (shown,) = alices.poses(pose["generationId"])
    assert shown["outputImageUrl"].split("?")[0] == pose["outputImageUrl"].split("?")[0]
    assert (shown["backgroundChanged"], alices.balance) == (False, 70)
    assert change_of(pose["id"]).status == ItemStatus.FAILED
    assert_books_are_right()


def test_a_second_change_waits_until_the_first_has_ended(alices: Customer) -> None:
    pose = alices.finished_pose()
    assert alices.change(pose["id"], **BLUE).status_code == 202
    answer = alices.change(pose["id"], **BEACH)
    assert (answer.status_code, answer.json()["code"]) == (409, "CHANGE_IN_PROGRESS")
    assert alices.balance == 60
    work()
    assert alices.change(pose["id"], **BEACH).status_code == 202


def test_a_failed_change_is_not_reopened_beside_an_open_one(alices: Customer, simulator: Remote) -> None:
    pose = alices.finished_pose()
    simulator.faults("stability", "500", times=3, operation=CUT_OUTS)
    alices.change(pose["id"], **BLUE)
    work()
    failed = change_of(pose["id"])
    assert (failed.status, failed.refunded) == (ItemStatus.FAILED, 10)
    alices.change(pose["id"], **BEACH)
    assert engine.reopen(failed.request_id, actor="stella") == 0
    failed.refresh_from_db()
    assert failed.status == ItemStatus.FAILED
    work()
    assert engine.reopen(failed.request_id, actor="stella") == 1
    work()
    (shown,) = alices.poses(pose["generationId"])
    assert corner(alices.picture(shown["outputImageUrl"])) == (0, 0, 255)
    assert (alices.balance, Request.objects.filter(status="RUNNING").exists()) == (60, False)
    assert_books_are_right()


def test_two_changes_at_once_are_one(alices: Customer, settings: Any) -> None:
    pose = alices.finished_pose()
    answers = race(*[lambda: Customer(alices.user).change(pose["id"], **BLUE)] * 4)
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    assert alices.balance == 60


def test_unlimited_users_pay_for_changes_too_and_go_first(alices: Customer, alice: User) -> None:
    make_unlimited(alice, 5)
    pose = alices.finished_pose()
    assert alices.balance == 100
    assert alices.change(pose["id"], **BLUE).json()["creditBalance"] == 90
    assert change_of(pose["id"]).weight == pose_item(pose["id"]).weight == 100


def test_too_few_credits_change_nothing(make_customer: Any) -> None:
    poor = Customer(make_customer("poor", 35))
    pose = poor.finished_pose()
    answer = poor.change(pose["id"], **BLUE)
    assert (answer.status_code, answer.json()["required"], answer.json()["available"]) == (402, 10, 5)
    assert Request.objects.count() == 1


def test_a_repeat_with_its_key_is_one_change(alices: Customer) -> None:
    pose = alices.finished_pose()
    answers = [alices.change(pose["id"], key="change-of-alices", **BLUE) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert alices.balance == 60


def test_an_unfinished_pose_cannot_be_changed(alices: Customer) -> None:
    (pose, _) = alices.poses(alices.generated())
    answer = alices.change(pose["id"], **BLUE)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_STATE")


def test_a_changes_own_id_is_no_pose(alices: Customer) -> None:
    pose = alices.finished_pose()
    alices.change(pose["id"], **BLUE)
    assert alices.change(change_of(pose["id"]).public_id, **BLUE).status_code == 404
    assert alices.change(str(uuid4()), **BLUE).status_code == 404


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({}, {"backgroundMode": "REQUIRED"}),
        ({"backgroundMode": "upload"}, {"backgroundImageUrl": "REQUIRED"}),
        ({"backgroundMode": "solid_color", "backgroundColor": "#12345"}, {"backgroundColor": "NOT_COLOUR"}),
        ({"backgroundMode": "ai_generate", "backgroundColor": "#123456"}, {"backgroundPrompt": "REQUIRED"}),
    ],
)
def test_a_wrong_body_is_refused(alices: Customer, fields: dict[str, Any], faults: dict[str, str]) -> None:
    assert faults_of(alices.change(str(uuid4()), **fields)) == faults


def test_banned_words_are_refused(alices: Customer) -> None:
    answer = alices.change(str(uuid4()), backgroundMode="ai_generate", backgroundPrompt="with batman")
    assert (answer.status_code, answer.json()["code"]) == (400, "INAPPROPRIATE_PROMPT")


# --- The link of an uploaded background ------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("https://elsewhere.example.com/a.png", 400, "INPUT_URL_NOT_ALLOWED"),
        ("http://127.0.0.1:1/a.png", 400, "INPUT_URL_NOT_ALLOWED"),
        ("http://testserver/files/inputs/nobody/a.png", 404, "INPUT_ASSET_NOT_FOUND"),
    ],
)
def test_a_link_that_may_not_be_followed_costs_nothing(
    alices: Customer, media: Any, url: str, status: int, code: str
) -> None:
    answer = alices.generate(useBackgroundChanger=True, backgroundMode="upload", backgroundImageUrl=url)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["errors"][0]["field"] == "backgroundImageUrl"
    assert (alices.balance, Request.objects.count()) == (100, 0)


def test_what_is_no_picture_is_refused(alices: Customer, settings: Any) -> None:
    with listening(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")) as server:
        settings.INPUT_ASSET_ALLOWED_HOSTS = [f"http://127.0.0.1:{server.port}"]
        url = f"http://127.0.0.1:{server.port}/a.png"
        answer = alices.generate(useBackgroundChanger=True, backgroundMode="upload", backgroundImageUrl=url)
    assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")


def test_what_was_fetched_for_nothing_is_removed_again(alices: Customer, link: str, media: Any) -> None:
    answer = alices.generate(batchSize=9, useBackgroundChanger=True, backgroundMode="upload", backgroundImageUrl=link)
    assert answer.status_code == 402
    assert [path for path in media.rglob("*") if path.is_file()] == []
    assert not Asset.objects.exists()


def test_a_repeat_does_not_follow_its_link_again(alices: Customer, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project = str(alices.project().pk)
    asked = {"useBackgroundChanger": True, "backgroundMode": "upload", "backgroundImageUrl": link}
    first = alices.generate(key="once-and-only", projectId=project, **asked)
    monkeypatch.setattr(inputs.fetch, "fetch", lambda *args, **options: pytest.fail("fetched again"))
    assert alices.generate(key="once-and-only", projectId=project, **asked).json() == first.json()


def test_anothers_picture_is_as_missing_as_none(alices: Customer, bobs: Customer) -> None:
    pose = bobs.finished_pose()
    answer = alices.generate(
        useBackgroundChanger=True, backgroundMode="upload", backgroundImageUrl=pose["outputImageUrl"]
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "INPUT_ASSET_NOT_FOUND")


# --- The composed picture --------------------------------------------------------------------------


def oval_on_green() -> Image.Image:
    """A red oval where the simulator takes the figure to be, its edge half red and half green."""
    large = Image.new("RGB", (4096, 4096), "#00ff00")
    ImageDraw.Draw(large).ellipse([part * 4096 for part in (0.15, 0.15, 0.85, 0.85)], fill="#ff0000")
    return large.reduce(4)


def test_the_edge_of_the_composed_picture_carries_no_old_background(alices: Customer) -> None:
    """As the real steps cut it out and compose it: on blue no green is left."""
    pose, original, out = alices.finished_pose(), oval_on_green(), io.BytesIO()
    original.save(out, "PNG")
    storage.replace(pose_item(pose["id"]).results["generate"]["key"], out)
    alices.change(pose["id"], **BLUE)
    work()
    (shown,) = alices.poses(pose["generationId"])
    composed = alices.picture(shown["outputImageUrl"]).convert("RGB")
    cut = Image.open(io.BytesIO(storage.read(change_of(pose["id"]).results["cut-out"]["key"])))
    assert (cut.mode, cut.getchannel("A").getextrema()) == ("RGBA", (0, 255))
    figure = cut.getchannel("A").filter(ImageFilter.MinFilter(3))
    edge = ImageChops.difference(cut.getchannel("A"), figure)  # the outermost pixels of the cut-out
    assert greenest(original, edge) > 100
    assert greenest(composed, edge) < 40
    assert greenest(composed, Image.new("L", composed.size, 255)) < 40
    assert (composed.getpixel((512, 512)), corner(composed)) == ((255, 0, 0), (0, 0, 255))


def greenest(picture: Image.Image, where: Image.Image) -> int:
    green = picture.convert("RGB").getchannel("G")
    highest = Image.composite(green, Image.new("L", green.size), where).getextrema()[1]
    assert isinstance(highest, int)
    return highest
