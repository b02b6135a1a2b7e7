"""Every operation at every provider that the catalogue offers it at, from the submit to the file, on the simulator."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from generation.doors.makeit3d import present
from generation.doors.makeit3d.catalogue import OPERATIONS, OURSELVES, Kind, Operation, Prompt
from generation.models import Asset
from providers import registry
from tests.doors.makeit3d.desk import Customer, item_of
from tests.doors.visuals.desk import assert_books_are_right, work
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

OFFERS = [(operation, alias) for operation in OPERATIONS for alias in operation.offers]
NAMES = [f"{operation.name}-{alias}" for operation, alias in OFFERS]


@pytest.mark.parametrize(("operation", "alias"), OFFERS, ids=NAMES)
def test_it_is_made_stored_under_its_own_name_and_shown(alices: Customer, operation: Operation, alias: str) -> None:
    fields: dict[str, Any] = {} if alias == OURSELVES else {"provider": alias}
    request_id = alices.asked(operation.name, task_id="workspace-1", **fields)

    work()

    status = alices.status(request_id)
    assert (status["status"], status["progress"], status["error"]) == ("complete", 100, None)
    item = item_of(request_id)
    assert (status["credits_charged"], alices.balance) == (item.price, 100 - item.price)
    assert status["asset_urls"] == [status["asset_url"]]

    table = "images" if operation.kind is Kind.IMAGE else "models"
    asset = Asset.objects.get(item=item, key__startswith=f"{table}/workspace-1/{request_id}_")
    name = asset.key.rpartition(f"{request_id}_")[2]
    body = alices.fetched(status["asset_url"])
    if operation.kind is Kind.MODEL:
        assert name == f"{operation.file}.glb"
        assert body.startswith(b"glTF")
    else:
        with Image.open(io.BytesIO(body)) as image:
            image.load()
        stem, _, extension = name.partition(".")
        assert stem == "0"
        assert {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[extension] == image.format

    (row,) = alices.rows(table)
    assert (row["id"], row["provider"], row["operation_key"]) == (item.public_id, alias, item.price_key)
    assert (row["status"], row["celery_task_id"], row["task_id"]) == ("complete", request_id, "workspace-1")
    assert row["asset_url"] == status["asset_url"]
    assert row["metadata"]["ignored"] == []
    other = "models" if table == "images" else "images"
    assert alices.rows(other) == []
    assert_books_are_right()


@pytest.mark.parametrize(
    ("operation", "alias"),
    [(operation, alias) for operation, alias in OFFERS if alias != OURSELVES],
    ids=[name for name in NAMES if OURSELVES not in name],
)
@pytest.mark.parametrize("fault", ["503", "filtered"])
def test_what_a_vendor_does_not_make_costs_nothing_and_says_why_in_our_words(
    alices: Customer, simulator: Remote, operation: Operation, alias: str, fault: str
) -> None:
    simulator.faults(registry.adapter(alias).name, fault, times=99)
    request_id = alices.asked(operation.name, provider=alias, task_id="workspace-1")

    work()

    status = alices.status(request_id)
    assert (status["status"], status["asset_url"], status["asset_urls"]) == ("failed", None, [])
    assert status["error"] in (present.ANY_FAILURE, *present.FAILURES.values())
    if fault == "filtered" and operation.prompt is Prompt.REQUIRED:
        assert status["error"] == present.FAILURES["CONTENT_REJECTED"]
    assert status["credits_refunded"] == status["credits_charged"] == item_of(request_id).price
    assert alices.balance == 100
    lines = alices.call("GET", "/api/credits/history?limit=2").json()
    assert [(line["transaction_type"], line["task_id"], line["request_id"]) for line in lines] == [
        ("refund", "workspace-1", request_id),
        ("usage", "workspace-1", request_id),
    ]
    assert not Asset.objects.filter(item__request=request_id).exists()
    assert_books_are_right()


@pytest.mark.parametrize(
    ("operation", "fields", "ignored"),
    [
        ("text-to-model", {"model_version": "v2.0-20240919", "face_limit": 900}, ["model_version"]),
        ("text-to-model", {"provider": "tripo", "style": "person:person2cartoon"}, ["style"]),
        ("image-to-model", {"provider": "tripo", "prompt": "A chair", "pbr": True}, ["prompt"]),
        (
            "image-to-model",
            {"provider": "stability", "prompt": "A chair", "texture": True, "seed": 7},
            ["texture", "prompt"],
        ),
        ("refine-model", {"auto_size": True, "texture_quality": "detailed"}, ["auto_size"]),
        ("text-to-image", {"provider": "openai", "style": "vivid", "quality": "hd"}, ["style"]),
    ],
)
def test_what_a_vendor_has_retired_or_never_knew_is_taken_and_named(
    alices: Customer, operation: str, fields: dict[str, Any], ignored: list[str]
) -> None:
    alices.asked(operation, **fields)
    work()
    (row,) = alices.rows("images" if operation.endswith("image") else "models")
    assert (row["status"], sorted(row["metadata"]["ignored"])) == ("complete", sorted(ignored))
