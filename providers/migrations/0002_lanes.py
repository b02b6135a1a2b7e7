"""The lanes of the first providers, and the two that belong to no provider."""

from __future__ import annotations

from django.db import migrations

# name, alias, cap: a provider's starting cap; staff change it in the row.
LANES = [
    ("desk", "", None),
    ("internal", "internal", None),
    ("provider_d", "provider_d", 50),
    ("provider_g", "provider_g", 50),
]


def add(apps, schema_editor):
    lane = apps.get_model("providers", "Lane")
    lane.objects.bulk_create([lane(name=name, alias=alias, cap=cap) for name, alias, cap in LANES], ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("providers", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
