"""The story-images door's price: one credit a picture, for as many drawings and checks as it takes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import migrations

KEY = "story_image"


def add_price(apps: Any, schema_editor: Any) -> None:
    Price = apps.get_model("credits", "Price")
    Price.objects.get_or_create(
        operation_key=KEY,
        provider="",
        model="",
        defaults={"operation_name": "Story image", "credits_cost": 1, "api_cost_usd": Decimal("0.025")},
    )


def remove_price(apps: Any, schema_editor: Any) -> None:
    apps.get_model("credits", "Price").objects.filter(operation_key=KEY, provider="", model="").delete()


class Migration(migrations.Migration):
    dependencies = [("credits", "0004_prices_makeit3d")]

    operations = [migrations.RunPython(add_price, remove_price)]
