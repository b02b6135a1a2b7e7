"""The pages of stories: what they show of one's own, how one is begun, and how its pictures are taken home."""

from __future__ import annotations

import io
import re
import uuid
import zipfile
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.models import User
from generation import engine, storage
from generation.claim import claim
from generation.models import Attempt, Request, StorySession
from tests.doors.stories.desk import SESSION, Author, image, story, work
from tests.doors.stories.samples import BAD, GOOD
from tests.generation.support import picture
from tests.pages import NASTY, live_nodes
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]


@pytest.fixture
def author(alice: User) -> Author:
    return Author(alice)


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def form(text: str = "", **values: Any) -> dict[str, Any]:
    return {
        "session_id": SESSION,
        "text": text.replace("\n", "\r\n"),  # as browsers send it
        "num_images": "1",
        "max_passes": "5",
        "max_verification_passes": "3",
        "form_key": str(uuid.uuid4()),
        **values,
    }


def test_a_story_is_written_drawn_and_shown(browser: Client, author: Author) -> None:
    answer = browser.post(reverse("app-story-new"), form(story(2)))
    assert answer["Location"] == f"/app/story/{SESSION}"
    assert author.balance == 98
    page = browser.get(answer["Location"]).text
    assert page.count('class="state queued"') == 2

    work(image(1, 1))
    page = browser.get(answer["Location"]).text
    assert "1 of 2" in page
    assert page.count("<img src") >= 2  # the brand's and one picture

    work()
    page = browser.get(answer["Location"]).text
    assert 'class="state completed">completed' in page
    assert "Download all" in page
    assert "$0.0" in page


def test_a_file_takes_the_place_of_the_text_and_a_diagram_goes_along(browser: Client, author: Author) -> None:
    file = SimpleUploadedFile("segments.md", GOOD.encode(), "text/markdown")
    diagram = SimpleUploadedFile("d.jpg", picture("JPEG"), "image/jpeg")
    assert browser.post(reverse("app-story-new"), form("", file=file, diagram=diagram)).status_code == 302
    assert storage.read(author.path()) == GOOD.encode()
    assert storage.read(author.path(name="diagram.png")).startswith(b"\x89PNG")
    assert author.status()["warnings"] == []


def test_faults_are_marked_at_their_lines_and_nothing_is_stored(browser: Client, author: Author) -> None:
    answer = browser.post(reverse("app-story-new"), form(BAD))
    assert answer.status_code == 422
    marked = re.findall(r'at-fault"><span class="line-number number">(\d+)', answer.text)
    assert marked == ["1", "11", "15", "19", "23", "26", "33", "39"]
    assert "8 places need mending" in answer.text
    assert not StorySession.objects.exists()
    assert author.balance == 100


def test_the_outline_is_fetched_while_one_writes(browser: Client) -> None:
    answer = browser.post(reverse("app-story-outline"), form(GOOD, num_images="3"))
    assert "How Tides Work" in answer.text
    assert "4 segments · 12 pictures · 12 credits" in answer.text
    assert "<form" not in answer.text
    assert browser.post(reverse("app-story-outline"), {}).status_code == 200


def test_a_check_alone_starts_nothing(browser: Client) -> None:
    answer = browser.post(reverse("app-story-new"), form(GOOD, do="check"))
    assert answer.status_code == 200
    assert "4 segments" in answer.text
    assert not StorySession.objects.exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"session_id": "a b"}, "1 to 128 letters"),
        ({"num_images": "x"}, "number"),
        ({"text": "  "}, "Paste a story"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(browser: Client, values: dict[str, Any], said: str) -> None:
    answer = browser.post(reverse("app-story-new"), form(story(1)) | values)
    assert answer.status_code == 422
    assert said in answer.text


def test_too_few_credits_are_told_and_the_text_is_kept(browser: Client, author: Author) -> None:
    answer = browser.post(reverse("app-story-new"), form(story(50), num_images="3"))
    assert answer.status_code == 422
    assert "Not enough credits" in answer.text
    assert "hour 50" in answer.text
    assert (author.balance, Request.objects.count()) == (100, 0)


def test_a_double_click_starts_once(browser: Client, author: Author) -> None:
    sent = form(story(1))
    assert [browser.post(reverse("app-story-new"), sent)["Location"] for _ in range(2)] == [f"/app/story/{SESSION}"] * 2
    assert (author.balance, Request.objects.count()) == (99, 1)


def test_a_running_story_is_not_started_again(browser: Client) -> None:
    browser.post(reverse("app-story-new"), form(story(1)))
    answer = browser.post(reverse("app-story-new"), form(story(1)))
    assert answer.status_code == 422
    assert "still being worked at" in answer.text


def test_an_earlier_story_can_be_drawn_again(browser: Client, author: Author) -> None:
    author.started(story(1), num_images=3)
    page = browser.get(reverse("app-story-new") + f"?like={SESSION}").text
    assert "The sea at hour 1." in page
    assert "3 pictures" in page
    assert browser.get(reverse("app-story-new") + "?like=..").status_code == 200


def test_whoever_never_wrote_one_begins_with_an_example_that_can_be_drawn(browser: Client, alice: User) -> None:
    offered = browser.get(reverse("app-story-new")).text
    assert f'href="{reverse("app-story-new")}?example"' in offered
    page = browser.get(reverse("app-story-new") + "?example").text
    assert "How Tides Work" in page
    assert "2 segments" in page
    assert "to mend" not in page
    assert "?example" not in page


def test_a_story_that_lies_elsewhere_is_drawn_from_what_was_written(browser: Client, author: Author) -> None:
    """Its files stay in the folder that a client named over the API; an old one in the usual folder is not read."""
    author.put("segments.md", story(1, "Old"))
    elsewhere = author.path().replace("/images/", "/drafts/")
    storage.copy(author.path(), elsewhere)
    assert author.start(path=elsewhere).status_code == 200
    work()

    assert browser.post(reverse("app-story-new"), form(story(1, "New"))).status_code == 302

    assert author.status()["template_title"] == "New"
    assert storage.read(elsewhere).startswith(b"Template: New")


def test_all_pictures_are_taken_home_in_one_file(browser: Client, author: Author) -> None:
    author.started(story(2), num_images=1)
    assert browser.get(reverse("app-story-download", args=[SESSION])).status_code == 404
    work()
    answer = browser.get(reverse("app-story-download", args=[SESSION]))
    assert answer["Content-Disposition"] == f'attachment; filename="{SESSION}.zip"'
    chunks = list(answer.streaming_content)  # type: ignore[attr-defined]
    assert len(chunks) > 2
    zipped = zipfile.ZipFile(io.BytesIO(b"".join(chunks)))
    assert zipped.testzip() is None
    assert zipped.namelist() == [
        "Tides/1. Part 1/generated_images/image_1.png",
        "Tides/2. Part 2/generated_images/image_1.png",
        "Tides/generation_report.json",
    ]
    assert zipped.read(zipped.namelist()[0]) == storage.read(image(1, 1).params["key"])


def test_stories_are_listed_and_only_ones_own(browser: Client, author: Author, bob: User) -> None:
    assert "No stories yet" in browser.get(reverse("app-stories")).text
    author.started(story(1, "Mine"), "mine")
    Author(bob).started(story(1, "Theirs"), "theirs")
    page = browser.get(reverse("app-stories")).text
    assert "Mine" in page
    assert "Theirs" not in page
    for address in (reverse("app-story", args=["theirs"]), reverse("app-story-download", args=["theirs"])):
        assert browser.get(address).status_code == 404
    assert "Theirs" not in browser.get(reverse("app-story-new") + "?like=theirs").text


def test_a_page_asks_the_database_the_same_whatever_the_storys_length(browser: Client, author: Author) -> None:
    def asked(session: str, segments: int) -> int:
        author.started(story(segments), session, num_images=1)
        work()
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(reverse("app-story", args=[session])).status_code == 200
        return len(queries)

    assert asked("short", 1) == asked("long", 3)


@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_that_a_stranger_wrote_runs(browser: Client, author: Author, nasty: str) -> None:
    text = f"Template: {nasty}\n**Segment 1: {nasty} (1)\n- Narration text: {nasty}\n- Visual guidance: {nasty}\n"
    assert live_nodes(browser.post(reverse("app-story-outline"), form(text)).text) == []
    assert live_nodes(browser.post(reverse("app-story-new"), form("x" + text)).text) == []
    author.started(text, num_images=1)
    for address in (
        reverse("app-story", args=[SESSION]),
        reverse("app-stories"),
        reverse("app-story-new") + f"?like={SESSION}",
    ):
        assert live_nodes(browser.get(address).text) == []


def test_strangers_are_sent_to_the_sign_in(client: Client) -> None:
    for name, args in (("app-stories", []), ("app-story-new", []), ("app-story", [SESSION])):
        assert client.get(reverse(name, args=args)).status_code == 302
    assert client.post(reverse("app-story-outline")).status_code == 302


def test_staff_are_customers_here_like_others(client: Client, stella: User, author: Author, simulator: Remote) -> None:
    author.started(story(1))
    client.force_login(stella)
    assert client.get(reverse("app-story", args=[SESSION])).status_code == 404


def test_the_pages_of_all_work_lead_to_the_storys_own(browser: Client, author: Author) -> None:
    run = author.started(story(1), num_images=1)
    assert browser.get(reverse("app-request", args=[run.pk]))["Location"] == f"/app/story/{SESSION}"
    answer = browser.post(reverse("app-cancel", args=[run.pk]), follow=True)
    assert answer.redirect_chain[-1][0] == f"/app/story/{SESSION}"
    assert "1 credits came back" in answer.text
    assert "cancelled" in answer.text
    for name in ("app-home", "app-work", "app-gallery"):
        assert browser.get(reverse(name)).status_code == 200


def test_a_picture_that_is_drawn_anew_says_so(
    browser: Client, author: Author, simulator: Remote, settings: Any
) -> None:
    settings.STORY_RETRY_BASE_S = 1000
    simulator.faults("openrouter", "verdict", has_text=True)
    author.started(story(1), num_images=1)
    engine.work(claim(1)[0])
    Attempt.objects.update(poll_at="2000-01-01T00:00:00Z")
    engine.poll()
    page = browser.get(reverse("app-story", args=[SESSION])).text
    assert "verifying" in page
    engine.work(claim(1)[0])
    page = browser.get(reverse("app-story", args=[SESSION])).text
    assert "regenerating" in page


def test_what_failed_says_why(browser: Client, author: Author, simulator: Remote) -> None:
    simulator.faults("replicate", "filtered")
    author.started(story(2), num_images=1)
    work(image(1, 1))
    work()
    page = browser.get(reverse("app-story", args=[SESSION])).text
    assert "partly completed" in page
    assert "The content filter refused the words of this picture" in page
