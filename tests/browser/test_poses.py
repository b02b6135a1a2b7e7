"""A person in a browser: finds poses in the library, sees the price, watches them appear, puts them before the sea."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from config.models import User
from tests.browser.watching import Watched, sign_in
from tests.doors.poses.desk import make_pose
from tests.generation.conftest import media

__all__ = ["media"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def library(transactional_db: None, media: Any) -> None:
    """Two poses of one category and one of another."""
    for name, category in (("Lotus", "yoga"), ("Warrior <b>", "yoga"), ("Catwalk", "editorial")):
        pose = make_pose(name, category)
        pose.thumbnail_key = pose.map_key
        pose.save()


@pytest.fixture
def watched(library: None, chromium: Any, desk: str) -> Iterator[Watched]:
    context = chromium.new_context(base_url=desk)
    context.set_default_timeout(30_000)
    page = Watched(context.new_page(), desk)
    yield page
    context.close()
    assert page.faults == []


def test_a_customer_chooses_a_pose_and_changes_what_is_behind_it(alice: User, watched: Watched) -> None:
    page = watched.page
    sign_in(page, "alice")
    page.get_by_role("link", name="Poses").click()
    page.get_by_role("link", name="Choose the first ones").click()
    expect(page.locator("#sum")).to_contain_text("Nothing is chosen yet")

    picks = page.locator(".pose-pick")
    page.get_by_label("Category").select_option("yoga")
    expect(picks).to_have_count(2)
    page.get_by_label("Search").fill("warr")
    expect(picks).to_have_count(1)
    page.get_by_role("checkbox", name="Warrior <b>").focus()
    page.keyboard.press("Space")
    expect(page.locator("#sum .figure")).to_have_text("30 credits")
    page.get_by_label("Search").fill("")
    expect(picks).to_have_count(2)
    expect(picks.first).to_contain_text("Warrior <b>")
    expect(picks.first.locator("input")).to_be_checked()
    page.get_by_text("One colour").click()
    expect(page.locator("#sum .figure")).to_have_text("40 credits")
    page.locator("#id_background_color").fill("#3366aa")
    page.get_by_role("button", name="Make them").click()

    page.wait_for_url("**/app/poses/*-*")
    picture = page.locator(".pose img")
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 400
    expect(page.locator(".story-sum .state")).to_have_text("completed")
    expect(page.locator("#said")).to_have_text("The picture is ready.")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all as a ZIP").click()
    with open(download.value.path(), "rb") as file:
        names = zipfile.ZipFile(io.BytesIO(file.read())).namelist()
    assert {name.split("/")[0] for name in names} == {"instagram_post", "instagram_story", "tiktok", "shopee_product"}

    page.get_by_role("link", name="Warrior <b>, variation 1").click()
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    shown = "figure => getComputedStyle(figure).getPropertyValue('--shown')"
    assert page.locator("[data-compare]").evaluate(shown) == "60%"

    after = page.locator("[data-compare] img").first
    old = after.get_attribute("src")
    page.get_by_text("Drawn for it").click()
    page.get_by_label("What is behind?").fill("the sea")
    page.get_by_role("button", name="Change it").click()
    page.locator(".meter progress").wait_for()
    page.get_by_role("button", name="Change it").wait_for()
    assert after.get_attribute("src") != old
    expect(page.locator(".facts")).to_contain_text("the sea")
    expect(page.get_by_role("link", name="50 credits")).to_be_visible()
