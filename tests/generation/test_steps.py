"""What a plan may ask for beyond a picture and its thumbnail: own steps, other files, final keys."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from config.models import User
from generation import engine, meshes, storage
from generation.engine import keeping, leases
from generation.models import Asset, Attempt, Item
from generation.plan import StepPlan
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
from tests.generation.vendor import making, stand_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

GLB = (models.glb(3), "model/gltf-binary", "result")
PREVIEW = (picture("WEBP", (640, 480)), "image/webp", "preview")


def submit_steps(owner: User, *steps: StepPlan, operation: str = "text-to-image", **item: Any) -> Item:
    """One item whose first step is made by the stand-in; the other steps follow."""
    plan = make_plan(owner, providers=[HUGGINGFACE])
    first = replace(plan.items[0].steps[0], operation=operation)
    return engine.submit(replace(plan, items=(replace(plan.items[0], steps=(first, *steps), **item),))).items.get()


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
    class Killed(BaseException):
        pass

    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    vendor = stand_in(monkeypatch, making(GLB, PREVIEW))
    item = submit_steps(alice, THUMBNAIL, operation="text-to-model")
    with monkeypatch.context() as patched:
        patched.setattr(keeping, "settle", die)
        with pytest.raises(Killed):
            engine.work(take())
    let_leases_end()
    leases.expire_leases()
    work_until_quiet()
    assert (fresh(item).status, len(vendor.calls)) == ("SUCCEEDED", 1)
    assert outcomes(item) == ["adopted", "made", "made"]
    assert sorted(asset.kind for asset in item.assets.all()) == ["model", "preview", "thumbnail"]
    assert storage.read(fresh(item).results["generate"]["preview"]["key"]) == PREVIEW[0]
