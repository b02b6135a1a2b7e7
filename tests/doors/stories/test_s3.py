"""A story in a bucket: the same keys over S3's own protocol, every call signed; and what is told when the bucket is not
as it should be."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.config import Config
from botocore.retries.standard import ExponentialBackoff

from generation import storage
from generation.doors.stories import mirror
from generation.models import Request
from tests.doors.stories.desk import SESSION, Author, assert_books_are_right, do_chores, story, work
from tests.generation.support import picture
from tests.s3 import KEY_ID, REGION, SECRET, SignedS3, signed_s3

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

BUCKET = "pipeline-backend-assets"


@pytest.fixture(scope="module")
def server() -> Iterator[SignedS3]:
    with signed_s3() as store:
        yield store


def options(url: str, **more: Any) -> dict[str, Any]:
    """As in the settings, with the tests' own address and keys."""
    return {
        "bucket_name": BUCKET,
        "endpoint_url": url,
        "region_name": REGION,
        "access_key": KEY_ID,
        "secret_key": SECRET,
        "file_overwrite": False,
        "client_config": Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"total_max_attempts": 3, "mode": "standard"},
            signature_version="s3v4",
            s3={"addressing_style": "path"},
        ),
        **more,
    }


def use(settings: Any, **given: Any) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "generation.s3.S3Files", "OPTIONS": options(**given)},
    }
    storage._signed.cache_clear()


@pytest.fixture(autouse=True)
def store(server: SignedS3, media: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> SignedS3:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0)
    server.faults.clear()
    use(settings, url=server.url)
    client = storage._store().connection.meta.client  # type: ignore[attr-defined]
    existing = [one["Name"] for one in client.list_buckets()["Buckets"]]
    if BUCKET not in existing:
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=one["Key"])
    server.calls.clear()
    return server


def keys() -> list[str]:
    client = storage._store().connection.meta.client  # type: ignore[attr-defined]
    return [one["Key"] for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_a_story_lies_in_the_bucket_under_the_contracts_keys(alices: Author, store: SignedS3) -> None:
    alices.put("diagram.png", picture())
    alices.put("config.json", {"num_images": 1})
    alices.started(story(2))
    work()

    mine = [key.removeprefix(alices.path(name="")) for key in keys() if key.startswith("users/")]
    assert sorted(mine) == [
        "Tides/1. Part 1/generated_images/image_1.png",
        "Tides/2. Part 2/generated_images/image_1.png",
        "Tides/generation_report.json",
        "config.json",
        "diagram.png",
        "segments.md",
        "status.json",
    ]
    document = alices.status()
    assert (document["status"], document["total_images_generated"]) == ("completed", 2)
    assert alices.file()["segments_succeeded"] == 2
    for segment in document["segment_results"]:
        for one in segment["images"]:
            with requests.get(one["url"], timeout=5) as answer:
                assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
                assert answer.content == storage.read(one["s3_key"])
    url = document["segment_results"][0]["images"][0]["url"]
    with requests.get(url.replace("image_1", "image_2"), timeout=5) as tampered:
        assert tampered.status_code == 403
    assert document["generation_report_s3_path"].startswith(f"s3://{BUCKET}/users/")
    assert_books_are_right()


def test_names_may_hold_what_addresses_are_made_of(alices: Author) -> None:
    """Keys are quoted on their way to the store, when they are copied there, and in links."""
    for run in (1, 2):
        alices.put("segments.md", story(1, "Ebbe+Flut & Co; 100% #1 – 潮汐 'é' ~=,@$!()").replace("Part 1", "%41 a+b"))
        assert alices.start(num_images=1).status_code == 200
        work()
        document = alices.status()
        assert (run, document["status"], document["errors"]) == (run, "completed", [])
        (one,) = document["segment_results"][0]["images"]
        assert "/Ebbe+Flut & Co; 100% #1 – 潮汐 'é' ~=,@$!()/1. %41 a+b/" in one["s3_key"]
        assert one["s3_key"] in keys()
        with requests.get(one["url"], timeout=5) as answer:
            assert answer.content == storage.read(one["s3_key"])
    assert alices.file("Ebbe+Flut & Co; 100% #1 – 潮汐 'é' ~=,@$!()/generation_report.json")["segments_succeeded"] == 1


def test_a_second_run_overwrites_and_keeps_the_first_report(alices: Author) -> None:
    alices.started(story(1), num_images=1)
    work()
    first = alices.file("Tides/generation_report.json")
    alices.start(num_images=1)
    work()
    assert alices.file("Tides/generation_report.json") != first
    copies = [key for key in keys() if "generation_report_" in key]
    assert [json.loads(storage.read(key)) for key in copies] == [first]


def test_of_two_writers_the_bucket_itself_lets_one_through(alices: Author) -> None:
    alices.put("segments.md", story(1))
    key = alices.path(name="status.json")
    storage.replace_if(key, b"one", None)
    with pytest.raises(storage.FileChanged):
        storage.replace_if(key, b"another", None)
    _, version = storage.read_small(key, 100)
    storage.replace_if(key, b"two", version)
    with pytest.raises(storage.FileChanged):
        storage.replace_if(key, b"three", version)
    assert storage.read(key) == b"two"
    storage.delete(key)
    with pytest.raises(storage.FileChanged):
        storage.replace_if(key, b"four", version)


# --- What goes wrong -----------------------------------------------------------------------------


def test_what_passes_after_two_tries_is_not_noticed(alices: Author, store: SignedS3) -> None:
    alices.put("segments.md", story(1))
    store.calls.clear()
    store.fail(503, "SlowDown", times=2, method="GET", match="segments.md")
    assert alices.start().status_code == 200
    assert store.asked("GET", "segments.md") == [503, 503, 200]


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (502, "BadGateway")])
def test_after_three_tries_the_storage_is_unavailable(alices: Author, store: SignedS3, status: int, code: str) -> None:
    alices.put("segments.md", story(1))
    store.calls.clear()
    store.fail(status, code, times=9, method="GET", match="segments.md")
    answer = alices.start()
    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert store.asked("GET", "segments.md") == [status] * 3
    assert (alices.balance, Request.objects.count()) == (100, 0)


def test_a_bucket_that_refuses_us_is_told_apart_and_not_asked_again(alices: Author, store: SignedS3) -> None:
    alices.put("segments.md", story(1))
    store.calls.clear()
    store.fail(403, "AccessDenied", times=9, match="segments.md")
    answer = alices.start()
    assert (answer.status_code, answer.json()["code"]) == (403, "STORAGE_ACCESS_DENIED")
    assert store.asked("GET", "segments.md") == [403]


def test_a_missing_file_is_a_404_and_a_missing_bucket_is_not(alices: Author, settings: Any, store: SignedS3) -> None:
    assert alices.start().json()["code"] == "SEGMENTS_NOT_FOUND"
    use(settings, url=store.url, bucket_name="no-such-bucket")
    answer = alices.start()
    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_UNAVAILABLE")


def test_a_wrong_secret_is_refused_by_the_bucket(alices: Author, settings: Any, store: SignedS3) -> None:
    alices.put("segments.md", story(1))
    use(settings, url=store.url, secret_key="another")
    answer = alices.start()
    assert (answer.status_code, answer.json()["code"]) == (403, "STORAGE_ACCESS_DENIED")
    assert alices.put("segments.md", story(1)).status_code == 403


def test_a_bucket_out_of_reach_is_unavailable_and_its_address_not_told(alices: Author, settings: Any) -> None:
    use(settings, url="http://127.0.0.1:9")
    for answer in (alices.start(), alices.put("segments.md", story(1))):
        assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_UNAVAILABLE")
        assert "127.0.0.1" not in answer.content.decode()


def test_optional_files_that_the_bucket_refuses_are_warnings(alices: Author, store: SignedS3) -> None:
    """Whoever may not list a bucket is told 403 of a missing file, too."""
    alices.put("segments.md", story(1))
    store.fail(403, "AccessDenied", times=1, match="config.json")
    store.fail(403, "AccessDenied", times=1, match="diagram.png")
    assert alices.start().status_code == 200
    assert [one["code"] for one in alices.status()["warnings"]] == ["CONFIG_IGNORED", "DIAGRAM_UNREADABLE"]


def test_a_status_that_cannot_be_written_takes_the_start_back(alices: Author, store: SignedS3) -> None:
    alices.put("segments.md", story(1))
    store.fail(503, "SlowDown", times=3, method="PUT", match="status.json")
    answer = alices.start(key="a-key-of-mine")
    assert (answer.status_code, answer.json()["code"], alices.balance) == (503, "STORAGE_UNAVAILABLE", 100)
    assert alices.start(key="a-key-of-mine").status_code == 200
    assert_books_are_right()


def test_a_megabyte_more_than_allowed_is_not_read_to_its_end(alices: Author, store: SignedS3) -> None:
    storage.replace(alices.path(), io.BytesIO(b"x" * 3 * 1024 * 1024))
    assert alices.start().status_code == 413


def test_a_store_that_is_away_at_the_end_delays_it(alices: Author, store: SignedS3) -> None:
    run = alices.started(story(1), num_images=1)
    store.fail(503, "SlowDown", times=1000, method="PUT", match="status.json")
    work()
    do_chores()
    assert alices.file()["status"] == "in_progress"
    store.faults.clear()
    assert mirror.mirror(run.pk) == "written"
    assert (alices.file()["status"], alices.file()["session_id"]) == ("completed", SESSION)
