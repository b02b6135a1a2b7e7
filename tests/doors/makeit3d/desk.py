"""The MakeIt3D door as its clients meet it: every answer is held against OpenAPI, and none may name a vendor.

`body_of` gives the least body that an operation takes; `work` (of the other door's desk) plays the worker.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid4

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from PIL import Image

from generation import storage
from generation.doors.makeit3d import answers
from generation.doors.makeit3d.catalogue import BY_NAME, Prompt
from generation.models import Asset, AssetKind, Item
from tests.doors.visuals.desk import Caller, assert_documented, assert_no_vendor, assert_problem

PROMPT = "A wooden chair, studio light"
# Which document each route answers with.
DOCUMENTS = {
    "generate": answers.TaskSubmitted,
    "generation": answers.TaskSubmitted,
    "tasks": answers.TaskStatus,
    "images": answers.ImageList,
    "models": answers.ModelList,
    "assets": answers.UploadedAsset,
}


class Customer(Caller):
    """Somebody who calls the API. Each call returns Django's response."""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self._checked(path, self.ask(method, path, body, **headers))

    def post(self, operation: str, body: Any = None, *, key: str = "", **fields: Any) -> Any:
        """Ask for an operation: with the least body that it takes and these fields, None leaves one out."""
        headers = {"Idempotency-Key": key} if key else {}
        if body is None:
            merged = {**self.body_of(operation, without=fields), **fields}
            body = {name: value for name, value in merged.items() if value is not ...}
        return self.call("POST", f"/generate/{operation}", body, **headers)

    def asked(self, operation: str, **fields: Any) -> str:
        """Ask, and return the id to poll."""
        answer = self.post(operation, **fields)
        assert answer.status_code == 200, answer.json()
        request_id: str = answer.json()["celery_task_id"]
        return request_id

    def body_of(self, operation: str, without: Collection[str] = ()) -> dict[str, Any]:
        """The least body that an operation takes, but for these fields."""
        one = BY_NAME[operation]
        body: dict[str, Any] = {"prompt": PROMPT} if one.prompt is Prompt.REQUIRED else {}
        if one.has_provider and not one.default:
            body["provider"] = next(iter(one.offers))
        for field in [field for field in one.inputs if field.name not in without]:
            link = self.link_to("model" if field.word == "model" else "picture")
            body[field.name] = [link] if field.most else link
        required = {param.name for offer in one.offers.values() for param in offer.params if param.required}
        return body | {name: {"select_prompt": "the seat", "max_size_mb": 1}[name] for name in required}

    def status(self, task_id: str, query: str = "") -> dict[str, Any]:
        answer = self.call("GET", f"/tasks/{task_id}/status{query}")
        assert answer.status_code == 200, answer.json()
        document: dict[str, Any] = answer.json()
        return document

    def rows(self, table: str, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page(table, **query)["results"]
        return found

    def page(self, table: str, **query: Any) -> dict[str, Any]:
        text = "&".join(f"{name}={value}" for name, value in query.items())
        answer = self.call("GET", f"/api/{table}?{text}")
        assert answer.status_code == 200, answer.json()
        document: dict[str, Any] = answer.json()
        return document

    def upload(self, data: bytes, name: str = "chair.png", **fields: Any) -> Any:
        sent = {"file": SimpleUploadedFile(name, data), **fields}
        answer = self.http.post("/api/assets", sent, headers=self.given)
        return self._checked("/api/assets", answer)

    def link_to(self, what: str = "picture", size: tuple[int, int] = (640, 640)) -> str:
        """A link to a file of this customer's own."""
        return self.link_of(self.asset(what, size))

    def asset(self, what: str = "picture", size: tuple[int, int] = (640, 640)) -> Asset:
        """Store an input of this customer's own, as an upload leaves one behind."""
        assert self.user
        data = glb() if what == "model" else picture(size=size)
        asset = Asset(
            id=uuid4(),
            owner=self.user,
            kind=AssetKind.INPUT,
            content_type="model/gltf-binary" if what == "model" else "image/png",
            size_bytes=len(data),
            sha256="0" * 64,
            width=None if what == "model" else size[0],
            height=None if what == "model" else size[1],
            created_at=timezone.now(),
        )
        asset.key = storage.input_key(self.user.pk, asset.pk, "glb" if what == "model" else "png")
        storage.save(asset.key, io.BytesIO(data))
        asset.save(force_insert=True)
        return asset

    @staticmethod
    def link_of(asset: Asset) -> str:
        return storage.link(asset.key, "http://testserver/")

    def fetched(self, link: str) -> bytes:
        """What lies behind a link, asked for without a token."""
        answer = Client().get(link.removeprefix("http://testserver"))
        assert answer.status_code == 200, answer.status_code
        try:
            return b"".join(answer.streaming_content)  # type: ignore[arg-type]
        finally:
            answer.close()

    @staticmethod
    def _checked(path: str, answer: Any) -> Any:
        assert_no_vendor(answer.content.decode())
        assert_no_vendor(str(dict(answer.headers)))
        if answer.status_code < 300:
            words = path.partition("?")[0].strip("/").split("/")
            document = DOCUMENTS.get(words[1] if words[0] == "api" else words[0])
            if document:
                assert_documented(answer.json(), document())
        else:
            assert_problem(answer)
        return answer


def faults_of(answer: Any) -> dict[str, str]:
    """field -> message of a 422."""
    assert answer.status_code == 422, answer.json()
    assert answer.json()["code"] == "VALIDATION_ERROR"
    return {fault["field"]: fault["message"] for fault in answer.json()["errors"]}


def refusal_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def items_of(request_id: str) -> list[Item]:
    return list(Item.objects.filter(request=UUID(request_id)).order_by("index"))


def item_of(request_id: str) -> Item:
    (item,) = items_of(request_id)
    return item


def inputs_of(request_id: str) -> dict[str, Any]:
    """What the call of a request's first step gets, beside its files."""
    inputs: dict[str, Any] = items_of(request_id)[0].steps[0]["inputs"]
    return {name: value for name, value in inputs.items() if name not in ("images", "mask", "model", "prompt")}


def picture(kind: str = "PNG", size: tuple[int, int] = (640, 640), colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def glb() -> bytes:
    """The smallest whole binary glTF: one triangle."""
    points = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "scene": 0,
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0]}
        ],
        "bufferViews": [{"buffer": 0, "byteLength": len(points)}],
        "buffers": [{"byteLength": len(points)}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(points), 0x004E4942) + points
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


OBJ = b"# a triangle\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
