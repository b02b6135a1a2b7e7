"""Story sessions: their names, one open run for each, long keys of their pictures, and what a check said."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

EVENTS = [
    *("submitted", "request-started", "request-completed", "request-failed", "request-cancelled", "reopened"),
    *("mirrored", "queued", "started", "progress", "parked", "step", "retrying", "held", "released"),
    *("succeeded", "failed", "cancelled", "refunded"),
]
# No request had side files before.
FORGET_MIRRORS = "UPDATE generation_request SET mirrored_seq = NULL"
REMEMBER_MIRRORS = "UPDATE generation_request SET mirrored_seq = 0 WHERE mirrored_seq IS NULL"


class Migration(migrations.Migration):
    dependencies = [
        ("generation", "0006_library"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="StorySession",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("session_id", models.CharField(max_length=128, unique=True)),
                ("directory", models.CharField(max_length=700)),
                ("mirrored_round", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "request",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="generation.request",
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["owner", "-created_at"], name="story_of_owner")]},
        ),
        migrations.AddField(
            model_name="attempt",
            name="said",
            field=models.JSONField(blank=True, help_text="the verdict of a check", null=True),
        ),
        migrations.AlterField(
            model_name="asset", name="key", field=models.CharField(max_length=1024, unique=True)
        ),
        migrations.AlterField(
            model_name="event",
            name="kind",
            field=models.CharField(
                choices=[(kind, kind.replace("-", " ").title()) for kind in EVENTS], max_length=20
            ),
        ),
        migrations.AlterField(
            model_name="request",
            name="mirrored_seq",
            field=models.BigIntegerField(
                blank=True, help_text="how far its side files are; empty when it has none", null=True
            ),
        ),
        migrations.RunSQL(FORGET_MIRRORS, REMEMBER_MIRRORS),
        migrations.AddConstraint(
            model_name="request",
            constraint=models.UniqueConstraint(
                condition=models.Q(("door", "stories"), ("status__in", ["QUEUED", "RUNNING"])),
                fields=("group",),
                name="one_open_run_per_story",
                violation_error_message="This story is being drawn already.",
            ),
        ),
    ]
