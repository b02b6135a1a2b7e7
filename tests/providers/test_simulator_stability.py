"""Stability's side of the simulator: as strict as the vendor, in the vendor's words."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
from PIL import Image

from tests.providers.make import make_png
from tests.simulator import Remote

BASE = "/stability/v2beta"
SMALL = make_png()
FILE = ("a.png", SMALL)


def ask(simulator: Remote, method: str, path: str, **more: Any) -> requests.Response:
    headers = {"Authorization": "Bearer sk-stability-simulator", **more.pop("headers", {})}
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, simulator.url + path, headers=headers, timeout=10, **more)


def form(**fields: Any) -> dict[str, Any]:
    """Files are (name, bytes); texts go as multipart too."""
    return {name: value if isinstance(value, tuple) else (None, value) for name, value in fields.items()}


@pytest.mark.parametrize(
    ("path", "fields", "faults"),
    [
        ("stable-image/generate/core", {}, ["prompt: is required"]),
        (
            "stable-image/generate/core",
            {"prompt": "x", "aspect_ratio": "4:3", "seed": "-1", "width": "512"},
            ["aspect_ratio: must", "seed: must be between 0 and 4294967294", "width: is not"],
        ),
        ("stable-image/generate/ultra", {"prompt": "x", "image": FILE}, ["strength: is required when image"]),
        ("stable-image/generate/sd3", {"prompt": "x", "mode": "image-to-image"}, ["image: image and strength"]),
        ("stable-image/generate/sd3", {"prompt": "x", "model": "sd3-large"}, ["model: must be one of"]),
        ("stable-image/control/style", {"prompt": "x", "image": FILE, "control_strength": "1"}, ["control_strength:"]),
        ("stable-image/control/structure", {"prompt": "x", "image": ("a.gif", b"GIF89a")}, ["image: must be a valid"]),
        ("stable-image/edit/remove-background", {"image": FILE, "output_format": "jpeg"}, ["output_format: must"]),
        ("stable-image/edit/search-and-recolor", {"prompt": "x", "image": FILE}, ["select_prompt: is required"]),
        ("stable-image/edit/replace-background-and-relight", {"subject_image": FILE}, ["background_prompt: back"]),
        (
            "stable-image/edit/replace-background-and-relight",
            {"subject_image": FILE, "background_prompt": "x", "light_source_strength": "1"},
            ["light_source_strength: needs"],
        ),
        ("stable-image/edit/outpaint", {"image": FILE}, ["left: at least one"]),
        ("stable-image/upscale/fast", {"image": FILE, "seed": "1"}, ["seed: is not a known field"]),
        ("3d/stable-fast-3d", {"image": FILE, "foreground_ratio": "1.3"}, ["foreground_ratio: must be between 0.1"]),
        ("3d/stable-point-aware-3d", {"image": FILE}, ["image: width and height must be at least 640"]),
    ],
)
def test_a_wrong_form_is_refused_line_by_line(
    simulator: Remote, path: str, fields: dict[str, Any], faults: list[str]
) -> None:
    answer = ask(simulator, "POST", f"{BASE}/{path}", files=form(none="", **fields))
    assert answer.status_code == 400
    body = answer.json()
    assert (body["name"], len(body["errors"])) == ("bad_request", len(faults))
    assert all(said.startswith(fault) for said, fault in zip(sorted(body["errors"]), sorted(faults), strict=True))


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "name"),
    [
        ("POST", f"{BASE}/stable-image/generate/core", {"headers": {"Authorization": "Bearer x"}}, 401, "unauthorized"),
        ("POST", f"{BASE}/stable-image/generate/core", {"data": {"prompt": "x"}}, 400, "bad_request"),
        ("POST", f"{BASE}/stable-image/generate/dalle", {}, 404, "not_found"),
        ("GET", f"{BASE}/stable-image/generate/core", {}, 404, "not_found"),
        ("GET", f"{BASE}/results/{'0' * 64}", {}, 404, "generation_not_found"),
        (
            "POST",
            f"{BASE}/stable-image/upscale/fast",
            {"files": {"image": ("a.png", bytes(10 * 1024 * 1024))}},
            413,
            "payload_too_large",
        ),
        (
            "POST",
            f"{BASE}/stable-image/upscale/fast",
            {"files": {"image": FILE}, "headers": {"Accept": "text/html"}},
            400,
            "bad_request",
        ),
    ],
)
def test_a_wrong_request_is_answered_in_the_vendors_words(
    simulator: Remote, method: str, path: str, more: dict[str, Any], status: int, name: str
) -> None:
    answer = ask(simulator, method, path, **more)
    body = answer.json()
    assert (answer.status_code, body["name"]) == (status, name)
    assert body["id"]
    assert all(isinstance(text, str) for text in body["errors"])


def test_json_is_answered_when_it_is_asked_for(simulator: Remote) -> None:
    path = f"{BASE}/stable-image/control/sketch"
    files = form(prompt="x", image=FILE, seed="3", output_format="jpeg")
    answer = ask(simulator, "POST", path, files=files, headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/json; type=image/jpeg"
    assert "seed" not in answer.headers
    assert {key: value for key, value in answer.json().items() if key != "image"} == {
        "seed": 3,
        "finish_reason": "SUCCESS",
    }


def test_more_calls_than_the_window_takes_are_shut_out_for_a_minute(simulator: Remote) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = "Bearer sk-stability-simulator"
        url = f"{simulator.url}/stability/v1/user/balance"
        statuses = [session.get(url, timeout=10).status_code for _ in range(152)]
    assert statuses == [200] * 150 + [429] * 2


def test_a_blurred_picture_is_a_success_but_for_its_header(simulator: Remote) -> None:
    simulator.faults("stability", "filtered")
    files = form(prompt="x", image=FILE)
    answer = ask(simulator, "POST", f"{BASE}/stable-image/control/sketch", files=files)
    assert (answer.status_code, answer.headers["finish-reason"]) == (200, "CONTENT_FILTERED")
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
