"""The console's pages about providers: what they tell, to whom, and what they cost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.models import User
from generation import engine
from generation.models import Attempt, Item, Outcome, Stage
from providers import registry
from providers.models import Lane
from tests.pages import NASTY, live_nodes, submit

pytestmark = pytest.mark.django_db

OVERVIEW = "admin:providers_lane_providers"


def address(alias: str) -> str:
    return reverse("admin:providers_lane_provider", args=[alias])


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


@pytest.fixture
def item(alice: User) -> Item:
    return submit(alice).items.get()


def calls(item: Item, *outcomes: str, took_s: float = 2.0, ago: timedelta = timedelta(), **facts: Any) -> None:
    """Calls that ended so, the last one now."""
    ended = timezone.now() - ago
    for outcome in outcomes:
        Attempt.objects.create(
            item=item,
            step=0,
            fence=1,
            stage=Stage.SETTLED,
            outcome=outcome,
            started_at=ended - timedelta(seconds=took_s),
            ended_at=ended,
            **{
                "lane": "provider_d",
                "provider": "provider_d",
                "model": "main",
                "operation": "text-to-image",
                "cost_usd": "0.05",
                **facts,
            },
        )


def queries(client: Client, page: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        assert client.get(page).status_code == 200
    return len(asked)


def test_who_can_do_what_is_on_one_page(staff: Client) -> None:
    page = staff.get(reverse(OVERVIEW))
    shown = [
        (one["operation"], one["alias"], one["method"], *pair)
        for one in page.context["offers"]
        for pair in one["prices"]
    ]
    assert shown == registry.table()
    for operation, _, method, model, price in shown:
        assert all(word in page.text for word in (operation, f"<code>{method}</code>", f"<code>{model}</code>", price))
    assert {vendor.alias for vendor in registry.VENDORS} == {one.alias for one in page.context["providers"]}


def test_success_counts_what_was_the_providers_to_make(staff: Client, item: Item) -> None:
    calls(item, *[Outcome.MADE] * 5, Outcome.FAILED, Outcome.LOST)
    calls(item, Outcome.FAILED, error_code="CONTENT_REJECTED", cost_usd=0)
    calls(item, Outcome.LIMITED, Outcome.LATE, cost_usd=0)
    calls(item, Outcome.MADE, operation="adopt", cost_usd=0)
    calls(item, Outcome.MADE, ago=timedelta(hours=25), cost_usd=0)
    calls(item, Outcome.MADE, took_s=8, operation="image-to-image")

    context = staff.get(address("provider_d")).context

    of = {one.name: one.figures for one in context["operations"]}
    drawn, edited, never = of["text-to-image"], of["image-to-image"], of["image-inpaint"]
    assert (drawn.calls, drawn.made, drawn.broke, drawn.others, drawn.limited) == (10, 5, 2, 1, 1)
    assert (drawn.success_percent, edited.success_percent, never.success_percent) == (71.4, 100.0, None)
    assert (drawn.p50_s, drawn.p95_s, edited.p50_s) == (pytest.approx(2), pytest.approx(2), pytest.approx(8))
    both = context["provider"].figures
    assert (both.calls, both.made, both.success_percent) == (11, 6, 75.0)


def test_spend_is_of_today(staff: Client, item: Item) -> None:
    calls(item, Outcome.MADE, Outcome.MADE)
    calls(item, Outcome.MADE, ago=timedelta(days=1, hours=1))
    assert "$0.10<" in staff.get(address("provider_d")).text


def test_the_last_fifty_calls_are_shown_newest_first_with_those_in_flight(staff: Client, item: Item) -> None:
    for minutes in range(60, 0, -1):
        calls(item, Outcome.MADE, ago=timedelta(minutes=minutes))
    calls(item, Outcome.FAILED, error_code="TIMEOUT", error_detail="they said no")
    Attempt.objects.filter(outcome=Outcome.FAILED).update(outcome="", ended_at=None, stage=Stage.SENT)
    page = staff.get(address("provider_d"))
    shown = page.context["calls"]
    assert len(shown) == 50
    assert shown[0].ended_at is None
    assert [call.started_at for call in shown] == sorted((call.started_at for call in shown), reverse=True)
    assert "in flight" in page.text


def test_a_provider_shows_its_lanes_and_the_verbs_that_fit(staff: Client) -> None:
    engine.pause("provider_c_refine", actor="stella", reason="too dear")
    reason = "10 of 20 calls failed within a minute"
    now = timezone.now()
    Lane.objects.filter(name="provider_c").update(breaker="open", breaker_reason=reason, opened_at=now)
    page = staff.get(address("provider_c"))
    main, refine = page.context["provider"].lanes
    assert [verb.name for verb in main.verbs] == ["pause", "probe", "cap"]
    assert [verb.name for verb in refine.verbs] == ["resume", "cap"]
    assert f"{reason}; next probe now" in page.text
    assert "too dear – stella" in page.text


def test_two_aliases_of_one_account_share_the_lane_and_count_apart(staff: Client, item: Item) -> None:
    calls(item, Outcome.MADE, lane="provider_e", provider="provider_f")
    for alias, count in (("provider_e", 0), ("provider_f", 1)):
        context = staff.get(address(alias)).context
        assert [lane.name for lane in context["provider"].lanes] == ["provider_e"]
        assert len(context["calls"]) == context["provider"].figures.calls == count


def test_a_verb_leads_back_to_the_provider(staff: Client) -> None:
    here = address("provider_d")
    form = staff.get(
        reverse("admin:providers_lane_verb", args=["pause"]), {"row": "provider_d"}, headers={"referer": here}
    )
    values = {"row": "provider_d", "reason": "r", "form_key": form.context["form"].initial["form_key"], "next": here}
    response = staff.post(reverse("admin:providers_lane_verb", args=["pause"]), values)
    assert response["Location"] == here


def test_the_pages_cost_the_same_for_few_calls_and_many(staff: Client, item: Item) -> None:
    pages = [reverse(OVERVIEW), address("provider_d"), address("provider_c")]
    names = ("provider_c", "provider_d", "provider_g")
    for alias in names:
        calls(item, Outcome.MADE, lane=alias, provider=alias)
    few = [queries(staff, page) for page in pages]
    for alias in names:
        calls(item, *[Outcome.MADE] * 60, lane=alias, provider=alias)
    assert [queries(staff, page) for page in pages] == few
    assert max(few) <= 12


def test_real_names_need_a_permission(client: Client, sam: User, item: Item) -> None:
    calls(item, Outcome.FAILED, error_code="TIMEOUT", error_detail="HTTP 500 from api.openai.com")
    sam.user_permissions.set(Permission.objects.filter(codename="view_lane"))
    client.force_login(sam)
    pages = [reverse(OVERVIEW), address("provider_d")]
    real = [name for vendor in registry.VENDORS for name in vendor.names]
    for page in pages:
        said = client.get(page).text.lower()
        assert "provider_d" in said
        assert [name for name in real if name in said] == []
    assert client.get(address("provider_d")).context["provider"].lanes[0].verbs == []
    sam.user_permissions.add(Permission.objects.get(codename="see_provider_names"))
    assert "openai (provider_d)" in client.get(pages[0]).text
    assert "HTTP 500 from api.openai.com" in client.get(pages[1]).text


def test_nobody_else_comes_in(client: Client, sam: User, alice: User) -> None:
    client.force_login(sam)
    assert client.get(reverse(OVERVIEW)).status_code == 403
    assert client.get(address("provider_d")).status_code == 403
    client.force_login(alice)
    assert client.get(reverse(OVERVIEW)).status_code == 302


def test_an_unknown_provider_has_no_page(staff: Client) -> None:
    assert staff.get(address("openai")).status_code == 404


@pytest.mark.parametrize("text", NASTY)
def test_what_a_provider_wrote_is_dead_text(staff: Client, item: Item, text: str) -> None:
    calls(item, Outcome.FAILED, error_code="TIMEOUT", error_detail=text)
    engine.pause("provider_d", actor=text, reason=text)
    for page in (reverse(OVERVIEW), address("provider_d")):
        assert live_nodes(staff.get(page).text) == [], page
