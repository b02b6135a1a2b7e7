"""Inputs by URL: the contract's table of refusals, and that nothing is stored or charged before an input is in hand."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from generation import storage
from generation.models import Asset, AssetKind, Item, Request
from providers import fetch
from tests.doors.makeit3d.desk import OBJ, Customer, glb, item_of, picture, refusal_of
from tests.providers.servers import Listener, dripping, listening, saying, self_signed

pytestmark = pytest.mark.django_db(transaction=True)


def answering(body: bytes, status: str = "200 OK") -> Any:
    return saying(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body))


@pytest.fixture
def files(settings: Any) -> Iterator[Any]:
    """Start a server that the settings trust, and say what it answers; returns a link to a file of it."""
    servers: list[Any] = []

    def serve(talk: Any) -> str:
        context = listening(talk)
        server: Listener = context.__enter__()
        servers.append(context)
        settings.INPUT_ASSET_ALLOWED_HOSTS = [f"http://127.0.0.1:{server.port}"]
        return f"http://127.0.0.1:{server.port}/bucket/file"

    yield serve
    for context in servers:
        context.__exit__(None, None, None)


def asked(customer: Customer, link: Any, operation: str = "remove-background", **fields: Any) -> Any:
    least = {"remove-background": {"provider": "stability"}, "downscale": {"max_size_mb": 1}, "refine-model": {}}
    field = "input_model_asset_url" if operation == "refine-model" else "input_image_asset_url"
    return customer.post(operation, {**least[operation], field: link, **fields})


def assert_nothing_happened(customer: Customer, media: Path, files: int = 0) -> None:
    assert customer.balance == 100
    assert not Request.objects.exists()
    assert len([path for path in media.rglob("*") if path.is_file()]) == files


# --- Our own links -------------------------------------------------------------------------------


def test_a_link_of_ones_own_is_used_as_it_lies(alices: Customer) -> None:
    asset = alices.asset()
    answer = asked(alices, alices.link_of(asset))
    assert answer.status_code == 200
    item = item_of(answer.json()["task_id"])
    assert item.steps[0]["inputs"]["images"] == [asset.key]
    assert alices.rows("images")[0]["source_input_asset_id"] == str(asset.pk)
    assert Asset.objects.count() == 1


@pytest.mark.parametrize(
    "changed",
    [
        lambda link: link.partition("?")[0],
        lambda link: link.replace("signature=", "signature=x"),
        lambda link: link.replace("expires=", "expires=1"),
        lambda link: link + "#part",
        lambda link: link.replace("http://testserver", "HTTP://TestServer"),
    ],
)
def test_the_owner_is_the_permission_whatever_became_of_the_signature(alices: Customer, changed: Any) -> None:
    assert asked(alices, changed(alices.link_to())).status_code == 200


def test_a_public_link_of_ones_own_is_known(alices: Customer, settings: Any) -> None:
    settings.STORAGE_PUBLIC_URL = "https://cdn.atelier.example/bucket"
    link = alices.link_to()
    assert link.startswith("https://cdn.atelier.example/bucket/inputs/")
    assert asked(alices, link).status_code == 200


@pytest.mark.parametrize("whose", ["bobs", "nobodys", "outside the folder", "odd"])
def test_anothers_file_is_as_missing_as_one_that_never_was(
    alices: Customer, bobs: Customer, media: Path, whose: str
) -> None:
    mine = alices.asset()
    bobs_link = bobs.link_to()
    link = {
        "bobs": bobs_link,
        "nobodys": bobs_link.replace(str(bobs.user.pk), str(uuid4())),  # type: ignore[union-attr]
        "outside the folder": f"http://testserver/files/x/../{mine.key}",
        "odd": f"http://testserver/files/{mine.key}%00",
    }[whose]
    answer = asked(alices, link)
    assert refusal_of(answer) == (404, "INPUT_ASSET_NOT_FOUND")
    assert answer.json()["error"] == "There is no file behind the link."
    assert_nothing_happened(alices, media, files=2)


def test_a_file_of_the_wrong_kind_is_refused_by_its_field(alices: Customer) -> None:
    answer = asked(alices, alices.link_to("model"))
    assert refusal_of(answer) == (422, "INPUT_INVALID")
    assert answer.json()["errors"][0]["field"] == "input_image_asset_url"
    assert refusal_of(asked(alices, alices.link_to(), "refine-model")) == (422, "INPUT_INVALID")


# --- Other hosts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "https://files.example/a.png",
        "http://testserver/app/",
        "http://testserver/",
        "ftp://files.example/a.png",
        "file:///etc/passwd",
        "not a link",
        "https://[::1",
        "https://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:4010/openai/v1/models",
        "/files/inputs/a.png",
        "data:image/png;base64,AAAA",
    ],
)
def test_a_host_that_is_not_allowed_is_refused_before_anything_is_asked(
    alices: Customer, media: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    monkeypatch.setattr(fetch, "fetch", lambda *a, **k: pytest.fail("a link was followed"))
    assert refusal_of(asked(alices, link)) == (400, "INPUT_URL_NOT_ALLOWED")
    assert_nothing_happened(alices, media)


@pytest.mark.parametrize(
    ("allowed", "link"),
    [
        ("project.supabase.co", "https://project.supabase.co/storage/v1/object/public/b/a.png"),
        ("*.supabase.co", "https://Project.Supabase.co/storage/v1/object/sign/b/a.png?token=x"),
    ],
)
def test_an_allowed_host_is_asked_at_public_addresses_only(
    alices: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch, allowed: str, link: str
) -> None:
    settings.INPUT_ASSET_ALLOWED_HOSTS = [allowed]
    asked_for: list[str] = []

    def resolve(host: str, port: int, **kwargs: Any) -> list[Any]:
        asked_for.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", port))]

    monkeypatch.setattr(fetch.socket, "getaddrinfo", resolve)
    assert refusal_of(asked(alices, link)) == (400, "INPUT_URL_NOT_ALLOWED")
    assert asked_for == ["project.supabase.co"]


@pytest.mark.parametrize(
    "link",
    [
        "http://project.supabase.co/storage/a.png",
        "https://project.supabase.co:8443/storage/a.png",
        "https://project.supabase.co.evil.example/a.png",
        "https://project.supabase.co@evil.example/a.png",
        "https://evil.example/project.supabase.co",
        "https://project.supabase.co",
        "https://project.supabase.co/",
    ],
)
def test_an_allowed_host_is_that_host_over_https_and_a_file_on_it(
    alices: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    settings.INPUT_ASSET_ALLOWED_HOSTS = ["project.supabase.co"]
    monkeypatch.setattr(fetch.socket, "getaddrinfo", lambda *a, **k: pytest.fail("a name was looked up"))
    assert refusal_of(asked(alices, link)) == (400, "INPUT_URL_NOT_ALLOWED")


def test_an_allowed_host_leads_to_no_other(
    alices: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, settings.PROVIDER_CA_BUNDLE = self_signed(tmp_path, "project.supabase.co")
    settings.INPUT_ASSET_ALLOWED_HOSTS = ["*.supabase.co"]
    asked_for: list[str] = []
    monkeypatch.setattr(fetch, "is_public", lambda address: True)
    with listening(saying(REDIRECT.replace(b"elsewhere.example", b"other.supabase.co")), context) as server:

        def resolve(host: str, port: int, **kwargs: Any) -> list[Any]:
            asked_for.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

        monkeypatch.setattr(fetch.socket, "getaddrinfo", resolve)
        fetch._tls.cache_clear()
        answer = asked(alices, "https://project.supabase.co/storage/a.png")
        fetch._tls.cache_clear()
    assert refusal_of(answer) == (400, "INPUT_URL_NOT_ALLOWED")
    assert (asked_for, server.connections) == (["project.supabase.co"], 1)


def test_what_is_fetched_is_stored_as_an_input_of_the_request(alices: Customer, files: Any) -> None:
    link = files(answering(picture("JPEG", (96, 72))))
    answer = asked(alices, link)
    assert answer.status_code == 200, answer.json()
    asset = Asset.objects.get()
    assert (asset.kind, asset.content_type, asset.width, asset.height) == (AssetKind.INPUT, "image/jpeg", 96, 72)
    assert asset.key == f"inputs/{alices.user.pk}/{asset.pk}.jpg"  # type: ignore[union-attr]
    assert str(asset.request_id) == answer.json()["task_id"]
    assert storage.matches(asset.key, asset.size_bytes, asset.sha256)
    assert item_of(answer.json()["task_id"]).steps[0]["inputs"]["images"] == [asset.key]


@pytest.mark.parametrize("body", [glb(), OBJ], ids=["glb", "obj"])
def test_a_model_is_fetched_as_it_is(alices: Customer, files: Any, body: bytes) -> None:
    assert asked(alices, files(answering(body)), "refine-model").status_code == 200
    asset = Asset.objects.get(request__isnull=False)
    assert storage.read(asset.key) == body
    assert asset.content_type == ("model/gltf-binary" if body.startswith(b"glTF") else "model/obj")


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_only_a_downscale_takes_the_older_kinds_of_pictures(alices: Customer, files: Any, kind: str) -> None:
    link = files(answering(picture(kind)))
    assert refusal_of(asked(alices, link)) == (422, "INPUT_INVALID")
    assert asked(alices, link, "downscale").status_code == 200
    assert Asset.objects.get(request__isnull=False).content_type == "image/png"


PLAIN = picture()
BOMB = picture(size=(1, 1)).replace(b"IHDR\x00\x00\x00\x01\x00\x00\x00\x01", b"IHDR\x00\x01\x00\x00\x00\x01\x00\x00")
PICTURE, MODEL = "remove-background", "refine-model"
PROMISED = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/a.png\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("what", "talk", "operation", "refusal"),
    [
        ("missing", answering(b"", "404 Not Found"), PICTURE, (404, "INPUT_ASSET_NOT_FOUND")),
        ("forbidden", answering(b"", "403 Forbidden"), PICTURE, (404, "INPUT_ASSET_NOT_FOUND")),
        ("broken", answering(b"", "503 Busy"), PICTURE, (502, "INPUT_FETCH_FAILED")),
        ("cut off", saying(PROMISED + b"half"), PICTURE, (502, "INPUT_FETCH_FAILED")),
        ("no http", saying(b"no http at all\r\n\r\n"), PICTURE, (502, "INPUT_FETCH_FAILED")),
        ("dripping", dripping(PROMISED), PICTURE, (502, "INPUT_FETCH_FAILED")),
        ("redirected", saying(REDIRECT), PICTURE, (400, "INPUT_URL_NOT_ALLOWED")),
        ("too large", answering(b"x" * 5000), PICTURE, (413, "INPUT_TOO_LARGE")),
        ("too large a model", answering(b"x" * 9000), MODEL, (413, "INPUT_TOO_LARGE")),
        ("html", answering(b"<html>sorry</html>"), PICTURE, (422, "INPUT_INVALID")),
        ("bomb", answering(BOMB), PICTURE, (422, "INPUT_INVALID")),
        ("a model for a picture", answering(glb()), PICTURE, (422, "INPUT_INVALID")),
        ("empty", answering(b""), PICTURE, (422, "INPUT_INVALID")),
        ("a picture for a model", answering(picture()), MODEL, (422, "INPUT_INVALID")),
        ("a model cut off", answering(glb()[:-4]), MODEL, (422, "INPUT_INVALID")),
        ("no model", answering(b"vertex 0 0 0\nv 1 1 1\n"), MODEL, (422, "INPUT_INVALID")),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_stored_or_charged(
    alices: Customer,
    media: Path,
    settings: Any,
    files: Any,
    what: str,
    talk: Any,
    operation: str,
    refusal: tuple[int, str],
) -> None:
    settings.INPUT_FETCH_TIMEOUT_S = 0.5
    settings.MAX_IMAGE_BYTES, settings.MAKEIT3D_MAX_MODEL_BYTES = 4000, 8000
    link = files(talk)
    field = "input_model_asset_url" if operation == "refine-model" else "input_image_asset_url"
    answer = asked(alices, link, operation)
    assert refusal_of(answer) == refusal
    assert answer.json()["errors"][0]["field"] == field
    assert "127.0.0.1" not in answer.content.decode()
    assert_nothing_happened(alices, media)


def test_what_was_fetched_for_nothing_is_removed(make_customer: Any, files: Any, media: Path) -> None:
    poor = Customer(make_customer("poor", 0))
    link = files(answering(PLAIN))
    for _ in range(2):
        assert refusal_of(poor.post("remove-background", {"provider": "a", "input_image_asset_url": link})) != (402, "")
        answer = poor.post(
            "remove-background", {"provider": "stability", "input_image_asset_url": link}, key="order-01"
        )
        assert refusal_of(answer) == (402, "INSUFFICIENT_CREDITS")
    assert not [path for path in media.rglob("*") if path.is_file()]


def test_of_several_pictures_the_good_ones_go_with_the_bad(alices: Customer, files: Any, media: Path) -> None:
    good = files(answering(PLAIN))
    links = [good, "https://not.allowed.example/b.png"]
    answer = alices.post("image-to-model", provider="tripo", input_image_asset_urls=links)
    assert refusal_of(answer) == (400, "INPUT_URL_NOT_ALLOWED")
    assert answer.json()["errors"][0]["field"] == "input_image_asset_urls[1]"
    assert_nothing_happened(alices, media)


def test_a_repeat_is_answered_although_its_link_has_died(alices: Customer, files: Any) -> None:
    link = files(answering(PLAIN))
    body = {"provider": "stability", "input_image_asset_url": link}
    first = alices.post("remove-background", body, key="order-0001")
    assert first.status_code == 200
    files(answering(b"", "404 Not Found"))  # and the first server is no longer trusted
    again = alices.post("remove-background", body, key="order-0001")
    assert again.json() == first.json()
    assert (alices.balance, Asset.objects.count()) == (99, 1)


@pytest.mark.parametrize(
    ("operation", "provider", "size", "rule"),
    [
        ("upscale", "stability", (1600, 400), "Each side of the picture must have 32 to 1,536 pixels"),
        ("upscale", "stability", (1500, 1500), "1,024 to 1,048,576 pixels"),
        ("remove-background", "stability", (2100, 2000), "4,096 to 4,194,304 pixels"),
        ("remove-background", "recraft", (5000, 300), "must have 256 to 4,096 pixels"),
    ],
)
def test_a_size_that_the_provider_refuses_is_refused_before_it_costs_anything(
    alices: Customer, operation: str, provider: str, size: tuple[int, int], rule: str
) -> None:
    answer = alices.post(operation, provider=provider, input_image_asset_url=alices.link_to(size=size))
    assert refusal_of(answer) == (422, "INPUT_INVALID")
    assert rule in answer.json()["errors"][0]["message"]
    assert (Item.objects.count(), alices.balance) == (0, 100)


def test_a_mask_has_the_pictures_size(alices: Customer) -> None:
    picture_link, small = alices.link_to(size=(640, 640)), alices.link_to(size=(640, 480))
    fields = {"input_image_asset_url": picture_link, "input_mask_asset_url": small}
    answer = alices.post("image-inpaint", **fields)
    assert refusal_of(answer) == (422, "MASK_SIZE_MISMATCH")
    assert "640 x 480" in answer.json()["error"]
    assert not Item.objects.exists()
    assert alices.post("image-inpaint", **{**fields, "input_mask_asset_url": picture_link}).status_code == 200


def test_a_store_that_is_away_is_503_and_costs_nothing(
    alices: Customer, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = files(answering(PLAIN))

    def refuse(key: str, body: Any) -> None:
        raise storage.StorageError("no such host s3.internal")

    monkeypatch.setattr(storage, "save", refuse)
    answer = alices.post("remove-background", {"provider": "stability", "input_image_asset_url": link})
    assert refusal_of(answer) == (503, "SERVICE_UNAVAILABLE")
    assert "s3.internal" not in answer.content.decode()
    assert alices.balance == 100
