"""PUT …/files/…: what is stored, what it is told, and that nothing is stored that cannot be used."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from generation import storage
from generation.models import StorySession
from tests.doors.stories.desk import SESSION, Author, faults_of, story
from tests.doors.stories.samples import BAD, GOOD
from tests.generation.support import picture

pytestmark = pytest.mark.django_db(transaction=True)


def is_stored(author: Author, name: str) -> bool:
    return storage.has(author.path(name=name))


def test_a_story_is_stored_in_its_place_and_outlined(alices: Author) -> None:
    answer = alices.put("segments.md", GOOD)

    assert answer.status_code == 200
    told = answer.json()
    assert told["s3_path"] == f"users/{alices.user.storage_id}/{SESSION}/images/segments.md"
    assert storage.read(told["s3_path"]) == GOOD.encode()
    assert told["warnings"] == []
    assert (told["outline"]["template_title"], told["outline"]["segments_total"]) == ("How Tides Work", 4)
    assert told["outline"]["segments"][2] == {
        "segment_number": 3,
        "segment_title": "Two Tides a Day",
        "segment_duration": 18,
        "narration": "The planet turns through both bulges, so most coasts see two high tides every day.",
        "visual_guidance": "Time-lapse of one harbour: boats afloat, then boats on mud",
        "line": 30,
    }


def test_warnings_name_their_lines(alices: Author) -> None:
    told = alices.put("segments.md", story(1).replace("(0-8 seconds)", "(8-0)")).json()
    assert [(one["code"], one["line"]) for one in told["warnings"]] == [("NEGATIVE_DURATION", 3)]


def test_a_story_with_faults_is_refused_with_all_of_them_and_not_stored(alices: Author) -> None:
    answer = alices.put("segments.md", BAD)
    assert len(faults_of(answer)) == 8
    assert [fault["line"] for fault in answer.json()["errors"]] == [1, 11, 15, 19, 23, 26, 33, 39]
    assert not is_stored(alices, "segments.md")
    assert not StorySession.objects.exists()


def test_a_later_file_takes_the_place_of_an_earlier_one(alices: Author) -> None:
    alices.put("segments.md", story(1))
    assert alices.put("segments.md", story(2)).status_code == 200
    assert storage.read(alices.path()) == story(2).encode()


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 200), (1024 * 1024 + 1, 413)])
def test_a_megabyte_is_taken_and_one_byte_more_is_not(alices: Author, size: int, status: int) -> None:
    answer = alices.put("segments.md", (story(1) + "x" * size)[:size])
    assert answer.status_code == status
    assert is_stored(alices, "segments.md") == (status == 200)


def test_a_form_with_a_file_in_it_is_not_taken_for_the_file(alices: Author) -> None:
    """`curl -F file=@segments.md` wraps it: what lies between the boundaries would be read, and they with it."""
    form = f'--x\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n{story(1)}\r\n--x--\r\n'
    path = f"story-sessions/{SESSION}/files/segments.md"
    answer = alices.call("PUT", path, form, content_type="multipart/form-data; boundary=x")
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert not is_stored(alices, "segments.md")


def test_config_json_is_told_what_it_comes_to(alices: Author) -> None:
    told = alices.put("config.json", {"num_images": 7, "fast_mode": True, "theirs": [1]}).json()
    assert told["options"] == {"num_images": 3, "max_passes": 5, "max_verification_passes": 3, "fast_mode": True}
    assert [one["code"] for one in told["warnings"]] == ["OPTION_LOWERED"]
    assert alices.file("config.json")["theirs"] == [1]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("[]", "MALFORMED_JSON"),
        ("{", "MALFORMED_JSON"),
        ("", "MALFORMED_JSON"),
        ('{"num_images": 0}', "VALIDATION_ERROR"),
    ],
)
def test_a_config_json_that_is_wrong_is_refused(alices: Author, body: str, code: str) -> None:
    answer = alices.put("config.json", body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not is_stored(alices, "config.json")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_diagram_of_any_kind_becomes_a_png(alices: Author, kind: str) -> None:
    told = alices.put("diagram.png", picture(kind)).json()
    assert (told["width"], told["height"]) == (64, 48)
    assert Image.open(io.BytesIO(storage.read(told["s3_path"]))).format == "PNG"


@pytest.mark.parametrize("body", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"<svg/>"])
def test_what_is_no_picture_is_no_diagram(alices: Author, body: bytes) -> None:
    answer = alices.put("diagram.png", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_IMAGE")
    assert not is_stored(alices, "diagram.png")


def test_there_are_three_files_and_no_others(alices: Author) -> None:
    for name in ("status.json", "x", "segments.MD"):
        assert alices.put(name, b"x").status_code == 404
    assert alices.put("segments.md", story(1), "a b").status_code == 404


def test_a_store_that_refuses_or_is_away_is_told_apart(alices: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, status, code in (
        (storage.StoreRefuses("no"), 403, "STORAGE_ACCESS_DENIED"),
        (storage.StorageError("away"), 503, "STORAGE_UNAVAILABLE"),
    ):

        def refuse(*args: Any, fault: Exception = fault) -> None:
            raise fault

        monkeypatch.setattr(storage, "replace", refuse)
        answer = alices.put("segments.md", story(1))
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert ("Retry-After" in answer.headers) == (status == 503)
