"""What staff may do, what is written down of it, and that a double click does it once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.models import StaffAct, User
from credits.models import Account, Entry
from generation.claim import claim
from generation.models import HoldReason, Item, ItemStatus, Request, RequestStatus
from providers.models import Lane
from tests.db import race
from tests.pages import finish, submit

pytestmark = pytest.mark.django_db

VERBS = {
    Request: ("cancel", "retry", "hold", "release", "prioritise", "refund"),
    Item: ("cancel", "retry", "hold", "release", "prioritise", "refund"),
    Account: ("grant", "adjust"),
    Lane: ("pause", "resume", "probe", "cap"),
}


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


def address(model: type, verb: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_verb", args=[verb])


def ask(client: Client, row: Any, verb: str) -> str:
    """Open the confirmation page and return its one-time key."""
    page = client.get(address(type(row), verb), {"row": row.pk})
    assert page.status_code == 200
    found = re.search(r'name="form_key" value="([0-9a-f-]{36})"', page.text)
    assert found
    return found[1]


def do(client: Client, row: Any, verb: str, *, key: str = "", **fields: Any) -> list[str]:
    """Answer the confirmation page; return what the next page tells."""
    values = {"reason": "because", **fields, "row": row.pk, "form_key": key or ask(client, row, verb)}
    response = client.post(address(type(row), verb), values, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


def balance(owner: User) -> int:
    return Account.objects.get(owner=owner).balance


# --- Each verb ------------------------------------------------------------------------------------


def test_a_form_begins_at_its_first_field_and_says_who_reads_the_reason(staff: Client, alice: User) -> None:
    first = {"adjust": "credits", "grant": "credits"}
    account = Account.objects.get(owner=alice)
    for verb, field in first.items():
        form = staff.get(address(Account, verb), {"row": account.pk}).context["form"]
        assert [name for name, one in form.fields.items() if "autofocus" in one.widget.attrs] == [field]
        assert "customer reads it" in form.fields["reason"].help_text
    form = staff.get(address(Lane, "pause"), {"row": "provider_d"}).context["form"]
    assert "autofocus" in form.fields["reason"].widget.attrs
    assert "other staff" in form.fields["reason"].help_text


def test_cancel_says_what_was_cancelled_and_what_had_ended(staff: Client, alice: User) -> None:
    request = submit(alice, 5)
    finish_two = list(request.items.all()[:2])
    Item.objects.filter(pk__in=[item.pk for item in finish_two]).update(status=ItemStatus.SUCCEEDED)
    assert do(staff, request, "cancel") == ["3 cancelled, 2 had already ended, 6 credits given back."]
    assert request.items.filter(status=ItemStatus.CANCELLED).count() == 3
    assert balance(alice) == 96


def test_refund_gives_back_what_is_left_and_the_reason_stands_on_the_request(staff: Client, alice: User) -> None:
    request = finish(submit(alice, 2))
    assert do(staff, request, "refund", reason="the sky is <green>") == ["2 refunded, 4 credits given back."]
    assert balance(alice) == 100
    page = staff.get(reverse("admin:generation_request_change", args=[request.pk])).text
    assert "Refund: the sky is &lt;green&gt;" in page
    assert "The customer paid" in page


def test_a_partial_refund_gives_back_just_that(staff: Client, alice: User) -> None:
    item = finish(submit(alice)).items.get()
    assert do(staff, item, "refund", credits=1) == ["1 refunded, 1 credits given back."]
    assert balance(alice) == 99


def test_more_than_was_charged_is_refused_and_nothing_moves(staff: Client, alice: User) -> None:
    request = finish(submit(alice))
    assert do(staff, request, "refund", credits=3) == [
        f"{request}: only 2 of the 3 credits are left to give back. Nothing was refunded."
    ]
    assert balance(alice) == 98
    assert not StaffAct.objects.exists()


def test_retry_reopens_a_failed_request(staff: Client, alice: User) -> None:
    request = submit(alice)
    request.items.update(status=ItemStatus.FAILED, refunded=0, kept=2, error_code="TIMEOUT")
    Request.objects.filter(pk=request.pk).update(status=RequestStatus.FAILED)
    assert do(staff, request, "retry") == ["1 sent on its way again."]
    assert request.items.get().status == ItemStatus.QUEUED


def test_hold_and_release(staff: Client, alice: User) -> None:
    item = submit(alice).items.get()
    assert do(staff, item, "hold") == ["1 held."]
    item.refresh_from_db()
    assert (item.status, item.hold_reason) == (ItemStatus.HELD, HoldReason.STAFF)
    assert do(staff, item, "release") == ["1 released."]
    item.refresh_from_db()
    assert item.status == ItemStatus.QUEUED


def test_another_priority_changes_the_place_and_not_the_wish(staff: Client, alice: User) -> None:
    item = submit(alice).items.get()
    assert do(staff, item, "prioritise", priority="urgent") == ["1 ranked anew."]
    item.refresh_from_db()
    assert (item.weight, item.priority) == (1000, "normal")


def test_grant_posts_an_entry_with_the_reason(staff: Client, alice: User) -> None:
    account = Account.objects.get(owner=alice)
    assert do(staff, account, "grant", credits=25, reason="Thank you") == ["1 account credited, 25 credits granted."]
    entry = Entry.objects.filter(account=account).latest("pk")
    assert (entry.amount, entry.description, entry.actor) == (25, "Thank you", "stella")


def test_an_adjustment_never_takes_more_than_there_is(staff: Client, alice: User) -> None:
    account = Account.objects.get(owner=alice)
    assert do(staff, account, "adjust", credits=-101)[0].startswith("The balance would fall below zero")
    assert do(staff, account, "adjust", credits=-100)[0].startswith("1 account adjusted")
    assert balance(alice) == 0


def test_a_lane_is_paused_and_resumed(staff: Client) -> None:
    lane = Lane.objects.get(name="provider_d")
    assert do(staff, lane, "pause", reason="they are down") == ["1 paused."]
    lane.refresh_from_db()
    assert (lane.paused, lane.paused_by, lane.paused_reason) == (True, "stella", "they are down")
    assert do(staff, lane, "pause") == ["0 paused, 1 was paused already."]
    assert do(staff, lane, "resume") == ["1 resumed."]


def test_a_cap_is_set_and_taken_away(staff: Client) -> None:
    lane = Lane.objects.get(name="provider_d")
    assert do(staff, lane, "cap", cap=7) == ["1 cap set."]
    lane.refresh_from_db()
    assert lane.cap == 7
    act = StaffAct.objects.get()
    assert (act.outcome["cap"], act.outcome["was"]) == (7, 50)
    assert do(staff, lane, "cap", no_cap="on") == ["1 cap set."]
    lane.refresh_from_db()
    assert lane.cap is None


@pytest.mark.parametrize("wish", [{}, {"cap": 5, "no_cap": "on"}, {"cap": 0}, {"cap": "many"}])
def test_a_cap_must_be_said_clearly(staff: Client, wish: dict[str, Any]) -> None:
    lane = Lane.objects.get(name="provider_d")
    values = {"reason": "because", "row": lane.pk, "form_key": ask(staff, lane, "cap"), **wish}
    assert staff.post(address(Lane, "cap"), values).status_code == 422
    lane.refresh_from_db()
    assert lane.cap == 50


def test_a_probe_lets_the_next_item_through_an_open_breaker(staff: Client, alice: User) -> None:
    submit(alice, 2)
    soon = timezone.now() + timedelta(seconds=15)
    closed = {"breaker": "open", "breaker_reason": "they broke", "opened_at": timezone.now(), "probe_at": soon}
    Lane.objects.filter(name="provider_d").update(**closed, cooldown_until=soon)
    lane = Lane.objects.get(name="provider_d")
    assert claim(5) == []

    assert do(staff, lane, "probe") == ["1 probed with the next item."]

    assert len(claim(5)) == 1
    assert claim(5) == []  # alone, until it has come back
    Lane.objects.filter(name="provider_d").update(breaker="closed")
    assert do(staff, lane, "probe") == ["0 probed with the next item, 1 had no open breaker."]


# --- What is written down -------------------------------------------------------------------------


def test_every_verb_is_written_down(staff: Client, stella: User, alice: User) -> None:
    request = submit(alice)
    do(staff, request, "hold", reason="looks odd")
    act = StaffAct.objects.get()
    assert (act.actor, act.verb, act.subject, act.reason) == (stella, "hold", f"request:{request.pk}", "looks odd")
    assert act.outcome["done"] == 1


def test_a_reason_is_asked_for(staff: Client, alice: User) -> None:
    request = submit(alice)
    key = ask(staff, request, "cancel")
    response = staff.post(address(Request, "cancel"), {"row": request.pk, "form_key": key, "reason": " "})
    assert response.status_code == 422
    assert request.items.get().status == ItemStatus.QUEUED


def test_nothing_happens_on_get(staff: Client, alice: User) -> None:
    request = submit(alice)
    ask(staff, request, "cancel")
    assert request.items.get().status == ItemStatus.QUEUED
    assert not StaffAct.objects.exists()


# --- Once -----------------------------------------------------------------------------------------


def test_a_double_click_refunds_once_and_tells_the_same(staff: Client, alice: User) -> None:
    item = finish(submit(alice)).items.get()
    key = ask(staff, item, "refund")
    first = do(staff, item, "refund", key=key, credits=1)
    assert do(staff, item, "refund", key=key, credits=1) == first == ["1 refunded, 1 credits given back."]
    assert balance(alice) == 99
    assert StaffAct.objects.count() == 1


def test_a_double_click_grants_once(staff: Client, alice: User) -> None:
    account = Account.objects.get(owner=alice)
    key = ask(staff, account, "grant")
    for _ in range(2):
        do(staff, account, "grant", key=key, credits=5)
    assert balance(alice) == 105


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_the_same_moment_refund_once(stella: User, alice: User) -> None:
    item = finish(submit(alice)).items.get()
    one, two = Client(), Client()
    one.force_login(stella)
    two.force_login(stella)
    key = ask(one, item, "refund")
    told = race(
        lambda: do(one, item, "refund", key=key, credits=1), lambda: do(two, item, "refund", key=key, credits=1)
    )
    assert told == [["1 refunded, 1 credits given back."]] * 2
    assert balance(alice) == 99
    assert StaffAct.objects.count() == 1


# --- Who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "verb"), [(model, verb) for model, verbs in VERBS.items() for verb in verbs])
def test_sam_who_may_nothing_is_refused(client: Client, sam: User, alice: User, model: Any, verb: str) -> None:
    submit(alice)
    client.force_login(sam)
    row = model.objects.first()
    assert client.get(address(model, verb), {"row": row.pk}).status_code == 403
    assert client.post(address(model, verb), {"row": row.pk, "reason": "so"}).status_code == 403
    assert not StaffAct.objects.exists()


def test_a_customer_is_sent_to_sign_in(client: Client, alice: User) -> None:
    request = submit(alice)
    client.force_login(alice)
    response = client.post(address(Request, "cancel"), {"row": request.pk, "reason": "so"})
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]


def test_one_permission_opens_one_verb(client: Client, sam: User, alice: User) -> None:
    request = submit(alice)
    sam.user_permissions.set(Permission.objects.filter(codename__in=["view_request", "cancel_request"]))
    client.force_login(sam)
    page = client.get(reverse("admin:generation_request_change", args=[request.pk]))
    assert [verb.name for verb in page.context["verbs"]] == ["cancel"]
    assert do(client, request, "cancel") == ["1 cancelled, 2 credits given back."]
    assert client.get(address(Request, "refund"), {"row": request.pk}).status_code == 403


def test_the_list_offers_verbs_for_many(staff: Client, alice: User) -> None:
    requests = [submit(alice), submit(alice)]
    page = staff.post(
        reverse("admin:generation_request_changelist"),
        {"action": "cancel", "_selected_action": [request.pk for request in requests]},
    )
    key = re.search(r'name="form_key" value="([^"]+)"', page.text)
    assert key
    assert page.text.count('name="row"') == 2
    response = staff.post(
        address(Request, "cancel"),
        {"row": [request.pk for request in requests], "reason": "tidy", "form_key": key[1]},
        follow=True,
    )
    assert "2 cancelled, 4 credits given back." in response.text
    assert StaffAct.objects.count() == 2


@pytest.mark.parametrize("model", [Request, Item, Account, Entry, Lane])
def test_nothing_that_engine_or_ledger_owns_can_be_edited(staff: Client, alice: User, model: Any) -> None:
    submit(alice)
    row = model.objects.first()
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert staff.post(reverse(f"{name}_change", args=[row.pk]), {"status": "FAILED"}).status_code == 403
    assert staff.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert staff.get(reverse(f"{name}_add")).status_code == 403
