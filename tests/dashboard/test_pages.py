"""The customer's pages: what they show, to whom, at what cost, and that nothing in them runs that a stranger wrote."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.models import User
from credits import ledger
from credits.models import Account, Price
from generation import engine
from generation.models import Asset, AssetKind, Item, ItemStatus, Request
from providers.models import Lane
from tests.db import race
from tests.pages import NASTY, finish, live_nodes, submit

pytestmark = pytest.mark.django_db

PAGES = ("app-home", "app-make", "app-make-visual", "app-make-visuals", "app-work", "app-gallery", "app-credits")
PROMPT = "A lighthouse on a cliff at dawn"


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def form(**values: str) -> dict[str, str]:
    return {"type": "cover", "prompt": PROMPT, "form_key": str(uuid.uuid4()), **values}


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200, address
    return len(asked)


# --- Coming in and going out ----------------------------------------------------------------------


def test_sign_in_leads_to_where_one_wanted_to_go(client: Client, alice: User) -> None:
    asked = client.get(reverse("app-gallery"))
    assert asked["Location"] == "/app/login?next=/app/gallery"
    response = client.post(asked["Location"], {"username": "alice", "password": "alice", "next": "/app/gallery"})
    assert response["Location"] == "/app/gallery"


def test_a_wrong_password_is_told_at_the_form(client: Client, alice: User) -> None:
    response = client.post(reverse("app-login"), {"username": "alice", "password": "no"})
    assert response.status_code == 422
    assert "do not belong together" in response.text


def test_guessing_is_stopped_and_says_for_how_long(client: Client, alice: User, settings: Any) -> None:
    settings.LOGIN_LIMIT = 2
    somewhere = {"REMOTE_ADDR": f"203.0.113.{uuid.uuid4().int % 250}"}
    wrong = {"username": "alice", "password": uuid.uuid4().hex}
    for _ in range(2):
        assert client.post(reverse("app-login"), wrong, **somewhere).status_code == 422
    response = client.post(reverse("app-login"), wrong, **somewhere)
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert "Too many failed sign-ins from here" in response.text


def test_sign_out_is_a_post(browser: Client) -> None:
    assert browser.get(reverse("app-logout")).status_code == 405
    assert browser.post(reverse("app-logout"))["Location"] == "/app/login"
    assert browser.get(reverse("app-home")).status_code == 302


@pytest.mark.parametrize("name", PAGES)
def test_every_page_asks_to_sign_in_first(client: Client, db: None, name: str) -> None:
    assert client.get(reverse(name))["Location"].startswith("/app/login?next=")


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_page_says_what_to_do_next(browser: Client, name: str) -> None:
    page = browser.get(reverse(name))
    assert page.status_code == 200
    assert reverse("app-make") in page.text


def test_whoever_has_no_credits_is_told_where_they_come_from(browser: Client, settings: Any) -> None:
    assert "You have no credits" not in browser.get(reverse("app-home")).text
    settings.SIGNUP_GRANT_CREDITS = 0
    browser.force_login(User.objects.create_user("nils"))
    assert "Whoever runs this desk can give you some." in browser.get(reverse("app-home")).text
    total = browser.post(reverse("app-make-visual-sum"), form()).text
    assert "1 credit too few. Whoever runs this desk can give you more." in total


def test_a_form_that_is_too_old_says_what_to_do(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    answer = strict.post(reverse("app-make-visual"), form())
    assert answer.status_code == 403
    assert "Nothing was ordered or changed." in answer.text
    assert not Request.objects.exists()


def test_a_fault_of_ours_is_a_page_of_ours(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("generation.dashboard.shelf.running", break_down)
    browser.raise_request_exception = False
    answer = browser.get(reverse("app-home"))
    assert answer.status_code == 500
    assert "Something went wrong here, not with you." in answer.text
    assert "app.css" in answer.text


# --- Asking ---------------------------------------------------------------------------------------


def test_the_price_is_shown_before_sending(browser: Client) -> None:
    Price.objects.filter(operation_key="visual_cover").update(credits_cost=7)
    Price.objects.filter(operation_key="visual_background").update(is_active=False)
    page = browser.get(reverse("app-make-visual")).text
    assert "7 credits" in page
    assert re.search(r"You have</dt>\s*<dd[^>]*>100<", page)
    assert re.search(r'value="background"\s+disabled', page)


def test_sending_the_form_makes_a_request_and_leads_to_its_page(browser: Client, alice: User) -> None:
    response = browser.post(reverse("app-make-visual"), form(style="cute", ratio="portrait", priority="high"))
    item = Item.objects.get()
    assert response["Location"] == reverse("app-request", args=[item.request_id])
    assert (item.prompt, item.priority, item.params["type"]) == (PROMPT, "high", "cover")
    assert item.params["metadata"] == {"imageStyle": "cute", "aspectRatio": "portrait"}
    assert ledger.balance(alice.pk) == 99


def test_a_double_click_makes_one_request(browser: Client, alice: User) -> None:
    values = form()
    first, second = (browser.post(reverse("app-make-visual"), values)["Location"] for _ in range(2))
    assert first == second
    assert Request.objects.count() == 1
    assert ledger.balance(alice.pk) == 99


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_the_same_moment_lead_to_the_same_page(alice: User) -> None:
    one, two = Client(), Client()
    one.force_login(alice)
    two.force_login(alice)
    values = form()
    answers = race(
        lambda: one.post(reverse("app-make-visual"), values), lambda: two.post(reverse("app-make-visual"), values)
    )
    assert [answer.status_code for answer in answers] == [302, 302]
    assert len({answer["Location"] for answer in answers}) == 1
    assert Request.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"prompt": "short"}, "Must be 10 to 1000 characters long."),
        ({"prompt": ""}, "Must not be empty."),
        ({"type": "poem"}, "Must be one of: coloring-page"),
        ({"type": ""}, "This field is required."),
        ({"style": "x" * 101}, "Must be at most 100 characters long."),
        ({"ratio": "round"}, "Must be one of: square"),
        ({"priority": "now"}, "Must be one of: low"),
    ],
)
def test_faults_stand_at_their_field_as_the_api_says_them(browser: Client, values: dict[str, str], text: str) -> None:
    response = browser.post(reverse("app-make-visual"), form(**values))
    assert response.status_code == 422
    (field,) = values
    assert any(text in fault for fault in response.context["form"].errors[field])
    assert text in response.text
    assert not Request.objects.exists()


def test_without_credits_nothing_is_stored_and_the_form_can_be_sent_again(browser: Client, alice: User) -> None:
    Price.objects.filter(operation_key="visual_cover").update(credits_cost=101)
    values = form()
    response = browser.post(reverse("app-make-visual"), values)
    assert response.status_code == 422
    assert "this request needs 101, the account has 100" in response.text
    assert PROMPT in response.text
    key = re.search(r'name="form_key" value="([^"]+)"', response.text)
    assert key
    assert key[1] != values["form_key"]
    Price.objects.filter(operation_key="visual_cover").update(credits_cost=1)
    assert browser.post(reverse("app-make-visual"), {**values, "form_key": key[1]}).status_code == 302


LINES = "A lighthouse at sunrise\r\n\r\n  The same one in a storm  \r\nThe keeper's room, a lamp"


def many(**values: str) -> dict[str, str]:
    return {"type": "cover", "prompts": LINES, "form_key": str(uuid.uuid4()), **values}


def test_many_at_once_are_asked_for_as_by_the_api(browser: Client, alice: User) -> None:
    values = many(style="cute", ratio="wide", priority="high", project="Book 1", together="2")
    first, second = (browser.post(reverse("app-make-visuals"), values)["Location"] for _ in range(2))
    request = Request.objects.get()
    assert first == second == reverse("app-request", args=[request.pk])
    made = list(request.items.order_by("index"))
    assert [item.prompt for item in made] == [line.strip() for line in LINES.splitlines() if line]
    assert {(item.priority, item.params["type"], item.params["projectId"]) for item in made} == {
        ("high", "cover", "Book 1")
    }
    assert all(item.params["metadata"] == {"imageStyle": "cute", "aspectRatio": "wide"} for item in made)
    assert (request.max_open_bundles, ledger.balance(alice.pk)) == (2, 97)


def test_many_at_once_say_their_price_while_one_writes(browser: Client) -> None:
    total = browser.post(reverse("app-make-visuals-sum"), many()).text
    assert "3 credits" in total
    assert "1 × 3" in total
    assert "0 credits" in browser.get(reverse("app-make-visuals")).text


@pytest.mark.parametrize(
    ("values", "field", "text"),
    [
        ({"prompts": "A lighthouse at sunrise\nshort\n\nshorter"}, "prompts", "Lines 2, 4: Must be 10 to 1000"),
        ({"prompts": " \n"}, "prompts", "Write a line for each picture."),
        ({"prompts": "A lighthouse at sunrise\n" * 101}, "prompts", "These are 101 lines; 100 are the most at once."),
        ({"type": "poem"}, "type", "Must be one of: coloring-page"),
        ({"together": "101"}, "together", "100"),
    ],
    ids=["short lines", "no lines", "too many lines", "no such kind", "too many at a time"],
)
def test_of_many_each_fault_is_told_once_at_its_field(
    browser: Client, values: dict[str, str], field: str, text: str
) -> None:
    response = browser.post(reverse("app-make-visuals"), many(**values))
    assert response.status_code == 422
    (fault,) = response.context["form"].errors.pop(field)
    assert text in fault
    assert text in response.text
    assert "Not sent yet: 1 place below needs another look." in response.text
    assert not response.context["form"].errors
    assert not Request.objects.exists()


def test_a_batch_fills_the_form_of_many_and_one_of_it_the_form_of_one(browser: Client) -> None:
    browser.post(reverse("app-make-visuals"), many(together="2"))
    request = Request.objects.get()
    again = browser.get(reverse("app-make"), {"like": request.pk}, follow=True)
    assert again.context["form"]["prompts"].value() == "\n".join(line.strip() for line in LINES.splitlines() if line)
    assert again.context["form"]["together"].value() == 2
    finish(request)
    assert "only=failed" not in browser.get(reverse("app-request", args=[request.pk])).text
    last = request.items.order_by("index").last()
    assert last
    picture = browser.get(reverse("app-picture", args=[last.assets.get(kind="image").pk]))
    one = browser.get(picture.context["again"])
    assert one.context["form"]["prompt"].value() == last.prompt

    Item.objects.filter(pk=last.pk).update(status=ItemStatus.FAILED, kept=1)
    failed = browser.get(reverse("app-request", args=[request.pk])).context["sheet"].again_failed
    assert browser.get(failed).context["form"]["prompts"].value() == last.prompt


def test_the_doors_rate_limit_counts_the_form_too(browser: Client, settings: Any) -> None:
    settings.VISUAL_RATE_LIMIT = 1
    assert browser.post(reverse("app-make-visual"), form()).status_code == 302
    response = browser.post(reverse("app-make-visual"), form())
    assert response.status_code == 422
    assert "That was a lot in a short time" in response.text


def test_another_like_this_begins_with_its_values(browser: Client) -> None:
    browser.post(reverse("app-make-visual"), form(style="whimsical", ratio="wide"))
    page = browser.get(reverse("app-make"), {"like": Request.objects.get().pk}, follow=True).text
    assert PROMPT in page
    assert 'value="whimsical"' in page
    assert re.search(r'value="wide" checked', page)


# --- Watching -------------------------------------------------------------------------------------


def test_the_request_page_reads_right_without_javascript(browser: Client, alice: User) -> None:
    request = submit(alice)
    Item.objects.update(status=ItemStatus.RUNNING, progress=40)
    page = browser.get(reverse("app-request", args=[request.pk])).text
    assert re.search(r'<progress max="100" value="40"', page)
    assert "being made" in page
    finish(request)
    page = browser.get(reverse("app-request", args=[request.pk])).text
    assert "<progress" not in page
    assert "/files/images/" in page
    assert "Download" in page


def test_a_failure_says_why_and_what_to_do(browser: Client, alice: User) -> None:
    request = submit(alice)
    Item.objects.update(status=ItemStatus.FAILED, kept=2, error_code="CONTENT_REJECTED", error_message="Refused.")
    page = browser.get(reverse("app-request", args=[request.pk])).text
    assert "Refused." in page
    assert "Say it in other words" in page


def test_htmx_gets_the_fragment_that_the_page_is_made_of(browser: Client, alice: User) -> None:
    request = submit(alice)
    address = reverse("app-request", args=[request.pk])
    fragment = browser.get(address, headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert f'data-item="{request.items.get().public_id}"' in fragment
    row = browser.get(address + "?as=row", headers={"HX-Request": "true"}).text
    assert row.lstrip().startswith("<li")


@pytest.mark.parametrize("name", ["app-home", "app-work", "app-stories", "app-poses"])
def test_a_list_comes_as_a_part_to_be_put_in_anew(browser: Client, alice: User, name: str) -> None:
    submit(alice)
    address = reverse(name)
    assert f'data-fragment="{address}"' in browser.get(address).text
    part = browser.get(address, headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert part.strip()


def test_cancel_gives_the_credits_back_and_says_so(browser: Client, alice: User) -> None:
    request = submit(alice)
    response = browser.post(reverse("app-cancel", args=[request.pk]), follow=True)
    assert "Cancelled. 2 credits came back to you." in response.text
    assert ledger.balance(alice.pk) == 100
    assert "It had already ended." in browser.post(reverse("app-cancel", args=[request.pk]), follow=True).text


def test_bob_cannot_see_alices_things(client: Client, alice: User, bob: User) -> None:
    request = finish(submit(alice))
    asset = Asset.objects.filter(kind=AssetKind.IMAGE).get()
    client.force_login(bob)
    assert client.get(reverse("app-request", args=[request.pk])).status_code == 404
    assert client.post(reverse("app-cancel", args=[request.pk])).status_code == 404
    assert client.get(reverse("app-picture", args=[asset.pk])).status_code == 404
    assert client.get(reverse("app-download", args=[asset.pk])).status_code == 404
    assert PROMPT not in client.get(reverse("app-make-visual"), {"like": request.pk}).text
    assert str(request.pk) not in client.get(reverse("app-work")).text + client.get(reverse("app-home")).text


# --- Collecting -----------------------------------------------------------------------------------


def test_the_gallery_goes_page_by_page_and_misses_none(browser: Client, make_customer: Any, alice: User) -> None:
    for _ in range(3):
        finish(submit(alice, 10, price=1))
    seen: list[str] = []
    address = reverse("app-gallery")
    while address:
        page = browser.get(address).text
        seen += re.findall(r'class="tile" href="/app/pictures/([0-9a-f-]+)"', page)
        older = re.search(r'href="(\?before=[^"]+)"', page)
        address = reverse("app-gallery") + older[1] if older else ""
    assert len(seen) == len(set(seen)) == 30


def test_a_picture_can_be_downloaded_under_a_name_that_says_what_it_is(browser: Client, alice: User) -> None:
    finish(submit(alice))
    asset = Asset.objects.filter(kind=AssetKind.IMAGE).get()
    response = browser.get(reverse("app-download", args=[asset.pk]))
    assert b"".join(response.streaming_content).startswith(b"\x89PNG")
    assert re.search(r'attachment; filename="atelier-\d{8}-\d{6}\.png"', response["Content-Disposition"])


def test_the_history_shows_each_line_and_its_reason(browser: Client, alice: User) -> None:
    item = submit(alice).items.get()
    engine.refund(item.pk, 1, reason="the colours were off", actor="stella", form_key="one")
    page = browser.get(reverse("app-credits")).text
    assert "Refund: the colours were off" in page
    assert "+1" in page
    assert "stella" not in page


def test_no_customers_page_names_a_vendor(browser: Client, alice: User) -> None:
    request = finish(submit(alice))
    asset = Asset.objects.filter(kind=AssetKind.IMAGE).get()
    pages = [reverse(name) for name in PAGES]
    pages += [reverse("app-request", args=[request.pk]), reverse("app-picture", args=[asset.pk])]
    for address in pages:
        assert "openai" not in browser.get(address).text.lower()


# --- Cost and safety ------------------------------------------------------------------------------


def test_every_page_costs_the_same_for_few_rows_and_many(browser: Client, alice: User) -> None:
    addresses = [reverse(name) for name in PAGES]
    for _ in range(3):
        finish(submit(alice, price=1))
        submit(alice, price=1)
    few = {address: queries(browser, address) for address in addresses}
    for _ in range(27):
        finish(submit(alice, price=1))
        submit(alice, price=1)
    assert {address: queries(browser, address) for address in addresses} == few
    assert max(few.values()) <= 10


@pytest.mark.parametrize("text", NASTY)
def test_nothing_a_stranger_wrote_is_alive(browser: Client, alice: User, text: str) -> None:
    request = finish(submit(alice, prompt=text))
    failed = submit(alice, prompt=text)
    failed.items.update(status=ItemStatus.FAILED, kept=2, error_message=text, params={"type": text})
    engine.refund(request.items.get().pk, 1, reason=text, actor=text, form_key="one")
    asset = Asset.objects.filter(kind=AssetKind.IMAGE).get()
    User.objects.filter(pk=alice.pk).update(first_name=text[:150])
    pages = [reverse(name) for name in PAGES]
    pages += [reverse("app-request", args=[one.pk]) for one in (request, failed)]
    pages += [reverse("app-picture", args=[asset.pk]), reverse("app-make-visual") + f"?like={failed.pk}"]
    for address in pages:
        assert live_nodes(browser.get(address).text) == [], address
    refused = browser.post(reverse("app-make-visual"), form(type=text, prompt=text * 200, style=text, ratio=text))
    assert live_nodes(refused.text) == []


@pytest.mark.parametrize("name", PAGES)
def test_pages_hold_no_inline_script_or_style_and_send_a_strict_policy(browser: Client, alice: User, name: str) -> None:
    finish(submit(alice))
    page = browser.get(reverse(name))
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page.text)
    assert "default-src 'self'" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]


def test_an_account_is_opened_at_the_first_visit(client: Client, settings: Any) -> None:
    settings.SIGNUP_GRANT_CREDITS = 30
    client.force_login(User.objects.create_user("new", password="new"))
    assert "30 credits" in client.get(reverse("app-home")).text
    assert Account.objects.get().balance == 30


def test_with_every_lane_closed_the_form_still_takes_the_wish(browser: Client) -> None:
    Lane.objects.update(paused=True)
    assert browser.post(reverse("app-make-visual"), form()).status_code == 302
