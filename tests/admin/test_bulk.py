"""A verb on thousands of items: chosen, confirmed, worked off in bites, with every item's result kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.models import StaffAct, User
from credits.models import Account
from generation import chores, engine, prune
from generation.admin import bulk
from generation.models import Bulk, BulkRow, Chore, Item, ItemStatus
from tests.db import race
from tests.pages import submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


@pytest.fixture
def rich(make_customer: Any) -> User:
    return make_customer("rich", 1000)


def choose(client: Client, verb: str, query: str = "") -> Bulk:
    """Ask for a verb on all that matches."""
    page = client.post(reverse("admin:generation_item_queue_act") + query, {"verb": verb, "all": "1"})
    made = Bulk.objects.latest("created_at")
    assert page["Location"] == reverse("admin:generation_bulk_ask", args=[made.pk])
    return made


def confirm(client: Client, made: Bulk, **fields: Any) -> Any:
    values = {"reason": "tidy up", "form_key": str(made.pk), **fields}
    return client.post(reverse("admin:generation_bulk_ask", args=[made.pk]), values)


def work_off() -> int:
    """Do all chores; returns how many there were."""
    done = 0
    while chores.do_next():
        done += 1
    return done


def test_what_was_chosen_is_done_in_bites_and_each_result_is_kept(
    staff: Client, rich: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BITE", 10)
    request = submit(rich, 25)
    made = choose(staff, "cancel")
    late = submit(rich)
    engine.cancel(request.pk, [request.items.order_by("pk")[0].pk])
    assert confirm(staff, made)["Location"] == reverse("admin:generation_bulk_change", args=[made.pk])
    assert work_off() == bulk.CHAINS + 2  # one bite each by three of them; two had rows left for an heir
    made.refresh_from_db()
    assert made.ended_at
    assert made.rows.filter(done=1).count() == 24
    assert made.rows.get(missed=1).item_id == request.items.order_by("pk")[0].pk
    assert late.items.get().status == ItemStatus.QUEUED
    assert Account.objects.get(owner=rich).balance == 998
    assert StaffAct.objects.filter(verb="cancel", reason="tidy up").count() == 25
    page = staff.get(reverse("admin:generation_bulk_change", args=[made.pk])).text
    assert "24 cancelled, 1 had already ended, 48 credits given back." in page
    assert "25 of 25" in page


def test_nothing_happens_before_somebody_says_yes_and_why(staff: Client, rich: User) -> None:
    submit(rich, 3)
    made = choose(staff, "hold")
    assert confirm(staff, made, reason=" ").status_code == 422
    assert not Chore.objects.filter(kind=bulk.KIND).exists()
    assert "never confirmed" in staff.get(reverse("admin:generation_bulk_change", args=[made.pk])).text


def test_a_double_click_begins_once(staff: Client, rich: User) -> None:
    submit(rich, 3)
    made = choose(staff, "hold")
    confirm(staff, made)
    confirm(staff, made)
    assert Chore.objects.filter(kind=bulk.KIND).count() == bulk.CHAINS
    work_off()
    assert Item.objects.filter(status=ItemStatus.HELD).count() == 3


def test_a_worker_that_dies_in_between_leaves_nothing_twice(staff: Client, rich: User) -> None:
    submit(rich, 3)
    made = choose(staff, "cancel")
    confirm(staff, made)
    rows = list(made.rows.order_by("pk"))
    assert bulk._do_one(made, bulk.Order(made.actor, "so", str(made.pk), {}))
    assert [row.at is None for row in made.rows.order_by("pk")] == [False, True, True]
    work_off()
    assert BulkRow.objects.filter(done=1).count() == len(rows)
    assert StaffAct.objects.filter(verb="cancel").count() == len(rows)


def test_two_workers_share_the_rows(staff: Client, rich: User) -> None:
    submit(rich, 12)
    made = choose(staff, "cancel")
    confirm(staff, made)
    assert sum(one["done"] for one in race(*[lambda: bulk.go_on(str(made.pk))] * 2)) == 12
    assert made.rows.filter(done=1).count() == 12
    assert StaffAct.objects.filter(verb="cancel").count() == 12
    made.refresh_from_db()
    assert made.ended_at


def test_only_what_matches_the_filters_is_chosen(staff: Client, rich: User, bob: User) -> None:
    submit(rich, 2)
    submit(bob)
    made = choose(staff, "prioritise", "?owner=bob")
    assert (made.total, made.chosen) == (1, "Customer: bob")
    confirm(staff, made, priority="urgent")
    work_off()
    assert list(Item.objects.filter(weight=1000).values_list("owner__username", flat=True)) == ["bob"]


def test_only_who_chose_may_confirm(staff: Client, rich: User, make_customer: Any) -> None:
    submit(rich, 2)
    made = choose(staff, "cancel")
    other = Client()
    other.force_login(make_customer("sue", is_staff=True, is_superuser=True))
    assert confirm(other, made).status_code == 404
    assert other.get(reverse("admin:generation_bulk_ask", args=[made.pk])).status_code == 404


def test_more_than_a_form_can_name_chosen_in_the_list_of_items_becomes_one(
    staff: Client, rich: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.staff.MOST_ROWS", 2)
    submit(rich, 4)
    page = staff.post(
        reverse("admin:generation_item_changelist"),
        {"action": "hold", "select_across": "1", "_selected_action": [Item.objects.latest("pk").pk]},
    )
    made = Bulk.objects.get()
    assert page["Location"] == reverse("admin:generation_bulk_ask", args=[made.pk])
    assert made.total == 4


def test_nothing_that_matches_is_said(staff: Client) -> None:
    page = staff.post(reverse("admin:generation_item_queue_act"), {"verb": "cancel", "all": "1"}, follow=True)
    assert "Nothing matches any more" in page.text
    assert not Bulk.objects.exists()


def test_results_cost_the_same_for_few_and_many(staff: Client, rich: User) -> None:
    def asked(made: Bulk) -> int:
        with CaptureQueriesContext(connection) as queries:
            staff.get(reverse("admin:generation_bulk_change", args=[made.pk]))
        return len(queries)

    submit(rich, 2)
    few = choose(staff, "hold")
    submit(rich, 60)
    many = choose(staff, "hold")
    asked(few)
    assert asked(few) == asked(many) <= 12


def test_what_nobody_confirmed_is_forgotten_the_next_day(staff: Client, rich: User) -> None:
    submit(rich, 3)
    kept, dropped = choose(staff, "hold"), choose(staff, "hold")
    confirm(staff, kept)
    Bulk.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert prune.prune()["bulks"] == 1
    assert list(Bulk.objects.all()) == [kept]
    assert not BulkRow.objects.filter(bulk_id=dropped.pk).exists()
