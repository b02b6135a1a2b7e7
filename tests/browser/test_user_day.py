"""A customer's day in a browser: all four doors, bars that move, results, a receipt; and a line that drops."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import pytest
from playwright.sync_api import expect

from config.models import User
from credits.models import Entry
from generation import audit, engine
from generation.models import Item, Request
from tests.browser.watching import REMEMBER, Watched, aside, sign_in
from tests.doors.makeit3d.desk import picture
from tests.doors.poses.desk import make_pose
from tests.doors.stories.desk import story
from tests.generation.conftest import media
from tests.simulator import Remote

__all__ = ["media"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("library")]

PROMPT = "A lighthouse on a cliff at dawn <b>with gulls</b>"
LONG_S, SHORT_S = 4.0, 0.3  # how long a vendor takes: to see a bar move, and to get on with the day
IS_WHOLE = "image => image.offsetHeight <= image.closest('.frame').offsetHeight"


@pytest.fixture
def library(transactional_db: None, media: Any) -> None:
    """Two poses of one category and one of another."""
    for name, category in (("Lotus", "yoga"), ("Warrior <b>", "yoga"), ("Catwalk", "editorial")):
        pose = make_pose(name, category)
        pose.thumbnail_key = pose.map_key
        pose.save()


@pytest.mark.timeout(240)  # on a busy machine
def test_a_day_of_a_customer(alice: User, watched: Watched, simulator: Remote) -> None:
    page = watched.page
    sign_in(page, "alice")
    expect(page.get_by_text("No pictures yet")).to_be_visible()

    watches_a_picture_appear(page, simulator)
    simulator.settings(delay_s=SHORT_S)
    turns_it_into_a_model(page)
    repaints_what_a_stroke_covers(watched)
    is_refused_and_tries_again(page, simulator)
    has_a_story_drawn(page)
    chooses_a_pose_and_what_is_behind_it(page)
    finds_all_of_it_again(page)
    reads_the_bill(page)
    lends_a_program_a_token(page)

    made = aside(lambda: Item.objects.filter(owner=alice, status="SUCCEEDED").count())
    assert made == 8, "a picture, a model, one repainted, one after a refusal, two of a story, a pose and its change"
    assert aside(audit.check) == []


def watches_a_picture_appear(page: Any, simulator: Remote) -> None:
    simulator.settings(delay_s=LONG_S)
    page.get_by_role("link", name="For books and pages").click()
    page.get_by_label("What should it show?").fill(PROMPT)
    page.get_by_text("Cover", exact=True).click()
    page.get_by_role("button", name="Make it").dblclick()
    page.wait_for_url("**/app/work/**")
    page.evaluate(REMEMBER)
    shown = page.locator("[data-item] img")
    shown.wait_for()
    assert page.evaluate("window.seen.filter((value) => value > 0).length > 1"), "the bar did not move"
    assert page.evaluate("window.seen.every((value, at, all) => !at || value > all[at - 1])")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    assert shown.evaluate(IS_WHOLE), "the picture is cut off"
    expect(page.locator(".result .state")).to_have_text("completed")
    expect(page.locator("#said")).to_have_text("The picture is ready.")
    expect(page.locator(".prompt")).to_have_text(PROMPT)
    expect(page.locator(".receipt")).to_contain_text("Paid1 credit")
    expect(page.locator("#purse")).to_have_text("99 credits")

    before = _still(page.locator("[data-fragment]").inner_text())
    page.reload()
    page.locator('[data-live-state="live"]').wait_for()
    assert _still(page.locator("[data-fragment]").inner_text()) == before
    assert aside(Request.objects.count) == 1, "a double click is one request"


def turns_it_into_a_model(page: Any) -> None:
    page.get_by_role("link", name="Model from pictures").click()
    expect(page.locator(".drop img")).to_have_count(1)  # the picture that one came from
    dear = page.locator("label.choice", has_text="Provider C")
    dear.click()
    expect(page.get_by_role("group", name="Back")).to_be_visible()  # this one takes views
    expect(page.locator("#sum .figure")).to_have_text(dear.locator(".price").inner_text())
    page.get_by_role("button", name="One of yours: Back").press("Enter")
    page.get_by_role("group", name="Back").get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Escape")  # closing the list chooses, so that arrow keys may go through it
    expect(page.locator(".drop img")).to_have_count(2)
    expect(page.locator("#sum .figure")).not_to_have_text(dear.locator(".price").inner_text())
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url("**/app/work/**")
    page.get_by_role("button", name="Show in 3D").click()
    page.locator("model-view[data-shown] canvas").wait_for()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("link", name="Refine a model")).to_be_visible()


def repaints_what_a_stroke_covers(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("link", name="Make", exact=True).click()
    page.get_by_role("link", name="Repaint a part").click()
    page.get_by_label("What should become of it?").fill("a bowl of lemons")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator(".source .fault")).to_have_count(2)  # it says which files lack, and keeps the words
    watched.forgive("422")
    brought = {"name": "desk.png", "mimeType": "image/png", "buffer": picture(size=(640, 480))}
    page.locator("#source-input_image_asset_url-file").set_input_files(brought)
    page.locator(".drop img").wait_for()
    page.get_by_role("button", name="Paint it").click()
    box = page.locator("dialog canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Take it").click()
    expect(page.locator(".drop img")).to_have_count(2)
    expect(page.get_by_label("What should become of it?")).to_have_value("a bowl of lemons")
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url("**/app/work/**")
    page.locator(".result img").wait_for()


def is_refused_and_tries_again(page: Any, simulator: Remote) -> None:
    simulator.faults("stability", "filtered")
    page.get_by_role("link", name="Make", exact=True).click()
    page.get_by_role("link", name="Any picture").click()
    page.get_by_label("What should it show?").fill("A chair in a white room")
    page.get_by_label("Style").select_option("anime")
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url("**/app/work/**")
    again = page.get_by_role("link", name="Edit and try again")
    again.wait_for()
    expect(page.get_by_text("Say it in other words")).to_be_visible()
    expect(page.locator(".receipt")).to_contain_text("Paid0 credits")
    again.click()
    expect(page.get_by_label("Style")).to_have_value("anime")
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url("**/app/work/**")
    page.locator(".result img").wait_for()


def has_a_story_drawn(page: Any) -> None:
    page.get_by_role("link", name="Stories").click()
    page.get_by_role("link", name="Write the first one").click()
    field = page.get_by_label("The story")
    field.fill(story(2, "Tides <b>").replace("- Visual guidance: A beach at hour 2", ""))
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
    page.locator(".scene img").nth(1).wait_for()
    expect(page.locator(".story-sum .state")).to_have_text("completed")
    expect(page.locator(".story-sum")).to_contain_text("2 of 2")
    names = _zipped(page, page.get_by_role("link", name="Download all"))
    assert "Tides _b_/1. Part 1/generated_images/image_1.png" in names
    assert "Tides _b_/generation_report.json" in names


def chooses_a_pose_and_what_is_behind_it(page: Any) -> None:
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
    expect(picks.first.locator("input")).to_be_checked()
    page.get_by_text("One colour").click()
    expect(page.locator("#sum .figure")).to_have_text("40 credits")
    page.locator("#id_background_color").fill("#3366aa")
    page.get_by_role("button", name="Make them").click()
    page.wait_for_url("**/app/poses/*-*")
    page.locator(".pose img").wait_for()
    expect(page.locator(".story-sum .state")).to_have_text("completed")
    names = _zipped(page, page.get_by_role("button", name="Download all as a ZIP"))
    assert {name.split("/")[0] for name in names} == {"instagram_post", "instagram_story", "tiktok", "shopee_product"}

    page.get_by_role("link", name="Warrior <b>, variation 1").click()
    page.get_by_role("slider").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    shown = "figure => getComputedStyle(figure).getPropertyValue('--shown')"
    assert page.locator("[data-compare]").evaluate(shown) == "60%"
    after = page.locator("[data-compare] img").first
    old = after.get_attribute("src")
    page.get_by_text("Drawn for it").click()
    page.get_by_label("What is behind?").fill("the sea")
    page.get_by_role("button", name="Change it").click()
    page.locator(".facts", has_text="the sea").wait_for()
    page.get_by_role("button", name="Change it").wait_for()
    assert after.get_attribute("src") != old


def finds_all_of_it_again(page: Any) -> None:
    page.get_by_role("link", name="Gallery").click()
    page.get_by_role("link", name="3D models").click()
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_role("link", name="Stories").last.click()
    expect(page.locator(".tile")).to_have_count(2)
    page.get_by_role("link", name="Pictures", exact=True).click()
    expect(page.locator(".tile")).to_have_count(3)
    page.locator(".tile").last.click()
    expect(page.locator(".prompt")).to_have_text(PROMPT)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".png")


def reads_the_bill(page: Any) -> None:
    page.get_by_role("link", name="Credits", exact=True).click()
    page.get_by_label("What").select_option("Charged")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".plus")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="As a table (CSV)").click()
    assert download.value.suggested_filename == "atelier-credits.csv"
    page.get_by_role("link", name="Story images").click()
    expect(page.get_by_role("row", name="Total")).to_contain_text("2")
    expect(page.get_by_role("button", name="Print")).to_be_visible()


def lends_a_program_a_token(page: Any) -> None:
    def asked() -> int:
        answer = page.request.get("/api/credits/balance", headers={"Authorization": f"Bearer {raw}"})
        return int(answer.status)

    page.get_by_role("link", name="API", exact=True).click()
    page.get_by_label("Name", exact=True).fill("A nightly program")
    page.get_by_role("button", name="Make it").click()
    raw = page.locator("#raw").inner_text()
    assert asked() == 200
    page.get_by_role("link", name="API", exact=True).click()
    expect(page.locator("#raw")).to_have_count(0)
    expect(page.get_by_role("row", name="A nightly program")).to_contain_text(re.compile(r"now|\d+ s ago"))
    page.get_by_label("Revoke A nightly program").click()
    page.get_by_role("button", name="Revoke A nightly program").click()
    expect(page.locator(".note")).to_contain_text("is revoked")
    assert asked() == 401


def test_home_shows_what_another_tab_asks_for_and_nothing_stale_after_a_lost_line(
    alice: User, watched: Watched, simulator: Remote
) -> None:
    simulator.settings(delay_s=LONG_S)
    page = watched.page
    line = Line(page)
    sign_in(page, "alice")
    page.locator('[data-live-state="live"]').wait_for()
    other = page.context.new_page()
    for _ in range(2):
        other.goto("/app/make/visual")
        other.get_by_label("What should it show?").fill(PROMPT)
        other.get_by_role("button", name="Make it").click()
        other.wait_for_url("**/app/work/**")
    expect(page.locator("[data-request] progress")).to_have_count(2)
    expect(page.locator("#purse")).to_have_text("98 credits")

    line.cut()
    page.locator('[data-live-state="waiting"]').wait_for()
    aside(lambda: engine.cancel(Request.objects.earliest("created_at").pk, actor="alice"))
    other.locator(".result img").wait_for()
    expect(page.locator("[data-request] progress")).to_have_count(2)  # it cannot know, and says so
    line.mend()
    page.locator('[data-live-state="live"]').wait_for()
    expect(page.locator("[data-request]")).to_have_count(0)
    expect(page.locator(".tile img")).to_have_count(1)
    back = aside(lambda: Entry.objects.filter(account=alice.pk, amount__gt=0, subject__startswith="item:").exists())
    expect(page.locator("#purse")).to_have_text("99 credits" if back else "98 credits")


class Line:
    """A page's socket, which can be cut; while it is, no new one comes about."""

    def __init__(self, page: Any) -> None:
        self._page, self._sockets, self._is_cut = page, list[Any](), False
        page.route_web_socket(re.compile("/ws/live$"), self._open)

    def _open(self, socket: Any) -> None:
        if self._is_cut:
            socket.close(code=1001)
            return
        socket.connect_to_server()
        self._sockets.append(socket)

    def cut(self) -> None:
        self._is_cut = True
        while self._sockets:
            self._sockets.pop().close(code=1001)

    def mend(self) -> None:
        self._is_cut = False
        self._page.evaluate("dispatchEvent(new Event('online'))")


def _zipped(page: Any, what: Any) -> list[str]:
    """Download an archive; return the names in it."""
    with page.expect_download() as download:
        what.click()
    with open(download.value.path(), "rb") as file:
        return zipfile.ZipFile(io.BytesIO(file.read())).namelist()


def _still(text: str) -> str:
    """Without what changes between two looks: how long ago things were."""
    return re.sub(r"(\d+ (s|min) ago|now)", "", text)
