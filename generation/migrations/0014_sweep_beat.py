"""When anybody last swept: by a long silence an outage is known, after which every lease begins anew."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generation", "0013_long_keys")]
    operations = [
        migrations.CreateModel(
            name="SweepBeat",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                (
                    "anew_at",
                    models.DateTimeField(help_text="when all leases last began anew, after such a silence", null=True),
                ),
            ],
        ),
    ]
