"""A person in a browser: writes a story, mends what is wrong with it, watches its pictures appear, takes them home."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from config.models import User
from tests.browser.watching import Watched, sign_in
from tests.doors.stories.desk import story

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def watched(chromium: Any, desk: str) -> Iterator[Watched]:
    context = chromium.new_context(base_url=desk)
    context.set_default_timeout(30_000)
    page = Watched(context.new_page(), desk)
    yield page
    context.close()
    assert page.faults == []


def test_a_customer_writes_a_story_and_watches_its_pictures_appear(alice: User, watched: Watched) -> None:
    page = watched.page
    sign_in(page, "alice")
    page.get_by_role("link", name="Stories").click()
    page.get_by_role("link", name="Write the first one").click()

    field = page.get_by_label("The story")
    field.fill(story(2, "Tides <b>").replace("- Visual guidance: A beach at hour 2", ""))
    page.locator(".at-fault").wait_for()
    assert page.locator(".at-fault .line-number").inner_text() == "10"
    expect(page.locator(".at-fault .fault")).to_have_text("The segment has no visual guidance.")

    page.get_by_label("Or a segments.md").set_input_files(
        {"name": "segments.md", "mimeType": "text/markdown", "buffer": story(2, "Tides <b>").encode()}
    )
    page.get_by_text("ready").wait_for()
    assert field.input_value() == story(2, "Tides <b>")
    page.locator("label.choice", has_text="1").click()
    expect(page.locator("#outline")).to_contain_text("2 pictures · 2 credits")

    page.get_by_role("button", name="Draw it").click()
    page.wait_for_url("**/app/story/**")
    page.locator(".scene .state").first.wait_for()
    pictures = page.locator(".scene img")
    pictures.nth(1).wait_for()
    for at in (0, 1):
        assert pictures.nth(at).evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(page.locator(".story-sum .state")).to_have_text("completed")
    expect(page.locator(".story-sum")).to_contain_text("2 of 2")

    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    with open(download.value.path(), "rb") as file:
        names = zipfile.ZipFile(io.BytesIO(file.read())).namelist()
    assert "Tides _b_/1. Part 1/generated_images/image_1.png" in names
    assert "Tides _b_/generation_report.json" in names
