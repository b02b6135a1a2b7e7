"""The vendors' media hosts: files that results link to. No key is asked; each file belongs to its vendor's call."""

from __future__ import annotations

import asyncio
import time

from providers.simulator import pictures
from providers.simulator.desk import Desk
from providers.simulator.faults import HTML, Fault, spoil
from providers.simulator.wire import Reply, Request

PREFIX = "/files"


def link(request: Request, path: str) -> str:
    """The absolute link to a kept file, by the host that the caller came by."""
    return f"http://{request.headers.get('host')}{path}"


async def answer(request: Request, desk: Desk) -> Reply:
    found = desk.files.get(request.path)
    seen = desk.see(found.vendor if found else "nobody", "download", request)
    if found:
        seen.job, seen.prompt = found.job.id, found.job.prompt
    fault = desk.strike(seen)
    link_s = desk.settings.link_s
    is_old = found is not None and link_s > 0 and time.monotonic() - found.at > link_s
    if found is None or is_old or fault and fault.name == "expired-link":
        reply = Reply(int(fault.params.get("status", 404)) if fault else 404, b"Not Found", "text/plain")
    elif fault and fault.name == "redirect-link":
        reply = Reply(302, b"", headers={"location": str(fault.params.get("url") or "http://127.0.0.1:22/")})
    elif fault and fault.name == "picture-bomb":
        bomb = await asyncio.to_thread(pictures.bomb)
        reply = Reply(body=bomb.body, content_type=bomb.content_type)
    elif fault and fault.name in ("500", "502", "503", "504"):
        reply = Reply(int(fault.name), HTML, "text/html")
    else:
        reply = as_file(found.content_type, found.body, fault)
    seen.status = reply.status
    return reply


def as_file(content_type: str, body: bytes, fault: Fault | None) -> Reply:
    """A file as the answer, spoiled as the fault says."""
    if fault and fault.name == "half-picture":
        body = body[: len(body) // 2]
    reply = Reply(body=body, content_type=content_type)
    return spoil(reply, fault) if fault else reply
