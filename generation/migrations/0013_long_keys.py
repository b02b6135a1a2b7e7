"""Room in an attempt for every key that an asset has room for: a story's final keys hold two titles and a session."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generation", "0012_stage_pictures")]
    operations = [
        migrations.AlterField(
            model_name="attempt",
            name="key",
            field=models.CharField(max_length=1024, blank=True, default=""),
        )
    ]
