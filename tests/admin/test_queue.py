"""The queue's page: who stands where and why, what the filters find, and verbs for the chosen."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.models import User
from generation import engine
from generation.admin import queue
from generation.claim import claim
from generation.models import HoldReason, Item, ItemStatus
from providers.models import Lane
from tests.pages import NASTY, live_nodes, submit

pytestmark = pytest.mark.django_db
QUEUE = "admin:generation_item_queue"


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


def shown(client: Client, **asked: Any) -> dict[str, str]:
    """What the page shows: item -> why, in its order."""
    page = client.get(reverse(QUEUE), asked)
    assert page.status_code == 200
    return {row.item.public_id: row.why for row in page.context["queue"].rows}


def only(owner: User, **wishes: Any) -> Item:
    return submit(owner, **wishes).items.get()


def test_what_runs_comes_first_then_the_order_of_claims_then_what_is_held(
    staff: Client, alice: User, bob: User
) -> None:
    running, low, urgent, held = (only(alice), only(alice, priority="low"), only(bob, priority="urgent"), only(bob))
    engine.hold(held.request_id, actor="stella")
    Item.objects.filter(pk=running.pk).update(status=ItemStatus.RUNNING, starts=1)
    rows = shown(staff)
    assert list(rows) == [one.public_id for one in (running, urgent, low, held)]
    assert rows[running.public_id] == "a worker has it: step 1, start 1"
    assert rows[urgent.public_id].startswith("place 1: urgent")
    assert rows[low.public_id] == "place 2: low, fair-share rank 0"
    assert rows[held.public_id] == "held by staff"


def test_places_are_those_in_which_workers_claim(staff: Client, alice: User, bob: User) -> None:
    for owner in (alice, alice, bob, alice, bob):
        submit(owner)
    order = [claimed.item.public_id for claimed in claim(5)]
    Item.objects.update(status=ItemStatus.QUEUED)
    rows = shown(staff)
    assert list(rows) == order
    assert [why.split(":")[0] for why in rows.values()] == [f"place {place}" for place in range(1, 6)]


@pytest.mark.parametrize(
    ("lane", "said"),
    [
        ({"paused": True, "paused_reason": "they are down"}, "its provider is paused: they are down; place 1"),
        ({"breaker": "open", "opened_at": timezone.now()}, "its provider's breaker is open; place 1"),
        ({"cap": 0}, "its provider's cap of 0 is full; place 1"),
    ],
)
def test_a_closed_lane_is_why(staff: Client, alice: User, lane: dict[str, Any], said: str) -> None:
    item = only(alice)
    Lane.objects.filter(name="provider_d").update(**lane)
    assert shown(staff)[item.public_id].startswith(said)


def test_a_cooling_lane_and_a_paused_desk_are_why(staff: Client, alice: User) -> None:
    item = only(alice)
    Lane.objects.filter(name="provider_d").update(cooldown_until=timezone.now() + timedelta(seconds=90))
    assert re.match(r"its provider cools down for 1 min \d+ s; place 1", shown(staff)[item.public_id])
    engine.pause("desk", actor="stella", reason="a new roof")
    assert shown(staff)[item.public_id].startswith("the whole desk is paused; place 1")
    assert "a new roof" in staff.get(reverse(QUEUE)).text


def test_a_retry_says_when_and_after_what(staff: Client, alice: User) -> None:
    item = only(alice)
    later = timezone.now() + timedelta(seconds=300)
    Item.objects.filter(pk=item.pk).update(
        status=ItemStatus.HELD, hold_reason=HoldReason.RETRY, run_after=later, error_code="TIMEOUT"
    )
    assert re.match(r"tries again in 4 min \d+ s after TIMEOUT", shown(staff)[item.public_id])


def test_another_weight_than_the_customers_is_told(staff: Client, alice: User) -> None:
    item = only(alice)
    engine.reprioritise(item.request_id, "urgent", actor="stella")
    assert "normal, counted as weight 1000" in shown(staff)[item.public_id]


def test_filters_find_by_door_owner_provider_state_and_age(staff: Client, alice: User, bob: User) -> None:
    old, other, held = only(alice), only(bob, providers=["provider_g"]), only(alice, door="poses")
    engine.hold(held.request_id, actor="stella")
    Item.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(minutes=20))
    for asked, found in (
        ({"owner": "bob"}, other),
        ({"lane": "provider_g"}, other),
        ({"door": "poses"}, held),
        ({"state": "held"}, held),
        ({"age": "10"}, old),
    ):
        assert list(shown(staff, **asked)) == [found.public_id], asked
    assert shown(staff, owner="nobody") == {}
    assert len(shown(staff, state="no such state", page="x")) == 3


def test_an_empty_queue_says_so(staff: Client) -> None:
    assert "Nothing waits and nothing runs" in staff.get(reverse(QUEUE)).text
    assert "Nothing open matches" in staff.get(reverse(QUEUE), {"owner": "nobody"}).text


def test_pages_follow_each_other_over_the_parts(
    staff: Client, make_customer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PAGE", 4)
    rich = make_customer("rich", 1000)
    request = submit(rich, 9)
    engine.hold(request.pk, [item.pk for item in request.items.all()[:3]], actor="stella")
    pages = [list(shown(staff, page=page)) for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [4, 4, 1]
    assert len({name for page in pages for name in page}) == 9


def test_it_costs_the_same_for_few_rows_and_many(staff: Client, make_customer: Any) -> None:
    rich = make_customer("rich", 1000)

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            staff.get(reverse(QUEUE))
        return len(queries)

    submit(rich)
    asked()
    few = asked()
    for _ in range(3):
        submit(rich, 20)
    assert asked() <= few <= 16


def test_the_part_is_the_table_alone(staff: Client, alice: User) -> None:
    only(alice)
    part = staff.get(reverse(QUEUE), {"part": "rows"}).text
    assert "<html" not in part
    assert 'name="row"' in part


def test_verbs_are_asked_about_for_the_chosen_rows(staff: Client, alice: User) -> None:
    first, second = only(alice), only(alice)
    page = staff.post(reverse("admin:generation_item_queue_act"), {"verb": "cancel", "row": [first.pk, second.pk]})
    assert page.status_code == 200
    assert page.text.count('name="row"') == 2


def test_nothing_chosen_is_said(staff: Client, alice: User) -> None:
    only(alice)
    page = staff.post(reverse("admin:generation_item_queue_act"), {"verb": "cancel"}, follow=True)
    assert "Nothing was chosen" in page.text


def test_without_permission_there_is_no_queue_and_no_verb(client: Client, sam: User, alice: User) -> None:
    item = only(alice)
    client.force_login(sam)
    assert client.get(reverse(QUEUE)).status_code == 403
    act = reverse("admin:generation_item_queue_act")
    assert client.post(act, {"verb": "cancel", "row": item.pk}).status_code == 403
    assert client.post(act, {"verb": "cancel", "all": "1"}).status_code == 403
    assert client.get(act).status_code == 405


@pytest.mark.parametrize("text", NASTY)
def test_nothing_a_stranger_wrote_is_alive(staff: Client, alice: User, text: str) -> None:
    only(alice, prompt=text)
    User.objects.filter(pk=alice.pk).update(username=text[:150])
    engine.pause("provider_d", actor="stella", reason=text)
    assert live_nodes(staff.get(reverse(QUEUE), {"owner": text[:150]}).text) == []
