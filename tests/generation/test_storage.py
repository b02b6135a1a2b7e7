"""Files: never overwritten, never outside their folder, and read by whom a link was given to."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine
from django.core.exceptions import SuspiciousFileOperation
from django.test import Client

from generation import storage
from tests.db import race
from tests.generation.support import picture

KEY = "images/a request/vga_1-generate-1.png"


@pytest.fixture
def stored() -> bytes:
    data = picture()
    storage.save(KEY, io.BytesIO(data))
    return data


# --- Saving ------------------------------------------------------------------------------------------


def test_what_is_saved_is_read_again_and_leaves_nothing_beside_it(stored: bytes, media: Path) -> None:
    assert storage.read(KEY) == stored
    assert [path.name for path in media.rglob("*") if path.is_file()] == ["vga_1-generate-1.png"]


def test_a_key_is_never_overwritten(stored: bytes) -> None:
    with pytest.raises(storage.KeyTaken):
        storage.save(KEY, io.BytesIO(b"another"))
    assert storage.read(KEY) == stored


@pytest.mark.django_db(transaction=True)
def test_of_eight_that_save_at_once_one_is_stored_whole() -> None:
    bodies = [bytes([number]) * 300_000 for number in range(6)]
    outcomes = race(*[lambda body=body: storage.save("images/one", io.BytesIO(body)) for body in bodies])
    assert [type(one) for one in outcomes if one is not None] == [storage.KeyTaken] * 5
    assert storage.read("images/one") == bodies[outcomes.index(None)]


def test_a_fixed_key_takes_another_file_at_once_and_leaves_nothing_beside_it(stored: bytes, media: Path) -> None:
    storage.replace(KEY, io.BytesIO(b"another"))
    assert storage.read(KEY) == b"another"
    storage.replace("users/a/new.png", io.BytesIO(b"new"))
    storage.copy("users/a/new.png", KEY)
    storage.copy(KEY, KEY)
    assert storage.read(KEY) == storage.read("users/a/new.png") == b"new"
    storage.replace("users/a/new.png", io.BytesIO(b"newer"))
    assert storage.read(KEY) == b"new", "a copy is a file of its own"
    assert len([path for path in media.rglob("*") if path.is_file()]) == 2
    with pytest.raises(storage.KeyMissing):
        storage.copy("users/a/none.png", KEY)


@pytest.mark.parametrize("key", ["../outside.png", "images/../../outside.png", "/etc/outside.png"])
def test_a_key_does_not_leave_the_folder(key: str, media: Path) -> None:
    with pytest.raises(SuspiciousFileOperation):
        storage.save(key, io.BytesIO(b"data"))
    assert not (media.parent / "outside.png").exists()


def test_a_file_is_compared_by_its_size_and_content(stored: bytes) -> None:
    digest = hashlib.sha256(stored).hexdigest()
    assert storage.matches(KEY, len(stored), digest)
    assert not storage.matches(KEY, len(stored) + 1, digest)
    assert not storage.matches(KEY, len(stored), hashlib.sha256(b"").hexdigest())
    assert not storage.matches("images/none.png", len(stored), digest)


def test_what_is_missing_is_missing_and_deleting_it_again_is_no_fault(stored: bytes) -> None:
    storage.delete(KEY)
    storage.delete(KEY)
    with pytest.raises(storage.KeyMissing):
        storage.read(KEY)


def test_a_store_that_cannot_be_used_says_so_without_its_place(media: Path) -> None:
    media.parent.mkdir(exist_ok=True)
    media.write_text("a file where the folder should be")
    with pytest.raises(storage.StorageError) as caught:
        storage.save(KEY, io.BytesIO(b"data"))
    assert str(media) not in str(caught.value)


# --- Links -------------------------------------------------------------------------------------------


def get(link: str, **changes: str) -> Any:
    parts = urlsplit(link)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changes
    return Client().get(f"{parts.path}?{urlencode(query)}")


def status_of(answer: Any) -> int:
    answer.close()
    return int(answer.status_code)


def body_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_a_link_serves_the_file_and_nothing_else_runs_in_a_browser(stored: bytes) -> None:
    link = storage.link(KEY, "http://testserver/api/")
    assert link.startswith("http://testserver/files/images/a%20request/")
    answer = get(link)
    assert (answer.status_code, body_of(answer)) == (200, stored)
    assert answer["Content-Type"] == "image/png"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Cache-Control"].startswith("private, max-age=")
    again = Client().get(urlsplit(link).path + "?" + urlsplit(link).query, headers={"if-none-match": answer["ETag"]})
    assert status_of(again) == 304
    answer.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "a" * 43},
        {"signature": ""},
        {"expires": "99999999999"},
        {"expires": "-1"},
        {"expires": "٣"},  # a digit to Python, none to us
        {"expires": "1e12"},
        {"expires": "9" * 30},
        {"expires": ""},
    ],
    ids=str,
)
def test_an_altered_link_serves_nothing(stored: bytes, changes: dict[str, str]) -> None:
    assert get(storage.link(KEY, "http://testserver/"), **changes).status_code == 404


def test_the_signature_of_one_file_opens_no_other(stored: bytes) -> None:
    storage.save("images/other.png", io.BytesIO(stored))
    query = urlsplit(storage.link(KEY, "http://testserver/")).query
    for path in ("/files/images/other.png", "/files/images/../images/other.png", "/files/../settings.py", "/files/"):
        assert Client().get(f"{path}?{query}").status_code == 404


@pytest.mark.parametrize("made_at", ["2026-11-21T10:59:59Z", "2026-11-21T10:45:00Z", "2026-11-21T10:45:01Z"])
def test_a_link_lasts_its_time_up_to_a_quarter_more(stored: bytes, settings: Any, made_at: str) -> None:
    with time_machine.travel(made_at, tick=False) as clock:
        link = storage.link(KEY, "http://testserver/")
        clock.shift(settings.LINK_SECONDS)
        assert status_of(get(link)) == 200
        clock.shift(settings.LINK_SECONDS // 4 + 1)
        assert status_of(get(link)) == 404


def test_links_repeat_within_their_window_so_that_caches_help(stored: bytes) -> None:
    with time_machine.travel("2026-11-21T10:00:01Z", tick=False) as clock:
        first = storage.link(KEY, "http://testserver/")
        clock.shift(890)
        assert storage.link(KEY, "http://testserver/") == first


def test_a_signed_link_to_a_file_that_is_gone_is_404(stored: bytes) -> None:
    link = storage.link(KEY, "http://testserver/")
    storage.delete(KEY)
    assert status_of(get(link)) == 404


def test_a_public_store_has_plain_links(settings: Any) -> None:
    settings.STORAGE_PUBLIC_URL = "https://cdn.example"
    assert storage.link("images/a b.png", "http://testserver/") == "https://cdn.example/images/a%20b.png"
