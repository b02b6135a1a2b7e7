"""A kind of asset for pictures that only a later step goes on with, so that no gallery shows them."""

from __future__ import annotations

from django.db import migrations, models

KINDS = ("image", "stage", "model", "preview", "thumbnail", "export", "mask", "pose-map", "input", "report")


class Migration(migrations.Migration):
    dependencies = [("generation", "0011_bulk")]
    operations = [
        migrations.AlterField(
            model_name="asset",
            name="kind",
            field=models.CharField(
                choices=[(kind, kind.replace("-", " ").title()) for kind in KINDS], max_length=10
            ),
        )
    ]
