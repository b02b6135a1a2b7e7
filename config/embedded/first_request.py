"""The first request of a fresh desk, made over HTTP as a first customer would, watched in the terminal."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PROMPT = "A lighthouse on a cliff at sunrise, calm sea, warm light"

# Nothing here may go through a proxy: it is all on this machine.
_web = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class FirstRequestError(Exception):
    """The desk did not make the picture. The text says why."""


def make(base: str, picture: Path, *, timeout_s: float = 90.0, watch: Any = lambda: None) -> str:
    """Sign in, submit, follow the progress, fetch the picture into `picture`. Returns the request's id.

    watch: called between two looks; may raise to break off.
    """
    token = _json(_call(base + "/api/auth/token", {"username": "demo", "password": "demo"}))["access"]
    submitted = _json(
        _call(base + "/api/visual-generation/submit", {"type": "illustration", "prompt": PROMPT}, token=token)
    )
    request_id = str(submitted["requestId"])
    print(f"First request {request_id}, {submitted['creditsCharged']} credits:")
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        watch()
        status = _json(_call(f"{base}/api/visual-generation/status/{request_id}?imageData=false", token=token))
        _draw(status["progress"], status["status"])
        if status["status"] == "completed":
            picture.write_bytes(_call(status["result"]["imageUrl"], token=token))
            return request_id
        if status["status"] in ("failed", "cancelled"):
            raise FirstRequestError(f"the first request {status['status']}: {status.get('error')}")
        time.sleep(0.1)
    raise FirstRequestError(f"the first request was not done after {timeout_s:.0f} s")


def is_healthy(base: str) -> bool:
    try:
        _call(base + "/health/ready")
    except FirstRequestError:
        return False
    return True


def _call(url: str, body: dict[str, Any] | None = None, *, token: str = "") -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    try:
        with _web.open(urllib.request.Request(url, data, headers), timeout=10) as answer:
            found: bytes = answer.read()
            return found
    except urllib.error.HTTPError as error:
        raise FirstRequestError(f"{url} answered {error.code}: {error.read(500).decode(errors='replace')}") from None
    except OSError as error:
        raise FirstRequestError(f"{url} cannot be reached: {error}") from None


def _json(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)
    return found


def _draw(percent: int, word: str) -> None:
    if sys.stdout.isatty():
        bar = "█" * (percent * 30 // 100)
        end = "\n" if word in ("completed", "failed", "cancelled") else ""
        print(f"\r  {bar:░<30} {percent:3d} %  {word:<12}", end=end, flush=True)
    elif (percent, word) != _drawn.get("last"):
        print(f"  {percent:3d} %  {word}", flush=True)
        _drawn["last"] = (percent, word)


_drawn: dict[str, tuple[int, str]] = {}
