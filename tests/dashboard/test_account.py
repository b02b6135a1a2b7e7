"""The pages about the account: credits and receipts, and the API page with tokens and worked clients."""

from __future__ import annotations

import csv
import io
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as project
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from config.api import personal
from config.models import PersonalToken, User
from credits import ledger
from credits.models import Account
from generation import engine
from generation.dashboard import clients, purse
from generation.engine import staff
from generation.models import Item
from tests.pages import NASTY, finish, live_nodes, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def page(client: Client, name: str, *args: Any, status: int = 200, **query: str) -> str:
    answer = client.get(reverse(name, args=args), query)
    assert answer.status_code == status, name
    return answer.text


def grant(user: User, description: str, number: int = 0) -> None:
    with transaction.atomic():
        ledger.grant(user.pk, 1, reference=f"test:{description}:{number}", description=description)


# --- Credits --------------------------------------------------------------------------------------


def test_the_history_shows_a_kind_of_line_and_leads_to_receipts(browser: Client, alice: User) -> None:
    request = submit(alice)
    engine.cancel(request.pk, actor="alice")

    shown = page(browser, "app-credits", kind="refund")
    assert "Given back" in shown
    assert shown.count('<td class="amount plus">') == 1
    assert f'href="{reverse("app-receipt", args=[request.pk])}"' in shown
    assert "Credits to begin with" not in shown
    assert "Credits to begin with" in page(browser, "app-credits", kind="grant")
    assert "Nothing of that kind" in page(browser, "app-credits", kind="purchase")
    assert "Credits to begin with" in page(browser, "app-credits", kind="nonsense", days="-1", before="²")


def test_a_line_that_is_about_something_else_leads_nowhere(browser: Client, alice: User) -> None:
    with transaction.atomic():
        ledger.grant(alice.pk, 1, reference="test:odd", description="Odd", metadata={"request_id": "job/17"})
    assert re.search(r'<td class="words">Odd ', page(browser, "app-credits"))


def test_the_history_goes_back_a_page_at_a_time_and_keeps_its_filter(browser: Client, alice: User) -> None:
    for number in range(60):
        grant(alice, f"Line <{number}>", number)
    seen, address = [], reverse("app-credits") + "?kind=grant&days=7"
    while address:
        answer = browser.get(address, headers={"HX-Request": "true"})
        assert "<html" not in answer.text
        seen += re.findall(r"Line &lt;(\d+)&gt;", answer.text)
        older = re.search(r'hx-get="([^"]+)"', answer.text)
        address = older[1].replace("&amp;", "&") if older else ""
        assert not address or "kind=grant" in address
    assert seen == [str(number) for number in reversed(range(60))]


def test_old_lines_are_left_out_when_the_time_is_short(browser: Client, alice: User) -> None:
    grant(alice, "Long ago")
    with connection.cursor() as cursor:  # the ledger itself would not allow it
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE credits_entry SET created_at = now() - interval '8 days' WHERE description = 'Long ago'")
    assert "Long ago" not in page(browser, "app-credits", days="7")
    assert "Long ago" in page(browser, "app-credits", days="30")


def test_the_unlimited_tier_shows_what_is_left_today(browser: Client, alice: User) -> None:
    assert "left today" not in page(browser, "app-credits")
    Account.objects.filter(owner=alice).update(unlimited_active=True, unlimited_daily_quota=100)
    with transaction.atomic():
        assert ledger.take_quota(alice.pk, 30, timezone.now().date())
    assert "70 of 100" in page(browser, "app-credits")
    Account.objects.filter(owner=alice).update(unlimited_expires_at=timezone.now() - timedelta(days=1))
    assert "left today" not in page(browser, "app-credits")


def test_the_table_is_ones_own_lines_and_runs_nothing(browser: Client, alice: User, bob: User) -> None:
    grant(bob, "Bob's")
    grant(alice, "=HYPERLINK(1)")
    with transaction.atomic():
        ledger.adjust(alice.pk, -1, reference="test:adjust", description="Put right", actor="stella")
    answer = browser.get(reverse("app-credits-file"))
    assert answer["Content-Type"].startswith("text/csv")
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["description"] for row in rows] == ["Put right", "'=HYPERLINK(1)", "Credits to begin with"]
    assert [row["credits"] for row in rows] == ["-1", "1", "100"]
    assert "stella" not in text
    only = b"".join(browser.get(reverse("app-credits-file"), {"kind": "adjust"}).streaming_content).decode()  # type: ignore[attr-defined]
    assert only.count("\n") == 2


# --- Receipts -------------------------------------------------------------------------------------


def test_a_receipt_adds_up_item_by_item_and_line_by_line(browser: Client, alice: User) -> None:
    request = finish(submit(alice, 3, price=4))
    first = Item.objects.filter(request=request).order_by("index")[0]
    staff.refund(first.pk, 3, reason="A scratch", actor="stella", form_key=str(uuid.uuid4()))

    shown = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page(browser, "app-receipt", request.pk)))
    assert f"{first.public_id} 4 3 1" in shown
    assert "Total 12 3 9" in shown
    assert re.search(r"A scratch Given back [\w ,:]+ \+3 ", shown)
    assert "stella" not in shown


def test_a_receipt_says_that_the_quota_paid(browser: Client, alice: User) -> None:
    request = finish(submit(alice))
    Item.objects.filter(request=request).update(quota_day=timezone.now().date())
    assert "paid by your quota of" in page(browser, "app-receipt", request.pk)


def test_a_receipt_outlives_the_results(browser: Client, alice: User) -> None:
    request = finish(submit(alice))
    type(request).objects.filter(pk=request.pk).update(erased_at=timezone.now())
    shown = page(browser, "app-receipt", request.pk)
    assert "its results were removed" in shown
    assert "Open the request" not in shown


def test_somebody_elses_receipt_is_as_missing_as_none(browser: Client, bob: User) -> None:
    page(browser, "app-receipt", submit(bob).pk, status=404)
    page(browser, "app-receipt", uuid.uuid4(), status=404)


@pytest.mark.parametrize("name", ["app-credits", "app-receipt", "app-api"])
def test_pages_ask_no_more_with_more_rows(browser: Client, alice: User, name: str) -> None:
    def asked(items: int) -> int:
        request = finish(submit(alice, items))
        args = [request.pk] if name == "app-receipt" else []
        with CaptureQueriesContext(connection) as queries:
            page(browser, name, *args)
        return len(queries)

    page(browser, name, *([submit(alice).pk] if name == "app-receipt" else []))
    few = asked(1)
    for number in range(5):
        personal.make(alice, f"{number}")
        grant(alice, "more", number)
    assert asked(12) == few


# --- The API page ---------------------------------------------------------------------------------


def make(client: Client, **form: str) -> Any:
    return client.post(reverse("app-token-make"), {"name": "nightly", "ends": "90", **form})


def test_a_token_is_shown_once_and_works(browser: Client, alice: User) -> None:
    answer = make(browser)
    raw = re.search(r"atl_[\w-]{43}", answer.text)
    assert raw
    assert "no-store" in answer["Cache-Control"]
    assert (
        APIClient().get("/api/credits/balance", headers={"Authorization": f"Bearer {raw[0]}"}).json()["balance"] == 100
    )

    shown = page(browser, "app-api")
    assert raw[0] not in shown
    assert f"…{raw[0][-4:]}" in shown
    token = PersonalToken.objects.get(owner=alice)
    assert token.expires_at is not None
    assert timedelta(days=89) < token.expires_at - timezone.now() <= timedelta(days=90)


def test_a_token_may_be_made_without_an_end(browser: Client, alice: User) -> None:
    make(browser, ends="")
    assert PersonalToken.objects.get(owner=alice).expires_at is None


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"name": " "}, "Give it a name"),
        ({"name": "x" * 61}, "at most 60"),
        ({"ends": "7000"}, "not one of the available"),
    ],
)
def test_a_fault_is_told_at_its_field(browser: Client, form: dict[str, str], fault: str) -> None:
    answer = make(browser, **form)
    assert answer.status_code == 422
    assert fault in answer.text
    assert not PersonalToken.objects.exists()


def test_one_too_many_is_refused_with_a_way_out(browser: Client, alice: User) -> None:
    for number in range(personal.MOST):
        personal.make(alice, f"{number}")
    answer = make(browser)
    assert answer.status_code == 422
    assert "revoke one first" in answer.text


def test_a_revoked_token_is_gone_and_somebody_elses_stays(browser: Client, alice: User, bob: User) -> None:
    mine, raw = personal.make(alice, "laptop")
    theirs, _ = personal.make(bob, "laptop")
    assert browser.get(reverse("app-token-revoke", args=[mine.pk])).status_code == 405
    assert browser.post(reverse("app-token-revoke", args=[theirs.pk])).status_code == 404
    assert browser.post(reverse("app-token-revoke", args=[mine.pk]))["Location"] == reverse("app-api")
    assert APIClient().get("/api/credits/balance", headers={"Authorization": f"Bearer {raw}"}).status_code == 401
    shown = page(browser, "app-api")
    assert "No tokens yet" in shown
    assert "is revoked" in shown
    assert personal.of(bob.pk).count() == 1
    browser.post(reverse("app-token-revoke", args=[mine.pk]))
    assert "had been revoked already" in page(browser, "app-api")


def test_examples_are_the_files_that_are_tested_with_this_desk_in_them(browser: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["desk.example.com", "testserver"]
    answer = browser.get(reverse("app-api"), headers={"Host": "desk.example.com"})
    assert answer.status_code == 200
    assert answer.text.count("http://desk.example.com&quot;") == 4  # the default of each Python client
    assert clients.DEFAULT not in answer.text
    assert f'href="{reverse("docs")}"' in answer.text

    settings.PUBLIC_URL = "https://pictures.example.com"
    saved = browser.get(reverse("app-client", args=["visuals.sh"]), headers={"Host": "desk.example.com"})
    assert saved["Content-Disposition"] == 'attachment; filename="visuals.sh"'
    text = saved.text
    assert "DESK=${DESK:-https://pictures.example.com}" in text
    page(browser, "app-client", "README.md", status=404)


def test_there_is_an_example_for_each_door(settings: Any) -> None:
    assert set(clients.DOORS) == set(project.DOORS)
    assert clients.DEFAULT in clients._text("visuals.py", clients.DEFAULT)


def test_what_strangers_write_stays_text(browser: Client, alice: User) -> None:
    for number, text in enumerate(NASTY):
        personal.make(alice, text[:60])
        grant(alice, text, number)
        request = finish(submit(alice, prompt=text))
        type(request).objects.filter(pk=request.pk).update(description=text, group=text)
        assert live_nodes(page(browser, "app-receipt", request.pk)) == []
    assert live_nodes(page(browser, "app-credits")) == []
    assert live_nodes(page(browser, "app-api")) == []
    assert live_nodes(make(browser, name=NASTY[0][:60]).text) == []


@pytest.mark.parametrize(
    ("description", "plain"),
    [
        ("Visual generation: coloring-page", "Visual generation: Colouring page"),
        ("Visual generation: batch of 4", "Visual generation: batch of 4"),
        ("Generation: remove-background", "Generation: Remove the background"),
        ("Refund: visual_character_reference failed", "Refund: Character sheet failed"),
        ("Refund: text_to_image_core cancelled", "Refund: Text to image core cancelled"),
        ("Refund: sent to batch_1_a twice", "Refund: sent to batch_1_a twice"),
        ("Story images: coloring-page", "Story images: coloring-page"),
    ],
)
def test_the_ledgers_own_keys_are_spoken_as_people_do(description: str, plain: str) -> None:
    assert purse.plainly(description) == plain
