"""A person in a browser: signs in, asks for a picture, sees its bar move and the picture appear."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from config.models import User
from tests.browser.watching import REMEMBER, Watched, sign_in
from tests.simulator import Remote

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PROMPT = "A lighthouse on a cliff at dawn <b>with gulls</b>"


@pytest.fixture
def watched(chromium: Any, desk: str) -> Iterator[Watched]:
    context = chromium.new_context(base_url=desk)
    context.set_default_timeout(20_000)
    page = Watched(context.new_page(), desk)
    yield page
    context.close()
    assert page.faults == []


def test_a_customer_watches_a_picture_appear(alice: User, watched: Watched, simulator: Remote) -> None:
    simulator.settings(delay_s=6)  # long enough for several looks at the vendor's progress, on a busy machine too
    page = watched.page
    sign_in(page, "alice")
    page.get_by_role("link", name="Make a picture").click()
    page.get_by_label("What should it show?").fill(PROMPT)
    page.get_by_text("Cover", exact=True).click()
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url("**/app/work/**")
    page.evaluate(REMEMBER)

    picture = page.locator("[data-item] img")
    picture.wait_for()
    assert page.evaluate("window.seen.filter((value) => value > 0).length > 1"), "the bar did not move"
    assert page.evaluate("window.seen.every((value, at, all) => !at || value > all[at - 1])")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(page.locator(".state")).to_have_text("completed")
    expect(page.locator("#said")).to_have_text("The picture is ready.")  # said a moment later
    assert page.locator(".prompt").inner_text() == PROMPT

    before = page.locator("[data-fragment]").inner_text()
    page.reload()
    picture.wait_for()
    page.locator('[data-live-state="live"]').wait_for()
    assert _still(page.locator("[data-fragment]").inner_text()) == _still(before)

    page.get_by_role("link", name="Gallery").click()
    assert page.locator(".tile img").count() == 1
    page.locator(".tile").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".png")


def test_home_shows_what_another_tab_asks_for(alice: User, watched: Watched) -> None:
    page = watched.page
    sign_in(page, "alice")
    page.locator('[data-live-state="live"]').wait_for()
    other = page.context.new_page()
    other.goto("/app/make")
    other.get_by_label("What should it show?").fill(PROMPT)
    other.get_by_role("button", name="Make it").click()
    page.locator("[data-request] progress").wait_for()
    page.locator(".tile img").wait_for()
    assert page.locator("[data-request]").count() == 0


def test_staff_see_the_desk_move(stella: User, alice: User, watched: Watched) -> None:
    page = watched.page
    sign_in(page, "stella", to="/admin/")
    page.locator('[data-console-state="live"], [data-console-state="gap"]').wait_for()
    other = page.context.browser.new_context(base_url=page.url)
    customer = other.new_page()
    sign_in(customer, "alice")
    customer.goto("/app/make")
    customer.get_by_label("What should it show?").fill(PROMPT)
    customer.get_by_role("button", name="Make it").click()
    page.wait_for_function("Number(document.querySelector('[data-figure=\"queue.in_progress\"]').textContent) > 0")
    page.wait_for_function("Number(document.querySelector('[data-figure=\"last_minute.succeeded\"]').textContent) > 0")
    other.close()


def _still(text: str) -> str:
    """Without what changes between two looks: how long ago things were."""
    return re.sub(r"(\S+\s(second|minute)s?\sago|now)", "", text)
