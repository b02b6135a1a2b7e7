"""Workers of a story that are killed in the middle of each kind of step: it ends, and nothing is paid for twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.models import User
from generation import queue, storage
from generation.models import Attempt, Chore, Event, EventKind, Item
from tests.doors.stories.desk import Author, assert_books_are_right, image, run_of, story
from tests.generation.processes import ROOT, environment, program, until, worker
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# where a worker is killed -> pictures asked for in all, verdicts asked for in all, calls that are counted as lost
KILLED_AT = {
    "draw-call": (2, 1, 1),  # its answer can be had from nobody
    "draw-received": (1, 1, 0),  # not found in the store, but the vendor has it still
    "draw-stored": (1, 1, 0),  # taken over
    "draw-settled": (1, 1, 0),  # the same
    "check": (1, 2, 1),  # what was said is gone
    "publish": (1, 1, 0),
    "published": (1, 1, 0),
    "thumbnail": (1, 1, 0),
}


@pytest.fixture
def media(tmp_path: Path, settings: Any) -> Path:
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "generation.storage.LocalFiles", "OPTIONS": {"location": str(tmp_path / "media")}},
    }
    return tmp_path / "media"


@pytest.fixture
def author(alice: User) -> Author:
    return Author(alice)


def killed(places: list[str], env: dict[str, str], log: Path) -> None:
    """Let a worker run and die at each place."""
    killer = [str(ROOT / "tests/stories/killed_worker.py"), *places]
    with program(killer, {**env, "PYTHONPATH": str(ROOT)}, log) as process:

        def are_all_dead() -> bool:
            queue.ring(1)
            return process.poll() is not None

        until(are_all_dead, "all of them are killed")
    assert log.read_text().count("ended by signal 9") == len(places)


def test_whatever_a_worker_is_killed_at_the_story_ends_and_is_paid_for_once(
    author: Author, simulator: Remote, media: Path, tmp_path: Path
) -> None:
    queue.bells().empty()
    author.started(story(len(KILLED_AT)), num_images=1)
    items = {place: image(number, 1) for number, place in enumerate(KILLED_AT, start=1)}
    for place, item in items.items():
        Item.objects.filter(pk=item.pk).update(door=f"kill-{place}")
    env = environment(media, REPLICATE_POLL_S="0.1", STORY_RETRY_BASE_S="0")

    killed(list(KILLED_AT), env, tmp_path / "killed.log")
    assert not Item.objects.filter(finished_at__isnull=False).exists()
    with worker(env, tmp_path / "rescue.log") as rescue:
        until(lambda: author.file()["status"] == "completed", "the story has ended", rescue)
        until(lambda: not Chore.objects.filter(kind="mirror", done_at__isnull=True).exists(), "all is told", rescue)

    drawn = [call for call in simulator.calls("replicate") if call["method"] == "POST"]
    for number, (place, (asked, checks, losses)) in enumerate(KILLED_AT.items(), start=1):
        item = Item.objects.get(pk=items[place].pk)
        lost = Attempt.objects.filter(item=item, outcome="lost").exclude(lane="internal")
        assert (place, item.status, lost.count()) == (place, "SUCCEEDED", losses)
        mine = [call for call in drawn if f"hour {number}." in call["prompt"]]
        assert (place, len(mine)) == (place, asked)
        checked = Attempt.objects.filter(item=item, operation="verify-image")
        assert (place, checked.count(), checked.filter(outcome="lost").count()) == (place, checks, checks - 1)
        assert storage.read(item.params["key"]).startswith(b"\x89PNG")
        assert sorted(item.assets.values_list("kind", flat=True)) in (["image", "thumbnail"], ["image"])
    assert len(simulator.calls("openrouter")) == sum(checks for _, checks, _ in KILLED_AT.values())
    document = author.file()
    assert (document["segments_succeeded"], document["errors"]) == (len(KILLED_AT), [])
    assert Event.objects.filter(kind=EventKind.MIRRORED).count() == 1
    assert author.balance == 100 - len(KILLED_AT)
    Item.objects.update(door="stories")
    assert_books_are_right()


def test_a_worker_killed_over_the_files_leaves_whole_ones_and_the_end_is_told_once(
    author: Author, simulator: Remote, media: Path, tmp_path: Path
) -> None:
    queue.bells().empty()
    author.started(story(1), num_images=1)
    env = environment(media, REPLICATE_POLL_S="0.1", LEASE_S="1")

    killed(["mirror-report"], env, tmp_path / "report.log")
    assert author.file()["status"] == "in_progress"
    report = author.file("Tides/generation_report.json")
    assert report["segments_succeeded"] == 1

    killed(["mirror-status"], env, tmp_path / "status.log")
    assert author.file()["status"] == "completed"
    assert not Event.objects.filter(kind=EventKind.MIRRORED).exists()

    with worker(env, tmp_path / "rescue.log") as rescue:
        ends = Event.objects.filter(kind=EventKind.MIRRORED, request=run_of())
        until(ends.exists, "the end is told", rescue)
        until(lambda: not Chore.objects.filter(kind="mirror", done_at__isnull=True).exists(), "all is told", rescue)
    assert ends.count() == 1
    assert author.file("Tides/generation_report.json") == report
    assert len(list((media / author.path(name="Tides")).glob("*.json"))) == 1
    assert_books_are_right()
