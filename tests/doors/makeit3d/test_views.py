"""The source system's tables as views: its operators' statements run unchanged, and nobody writes to them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from config.models import User
from credits import ledger
from generation.models import Item, ItemStatus
from tests.doors.makeit3d.desk import Customer, item_of
from tests.doors.visuals.desk import rows

pytestmark = pytest.mark.django_db

# What the source system and its operators asked its tables, in PostgreSQL's own spelling.
IMAGE = "SELECT * FROM images WHERE id = %s"
OF_TASK = "SELECT * FROM images WHERE task_id = %s ORDER BY created_at DESC"
PENDING = "SELECT id, status FROM models WHERE task_id = %s AND status IN ('pending', 'processing')"
TOGETHER = """
SELECT i.task_id, i.asset_url AS image, m.asset_url AS model FROM images i
JOIN models m ON m.task_id = i.task_id AND m.source_image_id = i.id
WHERE i.user_id = %s
"""
STATES = "SELECT status, COUNT(*) FROM images GROUP BY status"
CREDITS = "SELECT * FROM user_credits WHERE user_id = %s"
COST = "SELECT * FROM operation_costs WHERE operation_key = %s AND is_active = true"
HISTORY = "SELECT * FROM credit_transactions WHERE user_id = %s ORDER BY created_at DESC LIMIT 50 OFFSET 0"
SPENT = """
SELECT operation_type, COUNT(*) AS uses, -SUM(credits_amount) AS credits, SUM(operation_cost_usd) AS usd
FROM credit_transactions WHERE transaction_type = 'usage' GROUP BY operation_type
"""


def test_a_picture_is_a_row_of_images(alices: Customer) -> None:
    source = alices.asset()
    link = alices.link_of(source)
    request_id = alices.asked(
        "image-to-image", provider="recraft", task_id="chair", style="line_art", input_image_asset_url=link
    )
    item = item_of(request_id)
    key = f"images/chair/{request_id}_0.png"
    Item.objects.update(status=ItemStatus.SUCCEEDED, results={"generate": {"key": key}}, finished_at=F("created_at"))
    (row,) = rows(IMAGE, item.public_id)
    metadata = json.loads(row.pop("metadata"))
    assert row == {
        "id": UUID(item.public_id),
        "task_id": "chair",
        "user_id": alices.user.pk,  # type: ignore[union-attr]
        "image_type": "ai_generated",
        "source_image_id": None,
        "source_input_asset_id": source.pk,
        "prompt": "A wooden chair, studio light",
        "style": "line_art",
        "asset_url": key,
        "status": "complete",
        "celery_task_id": request_id,
        "ai_service_task_id": request_id,
        "is_public": False,
        "provider": "provider_b",
        "operation_key": "image_to_image",
        "error": None,
        "created_at": item.created_at,
        "updated_at": item.created_at,
    }
    assert metadata == {"style": "line_art", "strength": 0.2, "n": 1, "model": "v3", "response_format": "url"}
    assert rows(OF_TASK, "chair")[0]["id"] == row["id"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status": ItemStatus.QUEUED}, "pending"),
        ({"status": ItemStatus.HELD}, "pending"),
        ({"status": ItemStatus.HELD, "first_started_at": F("created_at")}, "processing"),
        ({"status": ItemStatus.RUNNING, "first_started_at": F("created_at")}, "processing"),
        ({"status": ItemStatus.WAITING, "first_started_at": F("created_at")}, "processing"),
        ({"status": ItemStatus.SUCCEEDED, "results": {"generate": {"key": "models/t/x_model.glb"}}}, "complete"),
        ({"status": ItemStatus.FAILED, "kept": 8}, "failed"),
        ({"status": ItemStatus.CANCELLED, "kept": 8}, "failed"),
    ],
)
def test_the_views_and_the_api_speak_the_same_words(alices: Customer, fields: dict[str, Any], status: str) -> None:
    alices.asked("text-to-model", provider="tripo", task_id="t1")
    Item.objects.update(**fields)
    (row,) = rows("SELECT * FROM models")
    (shown,) = alices.rows("models")
    assert row["status"] == shown["status"] == status
    assert row["operation_key"] == shown["operation_key"] == "text_to_model"
    assert (row["asset_url"] is not None) is (status == "complete")
    assert bool(rows(PENDING, "t1")) is (status in ("pending", "processing"))
    assert rows("SELECT 1 FROM images") == []


def test_pictures_and_models_of_a_task_are_joined(alices: Customer) -> None:
    source = item_of(alices.asked("text-to-image", provider="openai", task_id="t1"))
    asset = alices.asset()
    asset.item = source
    asset.save()
    alices.asked("image-to-model", provider="tripo", task_id="t1", input_image_asset_urls=[alices.link_of(asset)])
    assert rows(TOGETHER, alices.user.pk) == [{"task_id": "t1", "image": None, "model": None}]  # type: ignore[union-attr]
    assert rows(STATES) == [{"status": "pending", "count": 1}]


def test_the_credit_tables_add_up(alice: User, alices: Customer) -> None:
    alices.asked("text-to-image", provider="stability", task_id="t1", n=9)
    alices.asked("text-to-model", provider="tripo", task_id="t1")
    ledger.grant(alice.pk, 5, reference="gift", description="A gift")

    (account,) = rows(CREDITS, alice.pk)
    assert account["credits_balance"] == 100 - 2 - 8 + 5
    assert (account["subscription_tier"], account["total_credits_purchased"]) == ("free", 0)
    assert account["total_credits_earned"] == 105
    history = rows(HISTORY, alice.pk)
    assert sum(row["credits_amount"] for row in history) == account["credits_balance"]
    assert [row["transaction_type"] for row in history] == ["grant", "usage", "usage", "grant"]
    usage = next(row for row in history if row["operation_type"] == "text_to_model")
    assert (usage["task_id"], usage["credits_amount"], usage["operation_cost_usd"]) == ("t1", -8, Decimal("0.200000"))
    assert usage["request_id"] == next(row["celery_task_id"] for row in alices.rows("models"))
    assert {row["operation_type"]: row["credits"] for row in rows(SPENT)} == {
        "text_to_image_core": 2,
        "text_to_model": 8,
    }


@pytest.mark.parametrize(
    ("key", "credits", "usd", "provider"),
    [
        ("text_to_image_core", 2, "0.030000", "provider_a"),
        ("text_to_image_ultra", 3, "0.080000", "provider_a"),
        ("text_to_image_v3", 2, "0.040000", "provider_b"),
        ("text_to_image_v2", 1, "0.022000", "provider_b"),
        ("text_to_image_standard", 2, "0.040000", "provider_d"),
        ("text_to_image_hd", 3, "0.080000", "provider_d"),
        ("text_to_image_pro", 2, "0.040000", ""),
        ("image_to_image", 2, "0.040000", ""),
        ("sketch_to_image", 2, "0.030000", "provider_a"),
        ("remove_background", 1, "0.020000", ""),
        ("search_recolor", 2, "0.050000", "provider_a"),
        ("image_inpaint", 2, "0.040000", ""),
        ("image_to_3d", 3, "0.040000", "provider_a"),
        ("text_to_model", 8, "0.200000", "provider_c"),
        ("image_to_model_single", 10, "0.250000", "provider_c"),
        ("image_to_model_multiview", 12, "0.350000", "provider_c"),
        ("refine_model", 6, "0.150000", "provider_c"),
        ("upscale", 2, "0.020000", ""),
        ("downscale", 0, "0.000000", ""),
    ],
)
def test_each_price_key_is_one_row_with_the_contracts_price(key: str, credits: int, usd: str, provider: str) -> None:
    (row,) = rows(COST, key)
    assert (row["credits_cost"], str(row["api_cost_usd"]), row["provider"]) == (credits, usd, provider)


@pytest.mark.parametrize("table", ["images", "models", "user_credits", "credit_transactions", "operation_costs"])
@pytest.mark.parametrize("verb", ["INSERT INTO {} DEFAULT VALUES", "UPDATE {} SET user_id = NULL", "DELETE FROM {}"])
def test_a_write_to_a_view_is_refused(alices: Customer, table: str, verb: str) -> None:
    alices.asked("text-to-image", provider="openai")
    sql = verb.format(table).replace("user_id", "operation_key" if table == "operation_costs" else "user_id")
    with pytest.raises(DatabaseError, match="cannot (insert into|update|delete from) view"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(sql)


def test_other_doors_items_are_in_neither_table(alices: Customer) -> None:
    alices.asked("text-to-image", provider="openai")
    Item.objects.update(door="visuals")
    assert rows("SELECT 1 FROM images") == rows("SELECT 1 FROM models") == []
