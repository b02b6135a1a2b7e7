"""POST /api/process-story-segments: what it takes, what it refuses in which order, and that a refusal costs nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from config.api import idempotency
from config.models import Idempotency
from credits import ledger
from generation import engine, storage
from generation.doors.stories import starting
from generation.models import Chore, Event, EventKind, Item, Request, RequestStatus, StorySession
from providers import secrets
from tests.db import race
from tests.doors.stories.desk import (
    SESSION,
    Author,
    assert_books_are_right,
    do_chores,
    faults_of,
    let_time_pass,
    run_of,
    story,
    work,
)
from tests.doors.stories.samples import BAD, GOOD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]


def assert_untouched(author: Author) -> None:
    assert author.balance == 100
    assert not Request.objects.exists()
    assert not Chore.objects.exists()
    with pytest.raises(storage.KeyMissing):
        storage.read(author.path(name="status.json"))


# --- It is taken ---------------------------------------------------------------------------------


def test_a_story_is_accepted_charged_and_its_status_written_before_the_answer(alices: Author) -> None:
    alices.put("segments.md", GOOD)

    answer = alices.start()

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "status": "accepted",
            "session_id": SESSION,
            "message": "Processing started, listen to WebSocket for updates",
        },
    )
    assert alices.balance == 100 - 4 * 2
    document = alices.file()
    assert document == alices.status()
    assert {**document, "started_at": ""} == {
        "session_id": SESSION,
        "status": "in_progress",
        "template_title": "How Tides Work",
        "started_at": "",
        "segments_total": 4,
        "segments_completed": 0,
        "segments_succeeded": 0,
        "segments_failed": 0,
        "options": {"num_images": 2, "max_passes": 5, "max_verification_passes": 3, "fast_mode": False},
        "warnings": [{"code": "DIAGRAM_MISSING", "message": document["warnings"][0]["message"]}],
        "generation_report_s3_path": "s3://pipeline-backend-assets/"
        + alices.path(name="How Tides Work/generation_report.json"),
    }
    assert document["started_at"].endswith("Z")
    items = Item.objects.order_by("index")
    assert [(item.params["segment"], item.params["image"]) for item in items] == [
        (n, k) for n in (1, 2, 3, 4) for k in (1, 2)
    ]
    assert items[0].params["key"] == alices.path(name="How Tides Work/1. Hook/generated_images/image_1.png")
    assert_books_are_right()


def test_the_whole_path_may_be_named_with_its_bucket_and_other_folders(alices: Author) -> None:
    key = f"users/{alices.user.storage_id}/{SESSION}/drafts/two/story.md"
    alices.put("segments.md", story(1))
    storage.copy(alices.path(), key)

    assert alices.start(path=f"s3://pipeline-backend-assets/{key}").status_code == 200

    assert StorySession.objects.get().directory == key.removesuffix("story.md")
    assert json.loads(storage.read(key.removesuffix("story.md") + "status.json"))["status"] == "in_progress"


def test_the_longest_names_that_are_taken_are_drawn_and_stored(alices: Author) -> None:
    session, head = "s" * 128, f"users/{alices.user.storage_id}/"
    key = f"{head}{session}/{'d' * 200}/{'e' * (600 - len(head) - 128 - 202 - 12)}/segments.md"
    assert len(key) == 600
    text = story(1, title="T" * 300).replace("Part 1", "P" * 300)
    storage.replace(key, io.BytesIO(text.encode()))

    assert alices.start(session, path=key, num_images=1).status_code == 200
    work()

    ((picture,),) = [one["images"] for one in alices.status(session)["segment_results"]]
    assert storage.read(picture["s3_key"])
    assert_books_are_right()


@pytest.mark.parametrize("title", ["status.json", "segments.md"])
def test_a_story_called_like_one_of_its_files_lies_beside_it(alices: Author, title: str) -> None:
    """A folder of that name could not be made where files are; nothing could be drawn, and no end be told."""
    alices.put("segments.md", story(1, title))
    assert alices.start(num_images=1).status_code == 200
    work()
    document = alices.file()
    assert (document["status"], document["template_title"]) == ("completed", f"{title}_")
    assert alices.file(f"{title}_/generation_report.json")["segments_succeeded"] == 1


def test_a_folder_is_no_file(alices: Author) -> None:
    for name in ("segments.md", "config.json", "diagram.png"):
        storage.replace(alices.path(name=f"{name}/x"), io.BytesIO(b"x"))
    answer = alices.start()
    assert (answer.status_code, answer.json()["code"]) == (404, "SEGMENTS_NOT_FOUND")

    alices.put("segments.md", story(1), "other")
    for name in ("config.json", "diagram.png"):
        storage.replace(alices.path("other", f"{name}/x"), io.BytesIO(b"x"))
    assert alices.start("other", num_images=1).status_code == 200
    work()
    document = alices.status("other")
    assert document["status"] == "completed"
    assert [one["code"] for one in document["warnings"]] == ["DIAGRAM_MISSING"]


@pytest.mark.parametrize(
    ("config", "options", "effective", "warned"),
    [
        (None, {}, (2, 5, 3, False), []),
        ({"num_images": 1, "fast_mode": True}, {}, (1, 5, 3, True), []),
        ({"num_images": 1, "max_passes": 7}, {"num_images": 3}, (3, 7, 3, False), []),
        ({"num_images": 1}, {"num_images": None, "fast_mode": True, "colour": "blue"}, (1, 5, 3, True), []),
        (None, {"num_images": 4, "max_passes": 99}, (3, 10, 3, False), ["OPTION_LOWERED"] * 2),
        ({"num_images": 10**400}, {"max_passes": 10**400}, (3, 10, 3, False), ["OPTION_LOWERED"] * 2),
        ({"max_verification_passes": 9}, {}, (2, 5, 5, False), ["OPTION_LOWERED"]),
    ],
)
def test_options_beat_config_json_which_beats_the_defaults(
    alices: Author, config: Any, options: dict[str, Any], effective: tuple[Any, ...], warned: list[str]
) -> None:
    alices.put("segments.md", story(1))
    if config is not None:
        alices.put("config.json", config)

    alices.start(**options)

    document = alices.status()
    assert tuple(document["options"].values()) == effective
    assert [one["code"] for one in document["warnings"] if one["code"] != "DIAGRAM_MISSING"] == warned
    assert alices.balance == 100 - effective[0]


@pytest.mark.parametrize(
    ("raw", "left", "count"),
    [
        (b"not json", {}, 1),
        (b"[1]", {}, 1),
        (b"\xff", {}, 1),
        (b"[" * 100_000, {}, 1),
        (b'{"num_images": true, "max_passes": 0, "fast_mode": "yes", "max_verification_passes": 2}', {}, 3),
        (b'{"num_images": "2", "max_passes": 1.5, "other": 1}', {}, 2),
        (b" " * 70_000, {}, 1),
        (b'{"num_images": NaN, "max_passes": Infinity, "max_verification_passes": -Infinity, "fast_mode": NaN}', {}, 4),
        (b'{"num_images": 1e999, "max_passes": 2.0}', {}, 1),
    ],
)
def test_what_is_wrong_in_config_json_is_left_out_with_a_warning(
    alices: Author, raw: bytes, left: dict[str, Any], count: int
) -> None:
    alices.put("segments.md", story(1))
    storage.replace(alices.path(name="config.json"), io.BytesIO(raw))

    assert alices.start().status_code == 200

    document = alices.status()
    assert [one["code"] for one in document["warnings"]] == ["CONFIG_IGNORED"] * count + ["DIAGRAM_MISSING"]
    assert document["options"]["max_verification_passes"] == (2 if b'passes": 2}' in raw else 3)


def test_oddities_of_the_file_are_told_as_warnings(alices: Author) -> None:
    alices.put("segments.md", story(1).replace("(0-8 seconds)", ""))
    alices.start()
    assert alices.status()["warnings"][0]["code"] == "MISSING_DURATION"


# --- It is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, [("session_id", "REQUIRED"), ("s3_path", "REQUIRED")]),
        ({"session_id": "a b", "s3_path": 7}, [("session_id", "INVALID_ID"), ("s3_path", "INVALID")]),
        ({"session_id": "..", "s3_path": "x"}, [("session_id", "INVALID_ID")]),
        ({"session_id": "ü", "s3_path": "x"}, [("session_id", "INVALID_ID")]),
        ({"session_id": "a\0", "s3_path": "x"}, [("session_id", "INVALID_ID")]),
        ({"session_id": "\ud800", "s3_path": "x"}, [("session_id", "INVALID_ID")]),
        ({"session_id": "a" * 129, "s3_path": "x"}, [("session_id", "INVALID_ID")]),
        ({"session_id": "s", "s3_path": "x", "options": []}, [("options", "INVALID")]),
        (
            {"session_id": "s", "s3_path": "x", "options": {"num_images": 0, "max_passes": True, "fast_mode": 1}},
            [("options.num_images", "MIN_VALUE"), ("options.max_passes", "INVALID"), ("options.fast_mode", "INVALID")],
        ),
        (
            {"session_id": "s", "s3_path": "x", "options": {"max_verification_passes": "3", "num_images": 1.5}},
            [("options.num_images", "INVALID"), ("options.max_verification_passes", "INVALID")],
        ),
    ],
)
def test_a_body_is_checked_whole(alices: Author, body: Any, faults: list[tuple[str, str]]) -> None:
    answer = alices.call("POST", "process-story-segments", body)
    assert (faults_of(answer), answer.json()["code"]) == (faults, "VALIDATION_ERROR")
    assert_untouched(alices)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("users/{me}/session456/segments.txt", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/../x.md", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/./x.md", 400, "INVALID_S3_PATH"),
        ("users/{me}//session456/x.md", 400, "INVALID_S3_PATH"),
        ("/users/{me}/session456/x.md", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/a\\b.md", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/a\nb.md", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/a\0b.md", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/a\ud800b.md", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/.md", 400, "INVALID_S3_PATH"),
        ("users/{me}/x.md", 400, "INVALID_S3_PATH"),
        ("others/{me}/session456/x.md", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/" + "a" * 300 + ".md", 400, "INVALID_S3_PATH"),
        ("users/{me}/session456/" + "a/" * 300 + "x.md", 400, "INVALID_S3_PATH"),
        ("s3://other-bucket/users/{me}/session456/x.md", 400, "S3_BUCKET_NOT_ALLOWED"),
        ("s3://pipeline-backend-assets", 400, "INVALID_S3_PATH"),
        ("users/{me}/session457/x.md", 400, "S3_PATH_SESSION_MISMATCH"),
        ("users/somebody/session456/x.md", 404, "SESSION_NOT_FOUND"),
        ("users/{me}/session456/images/none.md", 404, "SEGMENTS_NOT_FOUND"),
        ("users/{me}/session456/segments.md/x.md", 404, "SEGMENTS_NOT_FOUND"),
    ],
)
def test_a_path_is_the_callers_own_or_none(alices: Author, path: str, status: int, code: str) -> None:
    answer = alices.start(path=path.format(me=alices.user.storage_id))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert_untouched(alices)


def test_a_file_with_faults_is_refused_with_all_of_them(alices: Author) -> None:
    alices.put("segments.md", story(1))
    storage.replace(alices.path(), io.BytesIO(BAD.encode()))

    answer = alices.start()

    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_SEGMENTS_MD")
    found = [(one["code"], one["field"], one["line"]) for one in answer.json()["errors"]]
    assert found[0] == ("MISSING_TEMPLATE", "template", 1)
    assert found[-1] == ("UNCLOSED_NARRATION", "segments[7].narration", 39)
    assert len(found) == 8
    assert_untouched(alices)


def test_a_megabyte_is_taken_and_one_byte_more_is_not(alices: Author) -> None:
    text = story(2)
    for size, status in ((starting.MOST_BYTES, 200), (starting.MOST_BYTES + 1, 413)):
        body = (text + "x" * size)[:size].encode()
        storage.replace(alices.path("big"), io.BytesIO(body))
        assert alices.start("big").status_code == status
        work()


def test_too_few_credits_store_nothing(alices: Author, bob: Any) -> None:
    alices.put("segments.md", story(50))
    answer = alices.start(num_images=3)
    assert (answer.status_code, answer.json()["code"]) == (402, "INSUFFICIENT_CREDITS")
    assert (answer.json()["required"], answer.json()["available"]) == (150, 100)
    assert_untouched(alices)


def test_a_session_belongs_to_whoever_used_it_first(alices: Author, bobs: Author) -> None:
    alices.started(story(1))
    for answer in (
        bobs.put("segments.md", story(1)),
        bobs.call("GET", f"story-sessions/{SESSION}"),
        bobs.call("GET", "story-sessions/unknown"),
        bobs.call("GET", "story-sessions/..%2f"),
    ):
        assert answer.status_code == 404
    storage.replace(bobs.path(), io.BytesIO(story(1).encode()))
    answer = bobs.start()
    assert (answer.status_code, answer.json()["code"]) == (404, "SESSION_NOT_FOUND")
    assert bobs.balance == 100


def test_a_missing_key_refuses_before_anything_is_charged(alices: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    alices.put("segments.md", story(1))

    def missing(provider: str) -> str:
        raise secrets.MissingKey("not set")

    monkeypatch.setattr(secrets, "key", missing)
    answer = alices.start()
    assert (answer.status_code, answer.json()["code"]) == (500, "SECRETS_UNAVAILABLE")
    assert_untouched(alices)


# --- Once at a time ------------------------------------------------------------------------------


def test_a_running_session_is_not_started_again(alices: Author) -> None:
    alices.started(story(1))
    answer = alices.start()
    assert (answer.status_code, answer.json()["code"]) == (409, "SESSION_IN_PROGRESS")
    assert alices.balance == 98


def test_of_two_starts_at_once_one_wins(alices: Author) -> None:
    for n in range(6):
        session = f"race-{n}"
        alices.put("segments.md", story(1), session)
        answers = race(*[lambda session=session: Author(alices.user).start(session)] * 2)
        assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert Request.objects.count() == 6
    assert alices.balance == 100 - 12
    assert_books_are_right()


def test_the_database_itself_keeps_a_second_run_out(alices: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    alices.started(story(1))
    before = alices.balance
    monkeypatch.setattr(starting, "OPEN", ())
    monkeypatch.setattr("generation.doors.stories.mirror.is_current", lambda session: True)
    answer = alices.start()
    assert (answer.status_code, answer.json()["code"]) == (409, "SESSION_IN_PROGRESS")
    assert (alices.balance, Request.objects.count()) == (before, 1)


def test_a_repeat_with_the_same_key_gets_the_first_answer_also_after_the_files_are_gone(alices: Author) -> None:
    alices.put("segments.md", story(1))
    first = alices.start(key="a-key-of-mine")
    storage.delete(alices.path())
    again = alices.start(key="a-key-of-mine")
    assert (first.json(), again.headers["Idempotency-Replayed"]) == (again.json(), "true")
    assert (alices.balance, Request.objects.count()) == (98, 1)
    other = alices.start(key="a-key-of-mine", num_images=1)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_what_is_ignored_may_hold_any_text(alices: Author) -> None:
    alices.put("segments.md", story(1))
    assert alices.start(key="a-key-of-mine", note="\ud800 and \0").status_code == 200
    assert alices.start(key="a-key-of-mine", note="\ud800 and \0").headers["Idempotency-Replayed"] == "true"


# --- The first status.json cannot be written -----------------------------------------------------


@contextmanager
def away() -> Iterator[None]:
    """The store goes away after the files were read."""

    def refuse(*args: Any) -> None:
        raise storage.StorageError("away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "replace_if", refuse)
        yield


def test_a_start_that_cannot_be_announced_is_taken_back_whole(alices: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    alices.put("segments.md", story(2))
    with away():
        answer = alices.start(key="a-key-of-mine")

    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0
    assert (alices.balance, Request.objects.get().status) == (100, RequestStatus.CANCELLED)
    assert not Idempotency.objects.exists()
    assert alices.call("GET", f"story-sessions/{SESSION}").status_code == 404
    do_chores()
    with pytest.raises(storage.KeyMissing):
        storage.read(alices.path(name="status.json"))
    assert alices.start(key="a-key-of-mine").status_code == 200
    assert alices.balance == 96
    assert_books_are_right()


def test_a_key_is_free_again_with_the_refund_and_not_after_it(alices: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, a repeat would be told that a run was accepted that had been taken back."""
    alices.put("segments.md", story(1))
    forget = idempotency.forget
    taken_back: list[bool] = []

    def note(request: Any) -> None:
        taken_back.append(Request.objects.get().status == RequestStatus.CANCELLED and not connection.in_atomic_block)
        forget(request)

    monkeypatch.setattr(idempotency, "forget", note)
    with away():
        assert alices.start(key="a-key-of-mine").status_code == 503
    assert taken_back == [False]
    assert not Idempotency.objects.exists()


def test_a_start_that_is_taken_back_leaves_the_earlier_run_as_it_was(alices: Author) -> None:
    alices.started(story(1))
    work()
    before, balance = alices.file(), alices.balance

    with away():
        assert alices.start().status_code == 503
    do_chores()

    assert (alices.file(), alices.balance) == (before, balance)
    assert alices.status()["status"] == "completed"
    assert_books_are_right()


def test_a_start_whose_store_wrote_and_could_not_say_so_leaves_no_word_of_it(
    alices: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    alices.started(story(1))
    work()
    before, write = alices.file(), storage.replace_if

    def lose_the_answer(*args: Any) -> None:
        write(*args)
        raise storage.StorageError("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "replace_if", lose_the_answer)
        assert alices.start().status_code == 503
    assert alices.file()["status"] == "in_progress"
    do_chores()

    assert (alices.file(), alices.status()["status"]) == (before, "completed")
    assert Event.objects.filter(kind=EventKind.MIRRORED).count() == 1
    assert_books_are_right()


def test_a_start_whose_process_dies_before_the_status_is_announced_by_a_worker(
    alices: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    alices.put("segments.md", story(1))
    monkeypatch.setattr(starting, "announce", lambda begun: None)  # killed in between
    alices.start()
    with pytest.raises(storage.KeyMissing):
        alices.file()
    Chore.objects.update(run_after="2000-01-01T00:00:00Z")
    do_chores()
    assert alices.file()["status"] == "in_progress"


# --- Again ---------------------------------------------------------------------------------------


def test_a_finished_session_may_be_started_again_and_its_report_is_kept(alices: Author) -> None:
    alices.started(story(1))
    work()
    first = alices.file("Tides/generation_report.json")
    key = alices.status()["segment_results"][0]["images"][0]["s3_key"]
    picture = storage.read(key)

    assert alices.start(num_images=1).status_code == 200
    assert alices.file()["status"] == "in_progress"
    work()

    second = alices.file("Tides/generation_report.json")
    assert (first["total_images_generated"], second["total_images_generated"]) == (2, 1)
    stamp = first["generation_timestamp"].replace("-", "").replace(":", "").replace("T", "_")[:15]
    assert alices.file(f"Tides/generation_report_{stamp}.json") == first
    assert alices.status()["segments_succeeded"] == 1
    assert storage.read(key) != picture
    assert alices.balance == 100 - 2 - 1
    assert_books_are_right()


def test_a_start_writes_down_an_earlier_end_that_no_worker_has(alices: Author) -> None:
    alices.started(story(1))
    run = run_of()
    engine.cancel(run.pk)
    assert Chore.objects.filter(kind="mirror", done_at__isnull=True).exists()

    assert alices.start().status_code == 200

    assert StorySession.objects.get().request_id != run.pk
    assert (alices.balance, ledger.check()) == (98, [])
    do_chores()
    let_time_pass()
    assert alices.file()["status"] == "in_progress"
