"""The console before its scripts have run, and where they never do: it shows, in its theme, with nothing over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Page, expect

from tests.browser.conftest import program
from tests.chromium import launched
from tests.site.house import House
from tests.site.pages import STAFF, one_of_each
from tests.site.test_axe import Visit, visits

__all__ = ["program", "visits"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@contextmanager
def opened(base: str, session: str, *, scripts: bool) -> Iterator[Page]:
    with launched() as browser:
        context = browser.new_context(base_url=base, java_script_enabled=scripts, color_scheme="dark")
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base}])
        yield context.new_page()


def test_without_scripts_every_kind_of_page_can_be_read(program: str, base: str, visits: list[Visit]) -> None:
    whole = {page.name for page in one_of_each()}
    shown = [visit for visit in visits if visit.who == STAFF and visit.name in whole]
    hidden: list[str] = []
    with opened(base, shown[0].session, scripts=False) as page:
        for visit in shown:
            page.goto(visit.address)
            found = page.locator("#content"), page.get_by_placeholder("Type to search")
            if [one.first.is_visible() for one in found if one.count()] not in ([True], [True, False]):
                hidden.append(visit.name)
    assert hidden == []


def test_the_theme_is_there_before_the_scripts_that_choose_it(program: str, base: str, visits: list[Visit]) -> None:
    desk = next(visit for visit in visits if visit.name == "desk")
    with opened(base, desk.session, scripts=True) as page:
        faults: list[str] = []
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.goto(desk.address)
        expect(page.locator("html")).to_have_class("dark")
        page.evaluate("Alpine.$data(document.documentElement).adminTheme = 'light'")
        expect(page.locator("html")).to_have_class("light")
        assert faults == []
        page.evaluate("localStorage.clear()")
        page.route("**/alpine/*.js", lambda call: call.abort())
        page.goto(desk.address)
        expect(page.locator("html")).to_have_class("dark")
        page.evaluate("localStorage.setItem('adminTheme', '\"light\"')")
        page.reload()
        expect(page.locator("html")).not_to_have_class("dark")


def test_a_list_brings_no_script_that_it_does_not_need(house: House, client: Client) -> None:
    client.force_login(house.stella)
    page = client.get("/admin/generation/item/").content.decode()
    assert "actions.js" in page
    assert not any(name in page for name in ("xregexp", "prepopulate", "urlify"))
    assert "max-age=3600" in client.get("/admin/jsi18n/")["Cache-Control"]
