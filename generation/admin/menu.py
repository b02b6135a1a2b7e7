"""The console's sidebar, in the order in which staff need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from generation.admin import bells

BELLS = "django_rq:home"

Group = tuple[str, tuple[tuple[str, str, str], ...]]

# Title of a group -> (title, icon, address; without a namespace it is the admin's)
GROUPS: tuple[Group, ...] = (
    ("", (("Desk", "space_dashboard", "index"),)),
    (
        "Work",
        (
            ("Queue", "low_priority", "generation_item_queue"),
            ("Requests", "inbox", "generation_request_changelist"),
            ("Items", "deployed_code", "generation_item_changelist"),
            ("Quarantine", "coronavirus", "generation_item_quarantine"),
            ("Stories", "auto_stories", "generation_storysession_changelist"),
            ("Attempts", "call_made", "generation_attempt_changelist"),
            ("Events", "timeline", "generation_event_changelist"),
            ("Assets", "photo_library", "generation_asset_changelist"),
        ),
    ),
    (
        "Credits",
        (
            ("Accounts", "account_balance_wallet", "credits_account_changelist"),
            ("Ledger", "receipt_long", "credits_entry_changelist"),
            ("Prices", "sell", "credits_price_changelist"),
            ("Approvals", "rule", "config_approval_changelist"),
        ),
    ),
    (
        "Providers",
        (
            ("Providers", "hub", "providers_lane_providers"),
            ("Lanes", "alt_route", "providers_lane_changelist"),
        ),
    ),
    (
        "Library",
        (
            ("Poses", "accessibility_new", "generation_librarypose_changelist"),
            ("Categories", "category", "generation_posecategory_changelist"),
            ("Wishes", "volunteer_activism", "generation_posewish_changelist"),
            ("Avatars", "face", "generation_avatar_changelist"),
        ),
    ),
    (
        "House",
        (
            ("People", "group", "config_user_changelist"),
            ("Groups", "badge", "auth_group_changelist"),
            ("Tokens", "key", "config_personaltoken_changelist"),
            ("Staff acts", "gavel", "config_staffact_changelist"),
            ("Audits", "fact_check", "generation_auditrun_changelist"),
            ("Bulk verbs", "stacks", "generation_bulk_changelist"),
            ("Chores", "checklist", "generation_chore_changelist"),
            ("Bells", "notifications", BELLS),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    # Some pages lie under the address of others: the longest that fits is where one is.
    links = [link(address) for _, entries in GROUPS for *_, address in entries]
    here = max((one for one in links if request.path.startswith(one)), key=len, default="")
    return [
        {
            "title": title,
            "separator": bool(title),
            "items": [
                {
                    "title": name,
                    "icon": icon,
                    "link": link(address),
                    "active": link(address) == here,
                    "permission": _may_see(address),
                }
                for name, icon, address in entries
            ],
        }
        for title, entries in GROUPS
    ]


def link(address: str) -> str:
    """Where an entry leads."""
    return reverse(address if ":" in address else f"admin:{address}")


def _may_see(address: str) -> Callable[[HttpRequest], bool]:
    if address == BELLS:
        return lambda request: request.user.has_perm(bells.VIEW)
    app, *model = address.split("_")[:2]
    return lambda request: not model or request.user.has_perm(f"{app}.view_{model[0]}")
