from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models


def let_support_revoke(apps: Any, schema_editor: Any) -> None:
    """Who looks after customers ends the token that one of them has lost."""
    config = apps.get_app_config("config")
    config.models_module = True  # permissions come after all migrations, and the group needs them now
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    wanted = Permission.objects.filter(content_type__app_label="config", content_type__model="personaltoken")
    for group in Group.objects.filter(name="support"):
        group.permissions.add(*wanted)


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0003_groups"),
    ]

    operations = [
        migrations.CreateModel(
            name="PersonalToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60)),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("ending", models.CharField(max_length=4)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField(blank=True, help_text="Empty: does not end by itself", null=True)),
                ("last_used_at", models.DateTimeField(blank=True, help_text="To the minute", null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_by", models.CharField(blank=True, default="", max_length=150)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="personal_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "permissions": [("revoke_personaltoken", "Can revoke somebody's personal token")],
                "default_permissions": ("view",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("revoked_at__isnull", True), ("revoked_by", "")),
                            models.Q(("revoked_at__isnull", False), models.Q(("revoked_by", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="a_revocation_has_a_name",
                    )
                ],
            },
        ),
        migrations.RunPython(let_support_revoke, migrations.RunPython.noop),
    ]
