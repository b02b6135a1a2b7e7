"""What a plan may ask for beyond a picture and its thumbnail: own steps, other files, final keys."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from config.models import User
from generation import engine, images, meshes, prune, storage
from generation.engine import keeping, leases
from generation.engine import publishing as publishing_room
from generation.models import Asset, AssetKind, Attempt, Item
from generation.plan import Candidate, RetryPolicy, StepPlan
from generation.steps import STEPS, Piece, Step
from providers.simulator import models
from tests.generation.support import (
    HUGGINGFACE,
    THUMBNAIL,
    balance,
    fresh,
    let_leases_end,
    make_plan,
    outcomes,
    picture,
    take,
    work_until_quiet,
)
from tests.generation.test_meshes import glb
from tests.generation.vendor import making, stand_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

GLB = (models.glb(3), "model/gltf-binary", "result")
PREVIEW = (picture("WEBP", (640, 480)), "image/webp", "preview")


def submit_steps(owner: User, *steps: StepPlan, operation: str = "text-to-image", **item: Any) -> Item:
    """One item whose first step is made by the stand-in; the other steps follow."""
    plan = make_plan(owner, providers=[HUGGINGFACE])
    first = replace(plan.items[0].steps[0], operation=operation)
    return engine.submit(replace(plan, items=(replace(plan.items[0], steps=(first, *steps), **item),))).items.get()


class Killed(BaseException):
    """As good as kill -9 to everything that catches exceptions."""


def die_in(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> None:
    """Work the next claim up to a function, where the worker dies; its lease ends."""

    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(place, name, die)
        with pytest.raises(Killed):
            engine.work(take())
    let_leases_end()
    leases.expire_leases()


def test_a_plan_knows_the_id_of_its_request_before_it_is_stored(alice: User) -> None:
    plan = make_plan(alice)
    assert engine.submit(plan).pk == plan.id


# --- Models ------------------------------------------------------------------------------------------


def test_a_model_is_kept_with_its_preview_of_which_its_thumbnail_is_made(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, making(GLB, PREVIEW))
    item = submit_steps(alice, THUMBNAIL, operation="text-to-model")
    work_until_quiet()
    done = fresh(item)
    assert (done.status, balance(alice)) == ("SUCCEEDED", 98)
    made = done.results["generate"]
    assert (made["content_type"], made["width"]) == ("model/gltf-binary", None)
    assets = {(asset.step, asset.kind, asset.name): asset for asset in item.assets.all()}
    assert set(assets) == {
        ("generate", "model", ""),
        ("generate", "preview", "preview"),
        ("thumbnail", "thumbnail", ""),
    }
    model, preview = assets["generate", "model", ""], assets["generate", "preview", "preview"]
    assert (made["key"], made["preview"]["key"]) == (model.key, preview.key)
    assert model.key.startswith(f"models/{item.request_id}/")
    assert all(storage.matches(asset.key, asset.size_bytes, asset.sha256) for asset in assets.values())
    assert meshes.read(io.BytesIO(storage.read(model.key)), model.size_bytes).document["asset"] == {"version": "2.0"}
    with Image.open(io.BytesIO(storage.read(assets["thumbnail", "thumbnail", ""].key))) as small:
        assert small.size == (400, 300)


@pytest.mark.parametrize("drawable", [True, False])
def test_a_model_without_a_preview_is_drawn_where_it_can_be(
    alice: User, monkeypatch: pytest.MonkeyPatch, drawable: bool
) -> None:
    empty = glb({"asset": {"version": "2.0"}})
    stand_in(monkeypatch, making(GLB if drawable else (empty, "model/gltf-binary", "result")))
    item = submit_steps(alice, publishing("models/task-1/x_model.glb"), THUMBNAIL, operation="image-to-model")
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED", "a model that cannot be drawn fails nothing"
    small = item.assets.filter(kind="thumbnail").first()
    assert bool(small) is drawable
    if small:
        assert (small.width, small.content_type) == (400, "image/webp")


def test_a_preview_that_is_no_picture_is_left_out(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, making(GLB, (b"<html>", "text/html", "preview")))
    item = submit_steps(alice, operation="image-to-model")
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"
    assert "preview" not in fresh(item).results["generate"]
    assert [asset.kind for asset in item.assets.all()] == ["model"]


@pytest.mark.parametrize(
    ("operation", "files"),
    [
        ("text-to-model", [picture()]),
        ("text-to-model", [GLB[:1] + ("model/gltf-binary", "preview")]),
        ("refine-model", [(GLB[0][:-4], *GLB[1:])]),
        ("text-to-image", [GLB]),
        ("text-to-image", []),
    ],
    ids=["a picture for a model", "a preview alone", "half a model", "a model for a picture", "nothing"],
)
def test_an_answer_with_something_else_in_it_fails_and_is_refunded(
    alice: User, monkeypatch: pytest.MonkeyPatch, operation: str, files: list[Any]
) -> None:
    vendor = stand_in(monkeypatch, making(*files))
    item = submit_steps(alice, operation=operation)
    work_until_quiet()
    now = fresh(item)
    assert (now.status, now.error_code, balance(alice)) == ("FAILED", "INVALID_IMAGE", 100)
    assert (len(vendor.calls), Asset.objects.count()) == (2, 0), "it is asked once more"
    assert all(attempt.cost_usd for attempt in Attempt.objects.all())


def test_a_model_that_is_taken_over_brings_its_preview(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = stand_in(monkeypatch, making(GLB, PREVIEW))
    item = submit_steps(alice, THUMBNAIL, operation="text-to-model")
    die_in(monkeypatch, keeping, "settle")
    work_until_quiet()
    assert (fresh(item).status, len(vendor.calls)) == ("SUCCEEDED", 1)
    assert outcomes(item) == ["adopted", "made", "made"]
    assert sorted(asset.kind for asset in item.assets.all()) == ["model", "preview", "thumbnail"]
    assert storage.read(fresh(item).results["generate"]["preview"]["key"]) == PREVIEW[0]


# --- What a call is given ----------------------------------------------------------------------------


def test_a_call_is_given_the_files_that_its_inputs_name(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {"inputs/a.png": picture(), "inputs/m.png": picture(colour="white"), "inputs/a.glb": GLB[0]}
    for key, data in stored.items():
        storage.save(key, io.BytesIO(data))
    vendor = stand_in(monkeypatch, making(picture(colour="red")))
    named = {"images": ["inputs/a.png", None, "step:generate"], "mask": "inputs/m.png", "model": "inputs/a.glb"}
    second = StepPlan("seam", "image-to-image", {**named, "strength": 0.5}, (Candidate(HUGGINGFACE),))
    item = submit_steps(alice, second)
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"
    assert vendor.calls[1].inputs == {
        "images": [picture(), None, picture(colour="red")],
        "mask": picture(colour="white"),
        "model": GLB[0],
        "strength": 0.5,
    }


def test_a_file_that_cannot_be_read_is_waited_for_and_no_call_is_lost(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = stand_in(monkeypatch, making(picture()))
    second = StepPlan("seam", "x", {"images": ["inputs/gone.png"]}, (Candidate(HUGGINGFACE),), retry=RetryPolicy(2, 0))
    item = submit_steps(alice, second)
    work_until_quiet()
    now = fresh(item)
    assert (now.status, now.error_code, now.losses, balance(alice)) == ("FAILED", "STORAGE_ERROR", 0, 100)
    assert (len(vendor.calls), outcomes(item)) == (1, ["made", "failed", "failed"])


# --- Publishing --------------------------------------------------------------------------------------

FINAL = "users/alice/tides/images/Tides/1. Hook/generated_images/image_1.png"


def publishing(to: Any = FINAL, **inputs: Any) -> StepPlan:
    return StepPlan("publish", "publish", {"from": "generate", "to": to, **inputs}, retry=RetryPolicy(base_s=0))


def make_old(media: Path) -> None:
    for path in media.rglob("*"):
        os.utime(path, (0, 0))


def files(media: Path) -> list[str]:
    return sorted(str(path.relative_to(media)) for path in media.rglob("*") if path.is_file())


def test_a_result_is_published_under_its_final_key(alice: User, monkeypatch: pytest.MonkeyPatch, media: Path) -> None:
    stand_in(monkeypatch, making(picture()))
    item = submit_steps(alice, publishing(), THUMBNAIL)
    work_until_quiet()
    done = fresh(item)
    assert (done.status, done.results["generate"]["key"]) == ("SUCCEEDED", FINAL)
    assert (done.results["generate"]["width"], done.results["generate"]["starts"]) == (64, 1)
    published = item.assets.get(kind="image")
    assert (published.key, published.step) == (FINAL, "generate")
    assert storage.matches(FINAL, published.size_bytes, published.sha256)
    assert files(media) == sorted([FINAL, item.assets.get(kind="thumbnail").key]), "the work object is gone"
    assert outcomes(item) == ["made", "made", "made"]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_contract_that_wants_a_png_gets_one(
    alice: User, monkeypatch: pytest.MonkeyPatch, media: Path, kind: str
) -> None:
    stand_in(monkeypatch, making((picture(kind), "", "result")))
    item = submit_steps(alice, publishing(**{"as": "png"}))
    work_until_quiet()
    published = item.assets.get()
    assert (published.key, published.content_type) == (FINAL, "image/png")
    assert fresh(item).results["generate"]["content_type"] == "image/png"
    assert storage.matches(FINAL, published.size_bytes, published.sha256)
    with Image.open(io.BytesIO(storage.read(FINAL))) as image:
        assert (image.format, image.size) == ("PNG", (64, 48))
    assert files(media) == [FINAL]


@pytest.mark.parametrize(
    ("kind", "wanted", "extension"), [("JPEG", "", "jpg"), ("WEBP", "", "webp"), ("WEBP", "png", "png")]
)
def test_a_final_key_may_leave_the_extension_to_what_was_made(
    alice: User, monkeypatch: pytest.MonkeyPatch, kind: str, wanted: str, extension: str
) -> None:
    stand_in(monkeypatch, making((picture(kind), "", "result")))
    item = submit_steps(alice, publishing("images/task-1/x_0.{extension}", **{"as": wanted}))
    work_until_quiet()
    assert item.assets.get().key == fresh(item).results["generate"]["key"] == f"images/task-1/x_0.{extension}"


def test_each_step_may_have_a_format_of_its_own(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, making((picture("JPEG"), "", "result")))
    moves = {"generate": "poses/x/1.png", "thumbnail": "poses/x/1_thumb.{extension}", "seam": "poses/x/none.png"}
    publish = StepPlan("publish", "publish", {"moves": moves, "as": {"generate": "png", "seam": "png"}})
    item = submit_steps(alice, THUMBNAIL, publish)
    work_until_quiet()
    assert fresh(item).results["generate"]["content_type"] == "image/png"
    kept = fresh(item).results["thumbnail"]
    assert (kept["key"], kept["content_type"]) == ("poses/x/1_thumb.jpg", "image/jpeg")
    assert sorted(item.assets.values_list("key", flat=True)) == ["poses/x/1.png", "poses/x/1_thumb.jpg"]


def test_a_model_and_its_preview_keep_together(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, making(GLB, PREVIEW))
    item = submit_steps(alice, publishing("models/task-1/x_model.glb"), THUMBNAIL, operation="text-to-model")
    work_until_quiet()
    made = fresh(item).results["generate"]
    assert (made["key"], fresh(item).status) == ("models/task-1/x_model.glb", "SUCCEEDED")
    assert {asset.key for asset in item.assets.exclude(kind="thumbnail")} == {made["key"], made["preview"]["key"]}


def test_anothers_file_is_not_overwritten(alice: User, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, making(picture(colour="red")), making(picture(colour="blue")))
    first = submit_steps(alice, publishing())
    work_until_quiet()
    second = submit_steps(bob, publishing())
    work_until_quiet()
    assert (fresh(first).status, fresh(second).status) == ("SUCCEEDED", "FAILED")
    assert (fresh(second).error_code, balance(bob)) == ("STORAGE_ERROR", 100)
    assert storage.read(FINAL) == picture(colour="red")


def test_an_older_file_that_may_be_overwritten_is_put_aside_with_its_row(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, making(picture(colour="red")), making(picture(colour="blue")))
    first = submit_steps(alice, publishing(overwrite=True))
    work_until_quiet()
    second = submit_steps(alice, publishing(overwrite=True))
    engine.work(take())
    die_in(monkeypatch, publishing_room, "_settle")
    assert storage.read(FINAL) == picture(colour="blue"), "copied, and nobody has said so yet"
    work_until_quiet()
    assert (fresh(second).status, second.assets.get().key) == ("SUCCEEDED", FINAL)
    assert storage.read(FINAL) == picture(colour="blue")
    older = first.assets.get()
    assert older.key != FINAL
    assert storage.read(older.key) == picture(colour="red")


@pytest.mark.parametrize("place", [(storage, "copy"), (publishing_room, "_settle"), (storage, "delete")])
def test_whatever_publishing_is_killed_at_it_happens_once(
    alice: User, monkeypatch: pytest.MonkeyPatch, media: Path, place: tuple[Any, str]
) -> None:
    vendor = stand_in(monkeypatch, making(picture()))
    item = submit_steps(alice, publishing())
    engine.work(take())
    die_in(monkeypatch, *place)
    work_until_quiet()
    assert (fresh(item).status, len(vendor.calls), balance(alice)) == ("SUCCEEDED", 1, 98)
    assert [asset.key for asset in item.assets.all()] == [FINAL]
    make_old(media)
    assert prune.prune()["orphans"] == (place[1] == "delete"), "a work object that was left behind"
    assert files(media) == [FINAL]


def test_what_was_copied_for_an_item_that_was_cancelled_is_pruned(
    alice: User, monkeypatch: pytest.MonkeyPatch, media: Path, settings: Any
) -> None:
    stand_in(monkeypatch, making(picture()))
    item, copy = submit_steps(alice, publishing()), storage.copy

    def copy_and_be_cancelled(source: str, target: str) -> None:
        copy(source, target)
        engine.cancel(item.request_id)

    engine.work(take())
    with monkeypatch.context() as patched:
        patched.setattr(storage, "copy", copy_and_be_cancelled)
        engine.work(take())
    engine.sweep()
    let_leases_end()
    engine.sweep()
    assert (fresh(item).status, outcomes(item)) == ("CANCELLED", ["made", "lost"])
    assert FINAL in files(media)
    settings.KEEP_ORPHANS_DAYS = 0
    assert prune.prune()["orphans"] == 1
    assert files(media) == [item.assets.get().key], "its picture was made and is its owner's"


def test_a_store_that_is_away_is_waited_for_and_at_last_refunded(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise storage.StorageError("the store cannot be used: TimeoutError")

    vendor = stand_in(monkeypatch, making(picture()))
    item = submit_steps(alice, publishing())
    monkeypatch.setattr(storage, "copy", refuse)
    work_until_quiet()
    now = fresh(item)
    assert (now.status, now.error_code, now.error_retryable, balance(alice)) == ("FAILED", "STORAGE_ERROR", True, 100)
    assert (len(vendor.calls), outcomes(item)) == (1, ["made", "failed", "failed", "failed"])
    engine.reopen(item.request_id, actor="stella")
    monkeypatch.undo()
    work_until_quiet()
    assert (fresh(item).status, item.assets.get().key) == ("SUCCEEDED", FINAL), "goes on where it stood"


def test_several_files_of_a_step_are_kept_and_published_by_name(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_two(item: Item) -> list[Piece]:
        with storage.open_file(item.results["generate"]["key"]) as body:
            small = images.thumbnail(body, 32)  # type: ignore[arg-type]
        return [Piece(AssetKind.EXPORT, small, name) for name in ("feed", "story")]

    monkeypatch.setitem(STEPS, "exports", Step(AssetKind.EXPORT, make_two))
    stand_in(monkeypatch, making(picture()))
    exports = StepPlan("exports", "exports", required=False)
    final = publishing({"feed": "poses/g/exports/p_feed.webp", "story": "poses/g/exports/p_story.webp"})
    item = submit_steps(alice, exports, replace(final, inputs={**final.inputs, "from": "exports"}))
    work_until_quiet()
    left = fresh(item).results["exports"]["files"]
    assert {name: one["key"] for name, one in left.items()} == final.inputs["to"]
    assert left["feed"]["width"] == 32
    found = {asset.name: asset for asset in item.assets.filter(step="exports")}
    assert {name: asset.key for name, asset in found.items()} == final.inputs["to"]
    assert all(storage.matches(asset.key, asset.size_bytes, asset.sha256) for asset in found.values())
