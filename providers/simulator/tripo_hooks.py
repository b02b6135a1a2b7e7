"""The webhooks of the simulated Tripo: to the one address that its console knows, at the end of a task.

The address is the control setting `webhooks.tripo`; without one none is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from datetime import UTC, datetime

import requests

from providers.simulator.desk import Desk, Seen
from providers.simulator.faults import Fault
from providers.simulator.tripo_tasks import ENDS, NAME, Task, spell

SECRET, STRANGERS_SECRET = "whsec_simulator", "whsec_stranger"
TIMEOUT_S, LATE_S = 5.0, 3600


def follow(desk: Desk, task: Task, fault: Fault | None) -> None:
    """Send a task's webhooks in the background, as the fault that met its creation has it."""
    url, name = desk.settings.webhooks.get(NAME, ""), fault.name if fault else ""
    if url and name != "webhook-never":
        task.follower = asyncio.create_task(_follow(desk, task, url, name))


async def _follow(desk: Desk, task: Task, url: str, fault: str) -> None:
    if fault == "webhook-early":
        await _send(desk, task, url, fault)
    await asyncio.sleep(max(0.0, task.began + task.seconds - time.monotonic()))
    for _ in range(2 if fault == "webhook-duplicate" else 1):
        await _send(desk, task, url, fault)


async def _send(desk: Desk, task: Task, url: str, fault: str) -> None:
    body = told(task)
    secret = STRANGERS_SECRET if fault == "webhook-forged" else SECRET
    headers = signed(body, secret=secret, at=time.time() - (LATE_S if fault == "webhook-late" else 0))
    seen = Seen(NAME, "webhook", "POST", "", prompt=task.prompt, job=task.id, fault=fault, headers=headers)
    desk.calls.append(seen)
    seen.status = await asyncio.to_thread(_post, url, body, headers)


def told(task: Task) -> bytes:
    """What a webhook says of a task now."""
    event = "task.failed" if task.status() in ENDS[1:] else "task.completed"
    about = {"task_id": task.id, "type": task.route.type, "status": task.status()}
    event_id = f"evt_{uuid.uuid4().hex}"
    return json.dumps({"id": event_id, "type": event, "created_at": spell(datetime.now(UTC)), "data": about}).encode()


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """The headers of a webhook that is signed at that time, else now. While a secret is exchanged both sign."""
    when = int(time.time() if at is None else at)
    mark = hmac.new(secret.encode(), f"{when}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "Tripo-Webhook-Id": str(uuid.uuid4()),
        "Tripo-Webhook-Delivery": str(uuid.uuid4()),
        "Tripo-Webhook-Signature": f"t={when},v1={'0' * 64},v1={mark}",
    }


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer, 0 when none came."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.post(url, data=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False).status_code
        except requests.RequestException:
            return 0
