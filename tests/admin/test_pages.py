"""The console's pages: what they show to whom."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from config.models import User
from generation import engine, queue
from generation.models import Asset, AssetKind
from tests.pages import finish, submit

pytestmark = pytest.mark.django_db


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


def test_an_items_receipt_says_what_its_customer_paid_in_the_end(staff: Client, alice: User) -> None:
    item = finish(submit(alice)).items.get()
    engine.refund(item.pk, 1, reason="a present", actor="stella", form_key="form")
    page = staff.get(reverse("admin:generation_item_change", args=[item.pk]))
    assert page.context["story"].paid == item.charged - 1


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


@pytest.mark.parametrize("asked", ["alice", "vga_", "4b7a27d9-4b25-4aaa-8fbb-84dd1e843c16", "no such thing"])
def test_search_finds_by_whole_names(staff: Client, alice: User, asked: str) -> None:
    request = submit(alice)
    term = request.items.get().public_id if asked == "vga_" else asked
    found = staff.get(reverse("admin:generation_request_changelist"), {"q": term}).context["cl"].result_count
    assert found == (1 if asked in ("alice", "vga_") else 0)
