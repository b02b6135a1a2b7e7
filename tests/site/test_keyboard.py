"""Keys alone go everywhere: past the menu, into the account's menu and out of it, and into the menu of a phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests.browser.conftest import program
from tests.chromium import launched
from tests.site.pages import CUSTOMER, STAFF
from tests.site.test_axe import PHONE, WIDE, Visit, visits

__all__ = ["program", "visits"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@contextmanager
def looking(program: str, base: str, visit: Visit, size: dict[str, int]) -> Iterator[Any]:
    with launched() as browser:
        context = browser.new_context(base_url=base, viewport=size, reduced_motion="reduce")
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": visit.session, "url": base}])
        page = context.new_page()
        page.goto(visit.address)
        yield page


def the(visits: list[Visit], name: str) -> Visit:
    return next(visit for visit in visits if visit.name == name)


@pytest.mark.parametrize(("name", "who"), [("home", CUSTOMER), ("desk", STAFF)])
def test_the_first_key_offers_to_skip_the_menu(
    program: str, base: str, visits: list[Visit], name: str, who: str
) -> None:
    visit = the(visits, name)
    assert visit.who == who
    with looking(program, base, visit, WIDE) as page:
        page.keyboard.press("Tab")
        skip = page.locator(":focus")
        expect(skip).to_have_text("Skip to content")
        expect(skip).to_be_in_viewport(ratio=1)
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector(location.hash).contains(document.activeElement)")


def test_keys_open_and_close_the_accounts_menu(program: str, base: str, visits: list[Visit]) -> None:
    with looking(program, base, the(visits, "desk"), WIDE) as page:
        person = page.get_by_role("button", name="stella")
        person.focus()
        assert person.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        expect(person).to_have_attribute("aria-expanded", "true")
        page.keyboard.press("Tab")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Log out")).to_be_hidden()


def test_keys_open_and_close_the_menu_of_a_phone(program: str, base: str, visits: list[Visit]) -> None:
    with looking(program, base, the(visits, "desk"), PHONE) as page:
        queue = page.get_by_role("link", name="Queue", exact=True)
        expect(queue).to_be_hidden()
        page.get_by_role("button", name="Open the menu").focus()
        page.keyboard.press("Enter")
        expect(queue).to_be_visible()
        page.get_by_role("button", name="Close the menu").focus()
        page.keyboard.press("Enter")
        expect(queue).to_be_hidden()
