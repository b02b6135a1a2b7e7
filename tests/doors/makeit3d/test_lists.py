"""/api/images and /api/models: one's own rows, newest first, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from generation.models import Item, ItemStatus
from tests.doors.makeit3d.desk import Customer, faults_of, item_of

pytestmark = pytest.mark.django_db


def apart() -> None:
    """Let the items have come a minute after each other."""
    for place, item in enumerate(Item.objects.order_by("pk")):
        Item.objects.filter(pk=item.pk).update(created_at=item.created_at + timedelta(minutes=place))


def test_rows_come_newest_first_and_pictures_apart_from_models(alices: Customer) -> None:
    for prompt in ("one", "two"):
        alices.asked("text-to-image", provider="openai", prompt=prompt, task_id="t1")
        alices.asked("text-to-model", provider="tripo", prompt=prompt, task_id="t1")
    apart()
    for table in ("images", "models"):
        page = alices.page(table)
        assert (page["count"], [row["prompt"] for row in page["results"]]) == (2, ["two", "one"])


def test_a_task_tells_its_whole_story(alices: Customer, bobs: Customer) -> None:
    picture = alices.asked("text-to-image", provider="openai", task_id="chair", n=2)
    alices.asked("text-to-image", provider="openai", task_id="table")
    cut = alices.asked("remove-background", provider="stability", task_id="chair")
    bobs.asked("text-to-image", provider="openai", task_id="chair")
    apart()
    rows = alices.rows("images", task_id="chair")
    assert [row["celery_task_id"] for row in rows] == [cut, picture, picture]
    assert [row["prompt"] for row in rows][:1] == ["Remove background"]
    assert alices.page("images", task_id="stool") == {"count": 0, "results": []}


def test_pages(alices: Customer) -> None:
    alices.asked("text-to-image", provider="openai", n=10)
    alices.asked("text-to-image", provider="openai", n=3)
    apart()
    everything = alices.rows("images")
    assert len(everything) == 13
    page = alices.page("images", limit=4, offset=8)
    assert (page["count"], page["results"]) == (13, everything[8:12])
    assert alices.page("images", limit=4, offset=13) == {"count": 13, "results": []}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"limit": 0}, {"limit"}),
        ({"limit": 201}, {"limit"}),
        ({"limit": "x"}, {"limit"}),
        ({"offset": -1}, {"offset"}),
        ({"status": "done"}, {"status"}),
        ({"status": "done", "limit": 0, "offset": -1}, {"status", "limit", "offset"}),
    ],
)
def test_a_faulty_query_names_every_fault(alices: Customer, query: dict[str, Any], fields: set[str]) -> None:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    assert faults_of(alices.call("GET", f"/api/images?{text}")).keys() == fields


@pytest.mark.parametrize("limit", [1, 200])
def test_a_page_has_1_to_200_rows(alices: Customer, limit: int) -> None:
    alices.asked("text-to-image", provider="openai", n=2)
    assert len(alices.rows("images", limit=limit)) == min(limit, 2)


@pytest.mark.parametrize("odd", ["%F0%9F%A6%8A", "x" * 201, "'; --"])
def test_a_task_that_could_not_be_has_no_rows(alices: Customer, odd: str) -> None:
    assert alices.page("images", task_id=odd) == {"count": 0, "results": []}


def test_rows_of_one_status(alices: Customer) -> None:
    ids = {
        word: alices.asked("text-to-image", provider="openai", prompt=word)
        for word in ("pending", "processing", "complete", "failed")
    }
    Item.objects.filter(prompt="processing").update(status=ItemStatus.WAITING, first_started_at=F("created_at"))
    made = {"generate": {"key": "images/t/x.png"}}
    Item.objects.filter(prompt="complete").update(status=ItemStatus.SUCCEEDED, results=made)
    Item.objects.filter(prompt="failed").update(status=ItemStatus.FAILED, kept=2)
    for word, request_id in ids.items():
        page = alices.page("images", status=word)
        assert page["count"] == 1
        assert [(row["celery_task_id"], row["status"]) for row in page["results"]] == [(request_id, word)]


def test_a_result_names_the_picture_it_was_made_from(alices: Customer) -> None:
    source = item_of(alices.asked("text-to-image", provider="openai"))
    asset = alices.asset()
    asset.item = source
    asset.save()
    alices.asked("image-to-model", provider="tripo", input_image_asset_urls=[alices.link_of(asset)])
    alices.asked("remove-background", provider="stability", input_image_asset_url=alices.link_of(asset))
    (model,), (cut, _) = alices.rows("models"), alices.rows("images")
    assert model["source_concept_image_id"] == cut["source_image_id"] == source.public_id
    assert model["source_input_asset_id"] == cut["source_input_asset_id"] == str(asset.pk)
