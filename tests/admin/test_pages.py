"""The console's pages: what they show to whom, and that they run nothing that a stranger wrote."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from config.models import User
from generation import engine, queue
from generation.models import Asset, AssetKind, Item, Request
from tests.pages import NASTY, finish, live_nodes, submit

pytestmark = pytest.mark.django_db

LISTS = (
    "generation_request",
    "generation_item",
    "generation_attempt",
    "generation_event",
    "generation_asset",
    "generation_bulk",
    "generation_chore",
    "generation_auditrun",
    "credits_account",
    "credits_entry",
    "credits_price",
    "providers_lane",
    "config_approval",
    "config_user",
    "config_staffact",
)


@pytest.fixture
def staff(client: Client, stella: User, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(queue, "workers", list)
    client.force_login(stella)
    return client


def test_models_pictures_and_verbs_stand_beside_their_item(staff: Client, alice: User) -> None:
    request = finish(submit(alice))
    item = request.items.get()
    Asset.objects.filter(item=item, kind=AssetKind.IMAGE).update(kind=AssetKind.MODEL, name="chair")
    page = staff.get(reverse("admin:generation_request_change", args=[request.pk])).text
    assert f'label="Model of {item.public_id}"' in page
    assert "Download model chair" in page
    assert f"{reverse('admin:generation_item_verb', args=['refund'])}?row={item.pk}" in page
    assert f"{reverse('admin:generation_item_verb', args=['cancel'])}?row={item.pk}" not in page


def test_the_desk_reads_right_without_javascript(staff: Client, alice: User) -> None:
    submit(alice, 3, priority="urgent")
    engine.pause("provider_d", actor="stella", reason="they are down")
    page = staff.get(reverse("admin:index")).text
    assert '<p class="console-figure" data-figure="queue.waiting">3</p>' in page
    assert '<span class="is-number" data-figure="queue.by_priority.urgent">3</span>' in page
    assert "they are down" in page
    assert "Simulated providers" in page
    assert "No worker runs" in page


def test_real_names_of_providers_need_a_permission(client: Client, sam: User, alice: User) -> None:
    request = finish(submit(alice))
    story = reverse("admin:generation_request_change", args=[request.pk])
    may_see = Permission.objects.filter(codename__in=["view_request", "view_lane"])
    sam.user_permissions.set(may_see)
    client.force_login(sam)
    for address in (story, reverse("admin:providers_lane_changelist")):
        page = client.get(address).text
        assert "provider_d" in page
        assert "openai" not in page.lower()
    sam.user_permissions.add(Permission.objects.get(codename="see_provider_names"))
    assert "openai (provider_d)" in client.get(story).text


@pytest.mark.parametrize("text", NASTY)
def test_nothing_a_stranger_wrote_is_alive_in_the_console(staff: Client, alice: User, text: str) -> None:
    request = submit(alice, prompt=text)
    Request.objects.filter(pk=request.pk).update(group=text, description=text)
    Item.objects.update(error_code="TIMEOUT", error_message=text)
    finish(request)
    item = request.items.get()
    item.attempts.update(error_code="TIMEOUT", error_detail=text)
    engine.refund(item.pk, 1, reason=text, actor=text, form_key="form")
    User.objects.filter(pk=alice.pk).update(username=text[:150], email=text[:200])
    pages = [reverse(f"admin:{name}_changelist") for name in LISTS]
    pages += [
        reverse("admin:index"),
        reverse("admin:generation_item_queue"),
        reverse("admin:generation_request_change", args=[request.pk]),
        reverse("admin:generation_item_change", args=[item.pk]),
        reverse("admin:credits_account_change", args=[alice.pk]),
        reverse("admin:generation_request_verb", args=["cancel"]) + f"?row={request.pk}",
    ]
    for address in pages:
        page = staff.get(address)
        assert page.status_code == 200, address
        assert live_nodes(page.text) == [], address


@pytest.mark.parametrize("asked", ["alice", "vga_", "4b7a27d9-4b25-4aaa-8fbb-84dd1e843c16", "no such thing"])
def test_search_finds_by_whole_names(staff: Client, alice: User, asked: str) -> None:
    request = submit(alice)
    term = request.items.get().public_id if asked == "vga_" else asked
    found = staff.get(reverse("admin:generation_request_changelist"), {"q": term}).context["cl"].result_count
    assert found == (1 if asked in ("alice", "vga_") else 0)
