"""Three groups that are ready for use. What staff change in them later is theirs: nothing sets them again."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management import create_permissions
from django.db import migrations

APPS = ("auth", "config", "credits", "generation", "providers")

_WORK = tuple(
    f"generation.view_{name}" for name in ("asset", "attempt", "bulk", "event", "item", "request", "storysession")
)
_LIBRARY = tuple(f"generation.view_{name}" for name in ("avatar", "librarypose", "posecategory", "posewish"))
_MONEY = ("credits.view_account", "credits.view_entry", "credits.view_price")
_PEOPLE = ("config.view_user", "config.view_staffact", "config.view_approval")

# group -> what its people may see and do
GROUPS: dict[str, tuple[str, ...]] = {
    # Looks after customers and their requests; gives back what went wrong.
    "support": (
        *_WORK,
        *_LIBRARY,
        *_MONEY,
        *_PEOPLE,
        "providers.view_lane",
        "generation.cancel_request",
        "generation.retry_request",
        "generation.hold_request",
        "generation.refund_item",
        "generation.change_posewish",
    ),
    # Looks after credits and prices; says yes or no to what moves many.
    "finance": (
        *_MONEY,
        *_PEOPLE,
        "generation.view_request",
        "generation.view_item",
        "generation.view_auditrun",
        "generation.refund_item",
        "generation.run_audit",
        "credits.add_price",
        "credits.change_price",
        "credits.grant_credits",
        "credits.export_entries",
        "config.decide_approval",
    ),
    # Keeps the desk running: queue, providers, workers, audit.
    "operator": (
        *_WORK,
        "config.view_staffact",
        "generation.view_auditrun",
        "generation.view_chore",
        "generation.cancel_request",
        "generation.retry_request",
        "generation.hold_request",
        "generation.prioritise_request",
        "generation.run_audit",
        "providers.view_lane",
        "providers.change_lane",
        "providers.pause_provider",
        "providers.see_provider_names",
    ),
}


def make_groups(apps: Any, schema_editor: Any) -> None:
    _make_permissions(apps)
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, wanted in GROUPS.items():
        group, is_new = Group.objects.get_or_create(name=name)
        if not is_new:
            continue
        for one in wanted:
            app, codename = one.split(".")
            group.permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))


def _make_permissions(apps: Any) -> None:
    """They come after all migrations, and groups need them now."""
    for label in APPS:
        config = apps.get_app_config(label)
        config.models_module = True
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None


class Migration(migrations.Migration):
    dependencies = [
        ("config", "0002_approvals"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("credits", "0007_export_permission"),
        ("generation", "0011_bulk"),
        ("providers", "0004_lanes_of_all_providers"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
