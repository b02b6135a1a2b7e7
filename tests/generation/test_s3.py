"""The S3 store over its real protocol, against a local server that speaks it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.config import Config
from django.core.management import call_command
from moto.server import ThreadedMotoServer

from generation import storage

BUCKET = "assets"
DATA = b"not really a picture"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def bucket(endpoint: str, settings: Any) -> None:
    options = {
        "bucket_name": BUCKET,
        "endpoint_url": endpoint,
        "region_name": "us-east-2",
        "access_key": "a-key",
        "secret_key": "a-secret",
        "file_overwrite": False,
        "client_config": Config(retries={"max_attempts": 1}, signature_version="s3v4", s3={"addressing_style": "path"}),
    }
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "generation.s3.S3Files", "OPTIONS": options}}
    storage._signed.cache_clear()
    requests.post(f"{endpoint}/moto-api/reset", timeout=5).close()
    storage._store().connection.create_bucket(  # type: ignore[attr-defined]
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-east-2"}
    )


def test_a_file_is_stored_once_and_read_back() -> None:
    storage.save("images/a.png", io.BytesIO(DATA))

    with pytest.raises(storage.KeyTaken):
        storage.save("images/a.png", io.BytesIO(b"another"))
    assert storage.read("images/a.png") == DATA
    assert storage.matches("images/a.png", len(DATA), hashlib.sha256(DATA).hexdigest())
    assert not storage.matches("images/a.png", len(DATA), hashlib.sha256(b"another").hexdigest())


def test_a_bucket_is_made_where_there_is_none(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.STORAGE_BACKEND = "s3"
    call_command("bucket")
    assert "exists" in capsys.readouterr().out
    storage._store().connection.meta.client.delete_bucket(Bucket=BUCKET)  # type: ignore[attr-defined]
    with pytest.raises(storage.StorageError):
        storage.save("images/a.png", io.BytesIO(DATA))
    call_command("bucket")
    assert "made" in capsys.readouterr().out
    storage.save("images/a.png", io.BytesIO(DATA))
    assert storage.read("images/a.png") == DATA


def test_a_fixed_key_takes_another_file() -> None:
    storage.save("images/a.png", io.BytesIO(DATA))
    storage.replace("users/a.png", io.BytesIO(b"older"))
    storage.copy("images/a.png", "users/a.png")
    assert storage.read("users/a.png") == DATA
    with requests.get(storage.link("users/a.png", "http://desk/"), timeout=5) as answer:
        assert answer.headers["Content-Type"] == "image/png"
    with pytest.raises(storage.KeyMissing):
        storage.copy("images/nobody.png", "users/a.png")


def test_a_missing_file_is_said_to_be_missing() -> None:
    with pytest.raises(storage.KeyMissing):
        storage.read("images/nobody.png")
    assert not storage.matches("images/nobody.png", 1, "")
    storage.delete("images/nobody.png")


def test_a_link_leads_to_the_file_and_repeats() -> None:
    storage.save("images/b.png", io.BytesIO(DATA))

    link = storage.link("images/b.png", "http://desk/")

    assert link == storage.link("images/b.png", "http://desk/")
    with requests.get(link, timeout=5) as answer:
        assert (answer.content, answer.headers["Content-Type"]) == (DATA, "image/png")


def test_a_store_that_is_away_is_an_error_without_its_address(settings: Any) -> None:
    options = {**settings.STORAGES["default"]["OPTIONS"], "endpoint_url": "http://127.0.0.1:9"}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}

    with pytest.raises(storage.StorageError) as caught:
        storage.read("images/a.png")
    assert "127.0.0.1" not in str(caught.value)
