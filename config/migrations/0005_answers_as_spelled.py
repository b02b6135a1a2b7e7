"""Stored answers keep the order of their fields: a repeat is told the same bytes, not the same facts shuffled."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("config", "0004_personal_tokens")]
    operations = [
        migrations.AlterField(
            model_name="idempotency",
            name="body",
            field=models.TextField(help_text="JSON as it was answered, its fields in their order"),
        ),
    ]
