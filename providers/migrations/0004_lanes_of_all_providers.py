"""The lanes of the other providers. One vendor behind two aliases has one lane; task types that it counts apart have their own."""

from __future__ import annotations

from django.db import migrations

# name, alias, operation, cap: a provider's starting cap; staff change it in the row.
LANES = [
    ("provider_a", "provider_a", "", 50),
    ("provider_b", "provider_b", "", 50),
    ("provider_c", "provider_c", "", 10),
    ("provider_c_refine", "provider_c", "refine-model", 5),
    ("provider_e", "provider_e", "", 50),
    ("provider_h", "provider_h", "", 50),
]


def add(apps, schema_editor):
    lane = apps.get_model("providers", "Lane")
    lane.objects.bulk_create(
        [lane(name=name, alias=alias, operation=operation, cap=cap) for name, alias, operation, cap in LANES],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies = [("providers", "0003_lane_permissions")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
