"""The pose-generator door's prices: a pose, and another background behind it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import migrations

# key, name, credits, what it costs us in USD
PRICES = [
    ("pose_generation", "Pose", 30, "0.03"),
    ("pose_background_change", "Background of a pose", 10, "0.05"),
]


def add_prices(apps: Any, schema_editor: Any) -> None:
    Price = apps.get_model("credits", "Price")
    for key, name, credits, usd in PRICES:
        Price.objects.get_or_create(
            operation_key=key,
            provider="",
            model="",
            defaults={"operation_name": name, "credits_cost": credits, "api_cost_usd": Decimal(usd)},
        )


def remove_prices(apps: Any, schema_editor: Any) -> None:
    apps.get_model("credits", "Price").objects.filter(
        operation_key__in=[key for key, *_ in PRICES], provider="", model=""
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("credits", "0005_price_story_image")]

    operations = [migrations.RunPython(add_prices, remove_prices)]
