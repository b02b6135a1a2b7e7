"""Every operation at every provider that the catalogue offers it at, from the submit to the file, on the simulator."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from generation.doors.makeit3d.catalogue import OPERATIONS, OURSELVES, Kind, Operation
from generation.models import Asset
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


@pytest.mark.parametrize(("operation", "alias"), OFFERS, ids=NAMES)
def test_a_vendor_that_always_fails_costs_the_customer_nothing(
    alices: Customer, simulator: Remote, operation: Operation, alias: str
) -> None:
    if alias == OURSELVES:
        pytest.skip("no vendor")
