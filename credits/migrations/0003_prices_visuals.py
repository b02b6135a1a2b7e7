"""The visual-generation door's prices: one credit a picture, whichever provider makes it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import migrations

PRICES = [
    ("visual_coloring_page", "Coloring page"),
    ("visual_cover", "Cover"),
    ("visual_illustration", "Illustration"),
    ("visual_character_reference", "Character reference"),
    ("visual_background", "Background"),
]


def add_prices(apps: Any, schema_editor: Any) -> None:
    Price = apps.get_model("credits", "Price")
    for key, name in PRICES:
        Price.objects.get_or_create(
            operation_key=key,
            provider="",
            model="",
            defaults={"operation_name": name, "credits_cost": 1, "api_cost_usd": Decimal("0.04")},
        )


def remove_prices(apps: Any, schema_editor: Any) -> None:
    apps.get_model("credits", "Price").objects.filter(
        operation_key__in=[key for key, _ in PRICES], provider="", model=""
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("credits", "0002_guards")]

    operations = [migrations.RunPython(add_prices, remove_prices)]
