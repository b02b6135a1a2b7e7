"""The webhooks of the simulated Replicate: signed as the vendor signs them, and sent as badly as is scripted."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from providers.simulator import replicate_runs as runs
from providers.simulator.desk import Desk, Seen
from providers.simulator.faults import Fault
from providers.simulator.replicate_runs import Run
from providers.simulator.wire import Request

SECRET = "whsec_d29ydGggbm90aGluZyBvdXRzaWRlIHRoaXMgbWFjaGluZQ=="
DEFAULT_EVENTS = ("output", "completed")
TRIES, TIMEOUT_S = 3, 5.0
OLD_S = 3600


def follow(request: Request, desk: Desk, run: Run, body: dict[str, Any], fault: Fault | None) -> None:
    """Send a run's webhooks in the background, if it asked for any."""
    url = body.get("webhook")
    if url and not (fault and fault.name == "webhook-never"):
        events = body.get("webhook_events_filter") or DEFAULT_EVENTS
        run.follower = asyncio.create_task(_follow(request, desk, run, url, events, fault.name if fault else ""))


async def _follow(request: Request, desk: Desk, run: Run, url: str, events: Sequence[str], fault: str) -> None:
    if "start" in events or fault == "webhook-early":
        await _send(request, desk, run, url, fault)
    await run.wait()
    for event in ("output", "completed"):
        if event in events:
            for _ in range(2 if fault == "webhook-duplicate" else 1):
                await _send(request, desk, run, url, fault)


async def _send(request: Request, desk: Desk, run: Run, url: str, fault: str) -> None:
    """One delivery; on network trouble the same once more, up to three times."""
    body = json.dumps(await runs.show(request, desk, run, None)).encode()
    headers = {
        "content-type": "application/json",
        **signed(body, forged=fault == "webhook-forged", late=fault == "webhook-late"),
    }
    seen = Seen("replicate", "webhook", "POST", urlsplit(url).path, prompt=run.prompt, job=run.id, headers=headers)
    desk.calls.append(seen)
    for _ in range(TRIES):
        seen.status = await asyncio.to_thread(_post, _address(desk, url), body, headers)
        if 0 < seen.status < 500:
            return


def signed(body: bytes, *, forged: bool = False, late: bool = False, id_: str = "") -> dict[str, str]:
    """The headers of a webhook: Svix' scheme, HMAC-SHA256 over id, time and body."""
    id_, at = id_ or f"msg_{secrets.token_hex(12)}", str(int(time.time()) - (OLD_S if late else 0))
    key = b"a stranger's" if forged else base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
    # While a secret is exchanged for another, the vendor signs with both.
    signatures = f"v1,{base64.b64encode(secrets.token_bytes(32)).decode()} v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": id_, "webhook-timestamp": at, "webhook-signature": signatures}


def _address(desk: Desk, url: str) -> str:
    """Where the desk asks for webhooks, or where the simulator is told that this public address lies."""
    if not desk.settings.webhooks_to:
        return url
    to = urlsplit(desk.settings.webhooks_to)
    return urlunsplit(urlsplit(url)._replace(scheme=to.scheme, netloc=to.netloc))


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer, 0 when none came."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.post(url, data=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False)
        except requests.RequestException:
            return 0
        return answer.status_code
