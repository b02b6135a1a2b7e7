"""Credits for staff: the ledger's filters and its file, and prices with what another one would mean."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.models import StaffAct, User
from credits import export, ledger
from credits.models import Account, Price
from tests.pages import NASTY, live_nodes, submit

pytestmark = pytest.mark.django_db
LEDGER = "admin:credits_entry_changelist"


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


def take(client: Client, **asked: Any) -> list[dict[str, str]]:
    answer = client.get(reverse("admin:credits_entry_export"), asked)
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


def grant(owner: User, description: str, number: int = 0) -> None:
    with transaction.atomic():
        ledger.grant(owner.pk, 1, reference=f"n:{owner.pk}:{number}:{description}"[:200], description=description)


def test_the_file_holds_every_line_newest_first(staff: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 3)
    for number in range(7):
        grant(alice, f"present {number}", number)
    rows = take(staff)
    assert [row["description"] for row in rows] == [
        *(f"present {number}" for number in range(6, -1, -1)),
        "Credits to begin with",
    ]
    assert rows[0] | {"when": "", "reference": ""} == {
        "when": "",
        "customer": "alice",
        "number": "8",
        "kind": "grant",
        "credits": "1",
        "balance_after": "107",
        "description": "present 6",
        "operation": "",
        "subject": "",
        "reference": "",
        "by": "",
    }


def test_the_file_holds_what_the_filters_match(staff: Client, alice: User, bob: User) -> None:
    submit(alice)
    with transaction.atomic():
        ledger.adjust(bob.pk, -1, reference="r", description="put right", actor="stella")
    assert [row["kind"] for row in take(staff, kind__exact="charge")] == ["charge"]
    assert {row["customer"] for row in take(staff, account__exact=str(bob.pk))} == {"bob"}
    assert [row["by"] for row in take(staff, by="staff")] == ["stella"]
    today = f"{timezone.now():%Y-%m-%d}"
    assert take(staff, created_at_from="2999-01-01") == []
    assert len(take(staff, created_at_from=today, created_at_to=today)) == len(take(staff)) == 4
    assert take(staff, created_at_to="2020-02-30") == take(staff, created_at_to="soon") == take(staff)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tTab", " =1+1", "＝1+1", '=HYPERLINK("http://x","y")'],
)
def test_no_cell_is_a_formula(staff: Client, alice: User, text: str) -> None:
    grant(alice, text)
    User.objects.filter(pk=alice.pk).update(username=text[:150])
    row = take(staff)[0]
    assert row["description"] == f"'{text}"
    assert row["customer"] == f"'{text}"


def test_numbers_stay_numbers(staff: Client, alice: User) -> None:
    submit(alice)
    assert take(staff)[0]["credits"] == "-2"


def test_who_took_the_ledger_is_written_down(staff: Client, stella: User, alice: User) -> None:
    take(staff, kind__exact="grant")
    act = StaffAct.objects.get()
    assert (act.actor, act.verb, act.outcome) == (stella, "export", {"filters": "kind__exact=grant"})


def test_the_export_needs_a_permission_of_its_own(client: Client, sam: User, alice: User) -> None:
    sam.user_permissions.set(Permission.objects.filter(codename="view_entry"))
    client.force_login(sam)
    assert "Export" not in client.get(reverse(LEDGER)).text
    assert client.get(reverse("admin:credits_entry_export")).status_code == 403
    sam.user_permissions.add(Permission.objects.get(codename="export_entries"))
    assert "Export what is shown" in client.get(reverse(LEDGER)).text
    assert len(take(client)) == 1


def test_an_account_leads_to_all_of_its_lines(staff: Client, alice: User, bob: User) -> None:
    page = staff.get(reverse("admin:credits_account_change", args=[alice.pk])).text
    assert f"{reverse(LEDGER)}?account__exact={alice.pk}" in page
    assert staff.get(reverse(LEDGER), {"account__exact": alice.pk}).context["cl"].result_count == 1


def set_price(client: Client, price: Price, **fields: Any) -> Any:
    values = {
        "operation_name": price.operation_name,
        "credits_cost": price.credits_cost,
        "api_cost_usd": price.api_cost_usd or "",
        "is_active": "on",
        **fields,
    }
    return client.post(reverse("admin:credits_price_change", args=[price.pk]), values)


def test_a_price_is_set_with_a_reason_and_its_history_stands_beside_it(staff: Client) -> None:
    price = Price.objects.get(operation_key="visual_cover", provider="", model="")
    was = price.credits_cost
    assert set_price(staff, price, credits_cost=9).status_code == 200  # no reason
    assert set_price(staff, price, credits_cost=9, reason="They charge <more>").status_code == 302
    price.refresh_from_db()
    assert price.credits_cost == 9
    assert StaffAct.objects.get().outcome == {"credits_cost": f"{was} → 9"}
    page = staff.get(reverse("admin:credits_price_change", args=[price.pk])).text
    assert f"credits cost {was} → 9" in page
    assert "They charge &lt;more&gt;" in page


def test_what_another_price_would_mean_is_worked_out(staff: Client, alice: User) -> None:
    price = Price.objects.get(operation_key="visual_cover", provider="", model="")
    Price.objects.filter(pk=price.pk).update(credits_cost=2)
    for _ in range(3):
        submit(alice, price=2)
    page = staff.get(reverse("admin:credits_price_change", args=[price.pk]), {"asked": "5"})
    effect = page.context["effect"]
    assert (effect.charges, effect.charged, effect.would_be, effect.difference) == (3, 6, 15, 9)
    assert "+9" in page.text
    price.refresh_from_db()
    assert price.credits_cost == 2


def test_a_price_that_nobody_paid_says_so(staff: Client) -> None:
    price = Price.objects.order_by("pk")[0]
    assert "nothing to compare" in staff.get(reverse("admin:credits_price_change", args=[price.pk])).text


def test_who_may_only_look_at_prices_sets_none(client: Client, sam: User) -> None:
    sam.user_permissions.set(Permission.objects.filter(codename="view_price"))
    client.force_login(sam)
    price = Price.objects.order_by("pk")[0]
    assert client.get(reverse("admin:credits_price_change", args=[price.pk])).status_code == 200
    assert set_price(client, price, credits_cost=1, reason="so").status_code == 403


def test_an_export_asks_once_for_each_page(staff: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 10)

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            take(staff)
        return len(queries)

    few = asked()
    for number in range(30):
        grant(alice, "present", number)
    assert asked() == few + 3


@pytest.mark.parametrize("text", NASTY)
def test_nothing_a_stranger_wrote_is_alive(staff: Client, alice: User, text: str) -> None:
    grant(alice, text)
    User.objects.filter(pk=alice.pk).update(username=text[:150])
    price = Price.objects.order_by("pk")[0]
    StaffAct.objects.create(
        actor=alice, verb="set-price", subject=f"price:{price.pk}", reason=text, outcome={"a": text}
    )
    account = Account.objects.get(owner=alice)
    for page in (
        reverse(LEDGER) + "?q=" + "x",
        reverse(LEDGER),
        reverse("admin:credits_account_change", args=[account.pk]),
        reverse("admin:credits_price_change", args=[price.pk]),
    ):
        assert live_nodes(staff.get(page).text) == []
