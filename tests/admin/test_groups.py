"""The three ready groups: what their people see, may do, and may not."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from config.models import User
from credits.models import Account
from generation.models import Request
from providers.models import Lane
from tests.admin.test_verbs import VERBS, address
from tests.pages import submit

pytestmark = pytest.mark.django_db

MAY = {
    "support": {(Request, "cancel"), (Request, "retry"), (Request, "hold"), (Request, "release"), (Request, "refund")},
    "finance": {(Request, "refund"), (Account, "grant"), (Account, "adjust")},
    "operator": {
        *((Request, verb) for verb in ("cancel", "retry", "hold", "release", "prioritise")),
        *((Lane, verb) for verb in VERBS[Lane]),
    },
}
PAGES = {
    "support": ("generation_request_changelist", "generation_item_queue", "credits_account_changelist"),
    "finance": ("credits_entry_changelist", "credits_price_changelist", "config_approval_changelist"),
    "operator": ("generation_item_queue", "providers_lane_changelist", "generation_auditrun_changelist"),
}


@pytest.fixture(params=[*MAY])
def group(request: Any, client: Client, sam: User) -> str:
    sam.groups.add(Group.objects.get(name=request.param))
    client.force_login(sam)
    return str(request.param)


def test_a_group_may_just_its_own_verbs(client: Client, group: str, alice: User) -> None:
    submit(alice)
    for model in (Request, Account, Lane):
        row = model.objects.first()
        for verb in VERBS[model]:
            answer = client.get(address(model, verb), {"row": row.pk})
            assert answer.status_code == (200 if (model, verb) in MAY[group] else 403), (model, verb)


def test_removing_a_group_names_the_group_and_no_numbers_of_its_ties(client: Client, stella: User) -> None:
    client.force_login(stella)
    group = Group.objects.get(name="support")
    page = client.get(reverse("admin:auth_group_delete", args=[group.pk])).text
    assert 'delete the group "support"' in unescape(page)
    assert f"Group-permission relationships: {group.permissions.count()}" in page
    assert "object (" not in page


def test_a_group_opens_its_pages_and_the_menu_shows_no_other(client: Client, group: str, alice: User) -> None:
    request = submit(alice)
    desk = client.get(reverse("admin:index"))
    assert desk.status_code == 200
    for page in PAGES[group]:
        assert client.get(reverse(f"admin:{page}")).status_code == 200
        assert f'href="{reverse(f"admin:{page}")}"' in desk.text
    assert client.get(reverse("admin:generation_request_change", args=[request.pk])).status_code == 200
    assert client.get(reverse("admin:auth_group_changelist")).status_code == 403
    assert f'href="{reverse("admin:auth_group_changelist")}"' not in desk.text


def test_only_operators_see_real_names(client: Client, group: str, sam: User) -> None:
    assert sam.has_perm("providers.see_provider_names") == (group == "operator")
