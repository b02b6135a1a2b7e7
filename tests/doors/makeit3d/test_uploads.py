"""POST /api/assets: a file of one's own becomes an input of every route, under the same rules as one behind a link."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from generation import storage
from generation.models import Asset, AssetKind
from tests.doors.makeit3d.desk import OBJ, Customer, faults_of, glb, item_of, picture, refusal_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("data", "content_type", "extension"),
    [
        (picture("PNG", (64, 48)), "image/png", "png"),
        (picture("JPEG", (64, 48)), "image/jpeg", "jpg"),
        (picture("WEBP", (64, 48)), "image/webp", "webp"),
        (picture("GIF", (64, 48)), "image/png", "png"),
        (picture("BMP", (64, 48)), "image/png", "png"),
        (picture("TIFF", (64, 48)), "image/png", "png"),
        (glb(), "model/gltf-binary", "glb"),
        (OBJ, "model/obj", "obj"),
    ],
    ids=["png", "jpeg", "webp", "gif", "bmp", "tiff", "glb", "obj"],
)
def test_a_file_is_known_by_its_bytes_and_kept_as_an_input(
    alices: Customer, data: bytes, content_type: str, extension: str
) -> None:
    answer = alices.upload(data, "../../evil.html")

    assert answer.status_code == 201
    body, asset = answer.json(), Asset.objects.get()
    assert (body["id"], body["content_type"], body["size_bytes"]) == (str(asset.pk), content_type, asset.size_bytes)
    is_picture = content_type.startswith("image/")
    assert (body["width"], body["height"]) == ((64, 48) if is_picture else (None, None))
    assert (asset.owner, asset.kind, asset.request) == (alices.user, AssetKind.INPUT, None)
    assert asset.key == f"inputs/{alices.user.pk}/{asset.pk}.{extension}"  # type: ignore[union-attr]
    assert storage.matches(asset.key, asset.size_bytes, asset.sha256)
    assert alices.fetched(body["asset_url"]) == storage.read(asset.key)
    assert alices.balance == 100


def test_an_upload_is_usable_by_its_owner_and_nobody_else(alices: Customer, bobs: Customer) -> None:
    link = alices.upload(picture()).json()["asset_url"]
    body = {"provider": "stability", "input_image_asset_url": link}
    answer = alices.post("remove-background", body)
    assert item_of(answer.json()["task_id"]).steps[0]["inputs"]["images"] == [Asset.objects.get().key]
    assert refusal_of(bobs.post("remove-background", body)) == (404, "INPUT_ASSET_NOT_FOUND")


def test_metadata_of_a_photograph_is_cut_out(alices: Customer) -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "SecretCameras"
    Image.new("RGB", (64, 48), "teal").save(out, "JPEG", exif=exif)
    alices.upload(out.getvalue())
    assert b"SecretCameras" not in storage.read(Asset.objects.get().key)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", (422, "INPUT_INVALID")),
        (b"<html></html>", (422, "INPUT_INVALID")),
        (b"%PDF-1.7", (422, "INPUT_INVALID")),
        (picture()[:200], (422, "INPUT_INVALID")),
        (glb()[:-4], (422, "INPUT_INVALID")),
        (b"glTF\x01\x00\x00\x00\x14\x00\x00\x00", (422, "INPUT_INVALID")),
        (b"v 0 0 0\0\nv 1 0 0\n", (422, "INPUT_INVALID")),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 5000, (413, "INPUT_TOO_LARGE")),
        (b"glTF" + b"x" * 9000, (413, "INPUT_TOO_LARGE")),
    ],
    ids=["empty", "html", "pdf", "cut picture", "cut model", "old model", "no text", "large picture", "large model"],
)
def test_what_cannot_be_used_is_refused_and_not_stored(
    alices: Customer, media: Path, settings: Any, data: bytes, refusal: tuple[int, str]
) -> None:
    settings.MAX_IMAGE_BYTES, settings.MAKEIT3D_MAX_MODEL_BYTES = 4000, 8000
    answer = alices.upload(data)
    assert refusal_of(answer) == refusal
    assert answer.json()["errors"][0]["field"] == "file"
    assert not Asset.objects.exists()
    assert not [path for path in media.rglob("*") if path.is_file()]


def test_a_body_beyond_every_limit_is_refused_before_it_is_read(alices: Customer, settings: Any) -> None:
    settings.MAKEIT3D_MAX_MODEL_BYTES = 1000
    answer = alices.upload(b"x" * 70_000)
    assert refusal_of(answer) == (413, "INPUT_TOO_LARGE")


def test_without_a_file_the_field_is_named(alices: Customer) -> None:
    answer = alices.http.post("/api/assets", {"other": "x"}, headers={"Authorization": f"Bearer {alices.token}"})
    assert faults_of(answer) == {"file": "This field is required."}


@pytest.mark.parametrize(
    ("body", "content_type", "refusal"),
    [
        ("{}", "application/json", (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("x", "multipart/form-data", (400, "MALFORMED_BODY")),
        ("x", "multipart/form-data; boundary=", (400, "MALFORMED_BODY")),
        ("--b\r\nnonsense", "multipart/form-data; boundary=b", (422, "VALIDATION_ERROR")),
    ],
)
def test_what_is_no_form_is_refused(alices: Customer, body: str, content_type: str, refusal: tuple[int, str]) -> None:
    assert refusal_of(alices.call("POST", "/api/assets", body, content_type=content_type)) == refusal


def test_a_store_that_is_away_is_503(alices: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(key: str, body: Any) -> None:
        raise storage.StorageError("no such host s3.internal")

    monkeypatch.setattr(storage, "save", refuse)
    answer = alices.upload(picture())
    assert refusal_of(answer) == (503, "SERVICE_UNAVAILABLE")
    assert not Asset.objects.exists()
