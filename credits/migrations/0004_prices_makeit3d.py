"""The MakeIt3D door's prices (its contract, section 7), and what further providers ask for the same operation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import migrations

# operation key, name, provider (empty: whichever), credits, what a call costs us in USD
PRICES = [
    ("text_to_image_core", "Text to image, core", "provider_a", 2, "0.03"),
    ("text_to_image_ultra", "Text to image, ultra", "provider_a", 3, "0.08"),
    ("text_to_image_v3", "Text to image, v3", "provider_b", 2, "0.04"),
    ("text_to_image_v2", "Text to image, v2", "provider_b", 1, "0.022"),
    ("text_to_image_standard", "Text to image, standard", "provider_d", 2, "0.04"),
    ("text_to_image_hd", "Text to image, HD", "provider_d", 3, "0.08"),
    ("text_to_image_pro", "Text to image, pro", "", 2, "0.04"),
    ("image_to_image", "Image to image", "", 2, "0.04"),
    ("image_to_image", "Image to image", "provider_a", 2, "0.03"),
    ("sketch_to_image", "Sketch to image", "provider_a", 2, "0.03"),
    ("remove_background", "Remove background", "", 1, "0.02"),
    ("remove_background", "Remove background", "provider_b", 1, "0.01"),
    ("search_recolor", "Search and recolor", "provider_a", 2, "0.05"),
    ("image_inpaint", "Image inpaint", "", 2, "0.04"),
    ("image_to_3d", "Image to 3D", "provider_a", 3, "0.04"),
    ("text_to_model", "Text to model", "provider_c", 8, "0.20"),
    ("image_to_model_single", "Image to model", "provider_c", 10, "0.25"),
    ("image_to_model_multiview", "Views to model", "provider_c", 12, "0.35"),
    ("refine_model", "Refine model", "provider_c", 6, "0.15"),
    ("upscale", "Upscale", "", 2, "0.02"),
    ("downscale", "Downscale", "", 0, "0"),
]


def add_prices(apps: Any, schema_editor: Any) -> None:
    Price = apps.get_model("credits", "Price")
    for key, name, provider, credits, cost_usd in PRICES:
        Price.objects.get_or_create(
            operation_key=key,
            provider=provider,
            model="",
            defaults={"operation_name": name, "credits_cost": credits, "api_cost_usd": Decimal(cost_usd)},
        )


def remove_prices(apps: Any, schema_editor: Any) -> None:
    Price = apps.get_model("credits", "Price")
    for key, _, provider, _, _ in PRICES:
        Price.objects.filter(operation_key=key, provider=provider, model="").delete()


class Migration(migrations.Migration):
    dependencies = [("credits", "0003_prices_visuals")]

    operations = [migrations.RunPython(add_prices, remove_prices)]
