"""status.json and the report: rendered from the rows, replaced whole, by one writer at a time, never going back."""

from __future__ import annotations

import io
import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from generation import chores, engine, storage
from generation.claim import claim
from generation.doors.stories import mirror, runs
from generation.engine import closing
from generation.models import Chore, Event, EventKind, Item, Request, StorySession
from tests.db import race
from tests.doors.stories.desk import (
    SESSION,
    Author,
    assert_books_are_right,
    do_chores,
    image,
    pending_mirrors,
    run_of,
    story,
    work,
)
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]


def ends() -> int:
    return Event.objects.filter(kind=EventKind.MIRRORED).count()


def test_the_status_is_written_after_each_segment_and_at_the_end(alices: Author) -> None:
    alices.started(story(3), num_images=1)
    for number in (1, 2, 3):
        assert pending_mirrors() == (1 if number == 1 else 0) or number > 1
        work(image(number, 1))
        do_chores()
        document = alices.file()
        assert document == {**alices.status(), **_without_links(alices)}
        assert (document["segments_completed"], document["status"]) == (
            number,
            "completed" if number == 3 else "in_progress",
        )
        assert [one["segment_number"] for one in document["segment_results"]] == list(range(1, number + 1))
    assert ends() == 1
    do_chores()
    assert_books_are_right()


def _without_links(author: Author) -> dict[str, Any]:
    results = author.status()["segment_results"]
    for segment in results:
        for one in segment["images"]:
            del one["url"]
    return {"segment_results": results}


def test_segments_that_end_together_are_told_together_and_the_end_at_once(
    alices: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MIRROR_PAUSE_S", 5.0)
    alices.started(story(4), num_images=1)
    for number in (1, 2, 3):
        work(image(number, 1))
    assert pending_mirrors() == 2, "of those segments, and of the start should nobody have told it"
    assert chores.do_next() is False, "more may follow in a moment"
    work(image(4, 1))
    assert pending_mirrors() == 2
    assert chores.do_next() is True
    assert (alices.file()["status"], ends()) == ("completed", 1)
    do_chores()
    assert_books_are_right()


def test_a_segment_of_several_pictures_is_told_when_its_last_one_ended(alices: Author) -> None:
    alices.started(story(1), num_images=2)
    work(image(1, 2))
    do_chores()
    assert alices.file()["segments_completed"] == 0
    work(image(1, 1))
    do_chores()
    assert alices.file()["segments_completed"] == 1


class Slow:
    """A writer in a thread of its own, who stalls once after it has read the rows of a run."""

    def __init__(self, run: Request, monkeypatch: pytest.MonkeyPatch) -> None:
        self._run, self._read = run, runs.read
        self._has_read, self._may_write = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write, name="slow")
        monkeypatch.setattr(mirror.runs, "read", self._stall)

    @staticmethod
    def is_here() -> bool:
        return threading.current_thread().name == "slow"

    def read(self) -> None:
        self._thread.start()
        assert self._has_read.wait(10)

    def write(self) -> None:
        self._may_write.set()
        self._thread.join(10)

    def _stall(self, request_id: Any) -> Any:
        found = self._read(request_id)
        if self.is_here() and not self._has_read.is_set():
            self._has_read.set()
            assert self._may_write.wait(10)
        return found

    def _write(self) -> None:
        try:
            with suppress(storage.StorageError):
                mirror.mirror(self._run.pk)
        finally:
            connection.close()


def test_a_writer_who_was_overtaken_reads_again(alices: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has read the rows of the first segment when the other writes the second: the file must not go back."""
    run = alices.started(story(3), num_images=1)
    work(image(1, 1))
    slow = Slow(run, monkeypatch)
    slow.read()
    work(image(2, 1))
    mirror.mirror(run.pk)
    assert alices.file()["segments_completed"] == 2

    slow.write()

    assert alices.file()["segments_completed"] == 2


def test_a_report_does_not_go_back_when_its_overtaken_writer_dies(
    alices: Author, simulator: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read a round's end when staff reopen the run, and dies between its report and its status."""
    simulator.faults("replicate", "filtered", times=1)
    run = alices.started(story(1), num_images=1)
    work(image(1, 1))
    slow = Slow(run, monkeypatch)
    slow.read()
    do_chores()
    assert engine.reopen(run.pk, actor="stella") == 1
    work()
    report = alices.file("Tides/generation_report.json")
    assert report["segments_succeeded"] == 1
    write = storage.replace_if

    def die_before_status(key: str, *rest: Any) -> None:
        if Slow.is_here() and key.endswith("status.json"):
            raise storage.StorageError("the process died")
        write(key, *rest)

    monkeypatch.setattr(storage, "replace_if", die_before_status)
    slow.write()

    assert alices.file("Tides/generation_report.json") == report
    assert_books_are_right()


def test_two_workers_that_finish_at_once_leave_the_newest_and_tell_one_end(alices: Author) -> None:
    for n in range(8):
        session = f"race-{n}"
        alices.started(story(2), session, num_images=1)
        for number in (1, 2):
            item = image(number, 1, session)
            Item.objects.filter(pk=item.pk).update(step=3, lane="internal", results=_results(item))
        last = claim(2)
        assert len(last) == 2

        def finish(claimed: Any) -> None:
            engine.work(claimed)
            chores.do_next()

        race(*[lambda claimed=claimed: finish(claimed) for claimed in last])
        do_chores()
        assert (alices.file(session=session)["status"], alices.file(session=session)["segments_completed"]) == (
            "completed",
            2,
        )
        assert ends() == n + 1


def _results(item: Item) -> dict[str, Any]:
    """What a picture has left behind that only waits for its thumbnail."""
    body = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (16, 9), "teal").save(body, "PNG")
    storage.replace(item.params["key"], body)
    made = {"key": item.params["key"], "content_type": "image/png", "model": "main", "width": 16, "height": 9}
    return {"generate": made, "verify": {"confidence": 1.0}}


def test_a_file_is_replaced_whole(alices: Author, media: Path) -> None:
    """Whoever reads while it is written sees the old or the new file, never half of one."""
    run = alices.started(story(1))
    path = media / alices.path(name="status.json")
    stop, seen = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            seen.append(json.loads(path.read_bytes())["status"])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        mirror.mirror(run.pk)
    stop.set()
    reader.join(10)
    assert set(seen) == {"in_progress"}
    assert not [one for one in path.parent.iterdir() if one.name.startswith(".")]


def test_only_the_sessions_current_run_writes(alices: Author) -> None:
    first = alices.started(story(1), num_images=1)
    work()
    alices.start(num_images=1)
    before = alices.file()
    assert mirror.mirror(first.pk) == "the session has gone on"
    assert alices.file() == before


def test_a_store_that_is_away_delays_the_end_and_loses_nothing(alices: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    alices.started(story(1), num_images=1)
    work(image(1, 1))

    def refuse(*args: Any) -> None:
        raise storage.StorageError("away")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "replace_if", refuse)
        for _ in range(12):
            Chore.objects.filter(done_at__isnull=True).update(run_after="2000-01-01T00:00:00Z")
            do_chores()
        assert pending_mirrors() > 0
        assert ends() == 0
        assert alices.file()["status"] == "in_progress"
    Chore.objects.filter(done_at__isnull=True).update(run_after="2000-01-01T00:00:00Z")
    do_chores()
    assert (alices.file()["status"], ends(), pending_mirrors()) == ("completed", 1, 0)


def test_a_strangers_report_is_kept_as_a_copy_too(alices: Author, media: Path) -> None:
    alices.put("segments.md", story(1))
    theirs = alices.path(name="Tides/generation_report.json")
    storage.replace(theirs, io.BytesIO(b"not ours"))
    alices.start(num_images=1)
    work()
    (copy,) = (media / theirs).parent.glob("generation_report_*.json")
    assert copy.read_bytes() == b"not ours"
    assert alices.file("Tides/generation_report.json")["session_id"] == SESSION


def test_the_end_of_a_run_is_written_once_however_often_it_is_asked_for(alices: Author) -> None:
    run = alices.started(story(1), num_images=1)
    work()
    report = alices.file("Tides/generation_report.json")
    for _ in range(3):
        mirror.mirror(run.pk)
    assert (ends(), alices.file("Tides/generation_report.json")) == (1, report)
    assert StorySession.objects.get().mirrored_round == 0
    assert run_of().mirrored_seq


def test_a_cancel_by_staff_writes_the_end_too(alices: Author, simulator: Remote) -> None:
    run = alices.started(story(2))
    engine.cancel(run.pk, actor="stella")
    do_chores()
    document = alices.file()
    assert (document["status"], document["error"]["code"]) == ("failed", "CANCELLED")
    assert document["total_cost_usd"] == 0
    assert (len(document["errors"]), alices.balance) == (4, 100)
    assert simulator.calls("replicate") == []


def test_a_link_to_a_picture_shows_the_new_one_after_a_second_run(alices: Author) -> None:
    alices.started(story(1), num_images=1)
    work()
    url = alices.status()["segment_results"][0]["images"][0]["url"].removeprefix("http://testserver")
    first = alices.http.get(url)
    etag, body = first.headers["ETag"], b"".join(first.streaming_content)
    first.close()
    assert alices.http.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert first.headers["Cache-Control"] == "private, no-cache"

    alices.start(num_images=1)
    work()

    again = alices.http.get(url, headers={"If-None-Match": etag})
    assert again.status_code == 200
    assert b"".join(again.streaming_content) != body
    again.close()
