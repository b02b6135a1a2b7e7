"""The simulator itself: strict, scripted, drawn, quiet when it stops."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from PIL import Image

from providers.simulator import pictures
from providers.simulator.faults import NAMES
from tests.simulator import Remote

KEY = {"Authorization": "Bearer sk-simulator"}
TOKEN = {"Authorization": "Bearer hf_simulator"}


def ask(simulator: Remote, method: str, path: str, **more: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, simulator.url + path, timeout=10, **more)


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("POST", "/openai/v1/images/generations", {}, 401),
        ("POST", "/openai/v1/images/generations", {"headers": KEY}, 400),
        ("POST", "/openai/v1/images/generations", {"headers": KEY, "json": []}, 400),
        ("POST", "/openai/v1/images/generations", {"headers": KEY, "json": {"model": "gpt-image-2"}}, 400),
        ("GET", "/openai/v1/images/generations", {"headers": KEY}, 405),
        ("POST", "/openai/v1/images/textToImage", {"headers": KEY}, 404),
        ("POST", "/openai/v1/images/edits", {"headers": KEY, "data": {"prompt": "x"}}, 400),
        ("POST", "/openai/v1/images/edits", {"headers": KEY, "files": {"image": ("a", b"x")}}, 400),
        ("POST", "/huggingface/fal-ai/fal-ai/flux/dev", {"json": {"prompt": "x"}}, 401),
        ("POST", "/huggingface/fal-ai/fal-ai/flux/dev", {"headers": TOKEN, "json": {}}, 422),
        ("POST", "/huggingface/fal-ai/fal-ai/flux/dev", {"headers": TOKEN, "json": {"prompt": "x", "n": 1}}, 422),
        (
            "POST",
            "/huggingface/fal-ai/fal-ai/flux/dev",
            {"headers": TOKEN, "json": {"prompt": "x", "image_size": "x"}},
            422,
        ),
        ("POST", "/huggingface/fal-ai/fal-ai/unknown", {"headers": TOKEN, "json": {"prompt": "x"}}, 404),
        ("GET", "/huggingface/fal-ai/fal-ai/flux/requests/0/status?_subdomain=queue", {"headers": TOKEN}, 404),
        ("POST", "/huggingface/hf-inference/models/a/b", {"headers": TOKEN, "json": {"inputs": "x"}}, 400),
        ("POST", "/huggingface/models/a/b", {"headers": TOKEN, "json": {"inputs": "x"}}, 404),
        ("GET", "/huggingface/api/models/a/b", {}, 404),
        ("GET", "/nothing", {}, 404),
        ("POST", "/_faults", {"json": {"provider": "openai", "fault": "no such"}}, 400),
        ("POST", "/_settings", {"json": {"no_such": 1}}, 400),
    ],
)
def test_it_is_as_strict_as_the_vendors(
    simulator: Remote, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    assert ask(simulator, method, path, **more).status_code == status


def test_its_page_says_what_it_speaks_and_what_it_heard(simulator: Remote) -> None:
    ask(
        simulator, "POST", "/openai/v1/images/generations", headers=KEY, json={"prompt": "<b>x", "model": "gpt-image-2"}
    )
    page = ask(simulator, "GET", "/").text
    assert "/openai/v1/images/edits" in page
    assert "&lt;b&gt;x" in page
    assert "<b>x" not in page
    assert all(name in page for name in NAMES)


def test_a_fault_strikes_only_what_it_matches_and_so_often(simulator: Remote) -> None:
    simulator.faults("openai", "500", times=2, match="fox")
    body = {"model": "gpt-image-2", "size": "64x64"}
    found = [
        ask(
            simulator, "POST", "/openai/v1/images/generations", headers=KEY, json={**body, "prompt": prompt}
        ).status_code
        for prompt in ("a cat", "a fox", "a fox", "a fox")
    ]
    assert found == [200, 500, 500, 200]
    assert [call["fault"] for call in simulator.calls("openai")] == ["", "500", "500", ""]


def test_the_same_wish_is_the_same_picture_and_another_prompt_another() -> None:
    def drawn(prompt: str, seed: int = 0) -> bytes:
        return pictures.draw(pictures.wish(prompt, seed, 128, 96, "png")).body

    assert drawn("a fox") == drawn("a fox")
    assert len({drawn("a fox"), drawn("a cat"), drawn("a fox", 1)}) == 3


def test_a_colouring_page_is_lines_on_white() -> None:
    made = pictures.draw(pictures.wish("colouring book look, a dragon", 0, 256, 256, "png"))
    greys = Image.open(io.BytesIO(made.body)).convert("L").histogram()
    assert greys[255] > 0.7 * 256 * 256
    assert sum(greys[:128]) > 1000


@pytest.mark.parametrize("format", list(pictures.FORMATS))
def test_a_padded_picture_has_exactly_that_size_and_decodes(format: str) -> None:
    made = pictures.draw(pictures.wish("x", 0, 512, 512, format).padded(200_000))
    assert abs(len(made.body) - 200_000) <= 1
    with Image.open(io.BytesIO(made.body)) as image:
        image.load()
        assert image.size == (512, 512)


def test_many_slow_calls_are_in_flight_at_once(simulator: Remote) -> None:
    simulator.settings(delay_s=0.5, picture_bytes=20_000)
    body = {"model": "gpt-image-2", "prompt": "x", "size": "128x128"}

    def one(_: int) -> int:
        return ask(simulator, "POST", "/openai/v1/images/generations", headers=KEY, json=body).status_code

    began = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(one, range(40))) == {200}
    assert time.monotonic() - began < 5.0, "one after the other would be 20 s"


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "simulator", "--port", "0", "--delay", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        url = line.partition(" ")[2].strip().rstrip("/")
        assert ask(Remote(url), "GET", "/_settings").json()["delay_s"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
