"""What was made, found again: by kind, by day, by task; and a request's page with its places, ways out and receipt."""

from __future__ import annotations

import re
import uuid
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
from generation.dashboard.sheets import WAY_OUT
from generation.models import Asset, AssetKind, ItemStatus, PoseProject, Request
from tests.pages import NASTY, finish, live_nodes, submit

pytestmark = pytest.mark.django_db

TILE = re.compile(r'class="tile" href="/app/pictures/([0-9a-f-]+)')


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def made(owner: User, door: str = "visuals", prompt: str = "a boat", task: str = "", kind: str = "image") -> Asset:
    """A finished result of a door."""
    request = finish(submit(owner, prompt=prompt, price=1))
    Request.objects.filter(pk=request.pk).update(door=door, group=task)
    params = {"operation": "text-to-model", "provider": "provider_c", "parameters": {"style": prompt}, "task_id": task}
    request.items.update(door=door, **({"params": params} if door == "makeit3d" else {}))
    request.assets.filter(kind=AssetKind.IMAGE).update(kind=kind)
    return request.assets.get(kind=kind)


def shown(client: Client, **query: str) -> list[str]:
    page = client.get(reverse("app-gallery"), query)
    assert page.status_code == 200
    return TILE.findall(page.text)


def test_each_kind_is_found_by_itself(browser: Client, alice: User) -> None:
    picture, change = made(alice), made(alice, "makeit3d")
    model = made(alice, "makeit3d", kind="model")
    story, pose = made(alice, "stories"), made(alice, "poses")
    newest_first = [str(one.pk) for one in (pose, story, model, change, picture)]
    assert shown(browser) == newest_first
    assert shown(browser, kind="pictures") == [str(change.pk), str(picture.pk)]
    assert shown(browser, kind="models") == [str(model.pk)]
    assert shown(browser, kind="stories") == [str(story.pk)]
    assert shown(browser, kind="poses") == [str(pose.pk)]
    assert shown(browser, kind="unheard-of") == newest_first


def test_days_are_whole_and_both_included(browser: Client, alice: User) -> None:
    old, new = made(alice), made(alice)
    noon = timezone.now().replace(hour=12)
    Asset.objects.filter(pk=old.pk).update(created_at=noon - timedelta(days=9))
    Asset.objects.filter(pk=new.pk).update(created_at=noon)
    day, before = f"{noon:%Y-%m-%d}", f"{noon - timedelta(days=9):%Y-%m-%d}"
    assert shown(browser, since=day, until=day) == [str(new.pk)]
    assert shown(browser, since=before, until=before) == [str(old.pk)]
    assert shown(browser, since="yesterday") == [str(new.pk), str(old.pk)]


def test_a_task_is_found_by_its_name_and_only_those_that_were_given_are_offered(browser: Client, alice: User) -> None:
    project = PoseProject.objects.create(owner=alice, name="Spring <b>", avatar_source="UPLOAD")
    one = made(alice, "makeit3d", task="kitchen")
    made(alice, "makeit3d", task="text-to-image-1790000000-0a1b2c3d")
    pose = made(alice, "poses", task=str(project.pk))
    page = browser.get(reverse("app-gallery"))
    assert [name for _, name in page.context["tasks"]] == ["Spring <b>", "kitchen"]
    assert shown(browser, task="kitchen") == [str(one.pk)]
    assert shown(browser, task=str(project.pk)) == [str(pose.pk)]
    elsewhere = browser.get(reverse("app-gallery"), {"task": "long ago"}).text
    assert '<option value="long ago" selected>' in elsewhere
    assert "Nothing of that kind" in browser.get(reverse("app-gallery"), {"task": "nowhere\0"}).text


def test_the_filter_stays_page_by_page_and_from_picture_to_picture(browser: Client, alice: User) -> None:
    for _ in range(13):
        finish(submit(alice, 2, price=1))
    odd = made(alice, "poses")
    seen: list[str] = []
    address = reverse("app-gallery") + "?kind=pictures"
    while address:
        page = browser.get(address).text
        seen += TILE.findall(page)
        older = re.search(r'href="(\?kind=pictures&amp;before=[^"]+)"', page)
        address = reverse("app-gallery") + older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 26
    assert str(odd.pk) not in seen
    page = browser.get(reverse("app-picture", args=[seen[0]]) + "?kind=pictures").text
    assert str(odd.pk) not in page
    assert f"/app/pictures/{seen[1]}?kind=pictures" in page


def test_a_model_is_shown_to_be_turned_and_leads_on_to_its_refining(browser: Client, alice: User) -> None:
    model = made(alice, "makeit3d", kind="model")
    page = browser.get(reverse("app-picture", args=[model.pk])).text
    assert f'<model-view src="{reverse("app-download", args=[model.pk])}"' in page
    assert f"{reverse('app-make-operation', args=['refine-model'])}?use={model.pk}" in page


def test_bob_finds_nothing_of_alices(client: Client, alice: User, bob: User) -> None:
    asset = made(alice, "makeit3d", task="kitchen", kind="model")
    client.force_login(bob)
    assert shown(client) == shown(client, task="kitchen") == []
    assert "kitchen" not in client.get(reverse("app-gallery")).text
    assert client.get(reverse("app-picture", args=[asset.pk])).status_code == 404
    assert client.get(reverse("app-download", args=[asset.pk])).status_code == 404
    assert client.get(reverse("app-place", args=[asset.request_id])).status_code == 404


def test_what_its_owner_had_removed_is_gone_from_the_wall(browser: Client, alice: User) -> None:
    asset = made(alice, "poses")
    Request.objects.filter(pk=asset.request_id).update(erased_at=timezone.now())
    assert shown(browser) == []
    assert browser.get(reverse("app-picture", args=[asset.pk])).status_code == 404


def test_the_wall_costs_the_same_for_few_results_and_many(browser: Client, alice: User) -> None:
    def queries(**query: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert shown(browser, **query)
        return len(asked)

    made(alice, task="kitchen")
    few = queries(), queries(kind="pictures", task="kitchen")
    for _ in range(12):
        made(alice, task="kitchen")
    assert (queries(), queries(kind="pictures", task="kitchen")) == few
    assert max(few) <= 9


@pytest.mark.parametrize("text", NASTY)
def test_nothing_a_stranger_named_is_alive_on_the_wall(browser: Client, alice: User, text: str) -> None:
    model = made(alice, "makeit3d", prompt=text, task=text, kind="model")
    page = browser.get(reverse("app-gallery"), {"kind": text, "task": text, "since": text}).text
    assert live_nodes(page + browser.get(reverse("app-gallery")).text) == []
    assert live_nodes(browser.get(reverse("app-picture", args=[model.pk])).text) == []


# --- A request's page -----------------------------------------------------------------------------


def test_who_waits_sees_the_place_in_the_queue(browser: Client, alice: User, bob: User) -> None:
    first, second = submit(bob), submit(alice)
    number = second.items.get().public_id
    page = browser.get(reverse("app-request", args=[second.pk])).text
    assert "2nd in line" in page
    there = reverse("app-place", args=[second.pk])
    assert there in page
    first.items.update(status=ItemStatus.RUNNING)
    part = browser.get(there).text
    assert re.search(rf'id="place-{number}" hx-swap-oob="true">\s*Next in line', part)
    second.items.update(status=ItemStatus.RUNNING)
    assert browser.get(there).text.strip() == ""
    assert there not in browser.get(reverse("app-request", args=[second.pk])).text


def test_another_try_says_when_it_follows(browser: Client, alice: User) -> None:
    request = submit(alice)
    request.items.update(
        status=ItemStatus.HELD, hold_reason="retry", starts=1, run_after=timezone.now() + timedelta(seconds=90)
    )
    page = browser.get(reverse("app-request", args=[request.pk])).text
    assert "The 1st try did not work out; another follows" in page
    assert re.search(r"another follows <time[^>]*>in 1 min</time>, by itself", page)


@pytest.mark.parametrize("code", [*WAY_OUT, "SOMETHING_ELSE"])
def test_each_failure_says_what_to_do_and_leads_back_to_the_form(browser: Client, alice: User, code: str) -> None:
    request = submit(alice)
    item = request.items.get()
    request.items.update(status=ItemStatus.FAILED, kept=2, error_code=code, error_message="It did not work.")
    engine.refund(item.pk, 2, reason="failed", actor="desk", form_key=str(uuid.uuid4()))
    Request.objects.filter(pk=request.pk).update(status="FAILED", door="visuals")
    page = browser.get(reverse("app-request", args=[request.pk])).text
    assert "It did not work." in page
    assert WAY_OUT.get(code, "Send it again") in page
    assert "2 credits came back to you." in page
    again = re.search(r'href="([^"]+)">Edit and try again', page)
    assert again
    form: Any = browser.get(again[1]).context["form"]
    assert form["prompt"].value() == item.prompt
    assert re.search(r"Charged</dt><dd[^>]*>2<.*Given back</dt><dd[^>]*>−2<.*Paid</b></dt><dd[^>]*><b>0", page, re.S)


def test_what_was_chosen_stands_beside_all_results_once(browser: Client, alice: User) -> None:
    request = finish(submit(alice, 3, price=2))
    page = browser.get(reverse("app-request", args=[request.pk])).text
    assert page.count('class="result"') == 3
    assert page.count('class="prompt"') == 1
    assert "6 credits" in page


def test_the_balance_comes_along_with_what_changed_it(browser: Client, alice: User) -> None:
    request = submit(alice)
    part = browser.get(reverse("app-request", args=[request.pk]), headers={"HX-Request": "true"}).text
    assert re.search(r'id="purse"[^>]*hx-swap-oob="true">98 credits', part)
    assert "hx-swap-oob" not in browser.get(reverse("app-request", args=[request.pk])).text


@pytest.mark.parametrize(
    ("door", "params", "target"),
    [
        ("visuals", {}, "/app/make/visual?like="),
        ("makeit3d", {"operation": "upscale"}, "/app/make/upscale?like="),
        ("poses", {}, "/app/poses/new?like="),
        ("stories", {}, "/app/stories/new?like="),
    ],
)
def test_work_of_every_door_leads_back_to_its_own_form(
    browser: Client, alice: User, door: str, params: dict[str, Any], target: str
) -> None:
    request = submit(alice)
    Request.objects.filter(pk=request.pk).update(door=door, group="tale")
    request.items.update(door=door, params=params)
    answer = browser.get(reverse("app-make"), {"like": request.pk})
    assert answer["Location"] == target + ("tale" if door == "stories" else str(request.pk))
