"""Nobody has to reckon: moments stand as how long ago they were, the exact time behind, in <time> throughout."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.test import Client
from django.urls import reverse

from config import env, times
from tests.browser.conftest import program
from tests.chromium import launched
from tests.site.house import House
from tests.site.pages import PAGES, Page

__all__ = ["program"]

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
DAYS = rf"\b\d{{1,2}} ({MONTHS})[a-z]*\b|\b({MONTHS})[a-z]*\.? \d{{1,2}}\b|\d{{4}}-\d\d-\d\d"
EXACT = re.compile(DAYS + r"|(?<![\w-])\d\d:\d\d")
# A daily chore is called by its day.
NAME = "2026-01-01"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Moments(HTMLParser):
    """What a page says outside <time>, and each <time> that says how long ago."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.around: list[str] = []
        self.said: list[str] = []
        self.relative: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("time", "script", "style", "title", "code"):
            self.around.append(tag)
        if tag == "time" and "data-ago" in dict(attrs):
            self.relative.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if self.around and self.around[-1] == tag:
            self.around.pop()

    def handle_data(self, data: str) -> None:
        if not self.around and EXACT.search(data):
            self.said.append(data.strip())


@pytest.fixture
def hand_set(house: House) -> None:
    """One line in the history of every room's row, as Django writes it where a form was saved."""
    for page in PAGES:
        if page.name.endswith("-history"):
            _, model = page.route.split(":")
            kind = ContentType.objects.get_by_natural_key(*model.removesuffix("_history").split("_"))
            row, what = str(page.args(house)[0]), {"content_type": kind, "action_flag": CHANGE}
            LogEntry.objects.create(user=house.stella, object_id=row, object_repr="it", change_message="Set.", **what)


def see(client: Client, page: Page, house: House) -> str:
    if (person := page.person(house)) is not None:
        client.force_login(person)
    return client.get(page.address(house)).text


def test_no_page_says_a_date_outside_of_a_time(client: Client, house: House, hand_set: None) -> None:
    wrong = {page.name: said for page in PAGES if (said := Moments(see(client, page, house)).said)}
    assert {name: told for name, said in wrong.items() if (told := [one for one in said if NAME not in one])} == {}


def test_every_moment_of_a_list_says_how_long_ago_and_can_be_sorted_by(client: Client, house: House) -> None:
    client.force_login(house.stella)
    for model, room in admin.site._registry.items():
        if not _moments(model, room.list_display):
            continue
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        # The first column is the one of tick boxes, where a room has verbs for many.
        ordered = client.get(address).context["cl"].list_display
        for name in _moments(model, room.list_display):
            place = next(n for n, column in enumerate(ordered) if getattr(column, "__name__", "") == name)
            answer = client.get(address, {"o": f"-{place}"})
            rows = list(answer.context["cl"].result_list)
            found = [moment for row in rows if (moment := getattr(row, name))]
            assert found == sorted(found, reverse=True), (model, name)
            titles = [one["title"] for one in Moments(answer.text).relative]
            assert not {times.exact(moment) for moment in found} - set(titles), (model, name)


def _moments(model: type[models.Model], names: Any) -> list[str]:
    fields = {field.name: field for field in model._meta.fields}
    return [name for name in names if isinstance(fields.get(name), models.DateTimeField)]


def test_a_rows_own_page_says_the_exact_time_to_those_who_cannot_hover(client: Client, house: House) -> None:
    client.force_login(house.stella)
    for page in (page for page in PAGES if page.name in ("config-user", "config-personaltoken", "request-story")):
        shown = client.get(page.address(house)).text
        assert re.search(r'data-ago>[^<]+</time> <time class="is-exact"[^>]*>\d+ \w+ \d{4}, [\d:]{8} UTC<', shown)


def test_figures_stand_below_one_another(client: Client, house: House) -> None:
    client.force_login(house.stella)
    shown = client.get(reverse("admin:credits_entry_changelist")).text
    for name in ("signed", "balance_after"):
        assert f"column-{name} is-number" in shown
        assert f"field-{name} is-number" in shown
    assert "field-kind_shown is-number" not in shown


AGES = {
    timedelta(0): "now",
    timedelta(seconds=-1): "in 1 s",
    timedelta(seconds=59): "59 s ago",
    timedelta(seconds=60): "1 min ago",
    timedelta(minutes=59, seconds=59): "59 min ago",
    timedelta(hours=23): "23 h ago",
    timedelta(days=1): "1 day ago",
    timedelta(days=30): "30 days ago",
    timedelta(days=31): "1 month ago",
    timedelta(days=364): "11 months ago",
    timedelta(days=800): "2 years ago",
    timedelta(days=-3): "in 3 days",
}


def test_how_long_ago_is_said_in_the_largest_fitting_unit() -> None:
    assert {age: times.ago(NOW - age, NOW) for age in AGES} == AGES
    assert times.when(None) == times.when_in_full(None) == times.due(None) == ""
    assert ">now<" in times.due(NOW)
    assert times.when(NOW).startswith('<time datetime="2026-03-01T12:00:00+00:00" title="1 March 2026, 12:00:00 UTC" ')


def test_the_browser_spells_by_the_same_steps(program: str) -> None:
    moments = [NOW - age for age in AGES]
    drawn = "".join(times.when(moment).replace("title=", "data-title=") for moment in moments) + times.due(moments[2])
    with launched() as browser:
        page = browser.new_page()
        page.clock.set_fixed_time(NOW)
        page.set_content(drawn)
        page.add_script_tag(path=env.ROOT / "templates" / "static" / "times.js")
        page.evaluate("dispatchEvent(new Event('pageshow'))")
        spelled = page.evaluate("[...document.querySelectorAll('time')].map(one => [one.textContent, one.title])")
    assert spelled.pop()[0] == "now"
    assert spelled == [[words, times.exact(moment)] for words, moment in zip(AGES.values(), moments, strict=True)]
