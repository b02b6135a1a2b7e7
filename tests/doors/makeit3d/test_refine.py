"""Refining: of a draft that the vendor still has, of one's own model, of a model from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from generation.models import Attempt, Item, ItemStatus
from tests.doors.makeit3d.desk import OBJ, Customer, inputs_of, item_of, refusal_of
from tests.doors.visuals.desk import assert_books_are_right, work
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]


def posted(simulator: Remote) -> list[str]:
    """What was asked of the vendor, and what it was asked with."""
    return [call["path"].rpartition("/v3")[2] for call in simulator.calls("tripo") if call["method"] == "POST"]


@pytest.fixture
def draft(alices: Customer) -> str:
    """A finished model of Alice's: its request."""
    request_id = alices.asked("text-to-model", provider="tripo", task_id="chair")
    work()
    return request_id


@pytest.mark.parametrize("name_of", [lambda request_id: request_id, lambda request_id: item_of(request_id).public_id])
def test_a_draft_is_named_by_its_request_or_its_record(
    alices: Customer, simulator: Remote, draft: str, name_of: Any
) -> None:
    link = alices.link_to("model")
    refined = alices.asked("refine-model", input_model_asset_url=link, draft_model_task_id=name_of(draft))
    remote_id = Attempt.objects.get(item__request=draft, step=0).remote_id
    assert inputs_of(refined)["draft_remote_id"] == remote_id
    work()
    assert alices.status(refined)["status"] == "complete"
    assert posted(simulator) == ["/generation/text-to-model", "/models/texture"]
    assert_books_are_right()


def test_ones_own_model_is_its_own_draft(alices: Customer, simulator: Remote, draft: str) -> None:
    link = alices.status(draft)["asset_url"]
    refined = alices.asked("refine-model", input_model_asset_url=link, prompt="dark oak")
    work()
    assert alices.status(refined)["status"] == "complete"
    assert posted(simulator) == ["/generation/text-to-model", "/models/texture"]
    again = alices.asked("refine-model", input_model_asset_url=alices.status(refined)["asset_url"])
    work()
    assert alices.status(again)["status"] == "complete"
    assert posted(simulator)[2:] == ["/models/texture"]


@pytest.mark.parametrize("data", [None, OBJ], ids=["glb", "obj"])
def test_a_model_from_elsewhere_is_sent_up_first(alices: Customer, simulator: Remote, data: bytes | None) -> None:
    link = alices.upload(data, "chair.obj").json()["asset_url"] if data else alices.link_to("model")
    refined = alices.asked("refine-model", input_model_asset_url=link)
    work()
    assert alices.status(refined)["status"] == "complete"
    assert posted(simulator) == ["/files", "/models/import", "/models/texture"]
    assert alices.balance == 94


def test_a_draft_that_the_vendor_no_longer_has_is_sent_up_again(
    alices: Customer, simulator: Remote, draft: str
) -> None:
    link = alices.status(draft)["asset_url"]
    simulator.faults("tripo", "vanished")
    refined = alices.asked("refine-model", input_model_asset_url=link)
    work()
    assert alices.status(refined)["status"] == "complete"
    assert posted(simulator)[1:] == ["/files", "/models/import", "/models/texture"]


@pytest.mark.parametrize("what", ["still being made", "failed", "a picture", "a task id"])
def test_what_is_no_finished_model_is_no_draft(alices: Customer, what: str) -> None:
    name = {
        "still being made": lambda: alices.asked("text-to-model", provider="tripo"),
        "failed": lambda: alices.asked("text-to-model", provider="tripo"),
        "a picture": lambda: alices.asked("text-to-image", provider="openai"),
        "a task id": lambda: "chair",
    }[what]()
    if what == "failed":
        Item.objects.update(status=ItemStatus.FAILED, kept=8)
    elif what != "still being made":
        work()
    balance = alices.balance
    answer = alices.post("refine-model", draft_model_task_id=name)
    assert refusal_of(answer) == (404, "DRAFT_MODEL_NOT_FOUND")
    assert answer.json()["errors"][0]["field"] == "draft_model_task_id"
    assert alices.balance == balance


@pytest.mark.parametrize("is_named", [False, True])
def test_another_providers_model_is_sent_up(alices: Customer, simulator: Remote, is_named: bool) -> None:
    theirs = alices.asked("image-to-model", provider="stability")
    work()
    named = {"draft_model_task_id": theirs} if is_named else {}
    refined = alices.asked("refine-model", input_model_asset_url=alices.status(theirs)["asset_url"], **named)
    assert "draft_remote_id" not in inputs_of(refined)
    work()
    assert alices.status(refined)["status"] == "complete"
    assert posted(simulator) == ["/files", "/models/import", "/models/texture"]
