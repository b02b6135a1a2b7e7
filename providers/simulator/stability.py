"""Stability v2beta as the simulator speaks it: forms in, files back; two endpoints park; the account's balance."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import time
from collections import deque
from dataclasses import dataclass, field

from providers.simulator import media, models, pictures, stability_drawing
from providers.simulator.desk import Desk, Job, Seen
from providers.simulator.faults import HTML, Fault, retry_headers, spoil
from providers.simulator.pictures import Picture
from providers.simulator.stability_rules import ENDPOINTS, SD3_CREDITS, Endpoint, read
from providers.simulator.wire import Reply, Request, json_reply

NAME, KEY = "stability", "sk-stability-simulator"
PREFIX = "/stability"
SPEAKS = [
    *(
        ("POST", f"/stability/v2beta/{path}", one.draws + (", parks" if one.parks else ""))
        for path, one in ENDPOINTS.items()
    ),
    ("GET", "/stability/v2beta/results/{id}", "how a parked call stands, or what came of it; every 10 s at most"),
    ("GET", "/stability/v1/user/balance", "credits left of 1,000"),
]
BODY_BYTES = 10 * 1024 * 1024
WINDOW, WINDOW_S, BLOCKED_S = 150, 10.0, 60.0
KEPT_S = 24 * 3600
FIRST_CREDITS = 1000
TENTH = 10  # credits are spent in tenths


@dataclass
class _Memory:
    """What the vendor remembers beside calls: the pace of this key, and what it made of parked calls."""

    calls: deque[float] = field(default_factory=deque)
    blocked_until: float = 0.0
    results: dict[str, Picture] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)


def _memory(desk: Desk) -> _Memory:
    found: _Memory = desk.memory.setdefault(NAME, _Memory())
    return found


def error(status: int, name: str, *texts: str, **headers: str) -> Reply:
    return json_reply({"id": secrets.token_hex(16), "name": name, "errors": list(texts)}, status, headers)


async def answer(request: Request, desk: Desk) -> Reply:
    path = request.path.removeprefix(PREFIX)
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return error(401, "unauthorized", "authorization: invalid or missing header value")
    if too_many := _over_the_window(_memory(desk)):
        return too_many
    if path == "/v1/user/balance" and request.method == "GET":
        return json_reply({"credits": FIRST_CREDITS - desk.spent[NAME] / TENTH})
    path = path.removeprefix("/v2beta/")
    if path.startswith("results/") and request.method == "GET":
        return await _result(request, desk, path.removeprefix("results/"))
    endpoint = ENDPOINTS.get(path)
    if endpoint is None or request.method != "POST":
        return error(404, "not_found", f"no route for {request.method} {request.path}")
    return await _make(request, desk, path.partition("/")[2] or path, endpoint)


def _over_the_window(memory: _Memory) -> Reply | None:
    now = time.monotonic()
    while memory.calls and memory.calls[0] <= now - WINDOW_S:
        memory.calls.popleft()
    if now >= memory.blocked_until and len(memory.calls) >= WINDOW:
        memory.blocked_until = now + BLOCKED_S
    if now < memory.blocked_until:
        return _rate_limited()
    memory.calls.append(now)
    return None


def _rate_limited(**headers: str) -> Reply:
    """Here the `id` repeats the name."""
    text = (
        f"You have exceeded {WINDOW} requests within {WINDOW_S:g} seconds, and are timed out for {BLOCKED_S:g} seconds."
    )
    return json_reply({"id": "rate_limit_exceeded", "name": "rate_limit_exceeded", "errors": [text]}, 429, headers)


# --- Making --------------------------------------------------------------------------------------


async def _make(request: Request, desk: Desk, operation: str, endpoint: Endpoint) -> Reply:
    try:
        texts, files = read(request.parts())
    except ValueError:
        desk.see(NAME, operation, request).status = 400
        return error(400, "bad_request", "content-type: must be multipart/form-data")
    prompt = texts.get("prompt") or texts.get("background_prompt") or ""
    seen = desk.see(NAME, operation, request, prompt=prompt, fields=dict(texts))
    seen.files = [stability_drawing.about(name, body) for name, body in files.items()]
    fault = desk.strike(seen)
    reply = _refusal(fault, endpoint) if fault else None
    reply = reply or _faults(request, endpoint, texts, files)
    reply = reply or await _play(request, desk, seen, endpoint, texts, files, fault)
    seen.status = reply.status
    return reply


def _faults(request: Request, endpoint: Endpoint, texts: dict[str, str], files: dict[str, bytes]) -> Reply | None:
    if len(request.body) > BODY_BYTES:
        return error(413, "payload_too_large", "body: payload cannot be larger than 10MiB in size")
    accept = request.headers.get("accept") or "*/*"
    faults = endpoint.faults(texts, files)
    if endpoint.draws != "model" and accept not in ("*/*", "image/*", "application/json"):
        faults.append("accept: must be one of image/*, application/json")
    return error(400, "bad_request", *faults) if faults else None


async def _play(
    request: Request,
    desk: Desk,
    seen: Seen,
    endpoint: Endpoint,
    texts: dict[str, str],
    files: dict[str, bytes],
    fault: Fault | None,
) -> Reply:
    seed = int(texts.get("seed") or 0) or random.SystemRandom().randrange(1, 4_294_967_294)
    credits = SD3_CREDITS[texts.get("model", "sd3.5-large")] if endpoint.draws == "sd3" else endpoint.credits
    if endpoint.draws == "model":
        mark = int.from_bytes(hashlib.sha256(files["image"] + texts.get("seed", "").encode()).digest()[:6], "big")
        made = await asyncio.to_thread(models.glb, mark)
        if fault and fault.name == "picture-bomb":
            made = (await asyncio.to_thread(pictures.bomb)).body
        await asyncio.sleep(desk.delay_s(fault))
        desk.spent[NAME] += int(credits * TENTH)
        return media.as_file(models.CONTENT_TYPE, made, fault)
    filtered = bool(fault and fault.name == "filtered")
    bomb = bool(fault and fault.name == "picture-bomb")
    drawn = await stability_drawing.draw(desk, endpoint.draws, texts, files, seed, blurred=filtered, bomb=bomb)
    desk.spent[NAME] += int(credits * TENTH)
    if endpoint.parks:
        return _park(desk, seen, drawn, seed, fault, filtered)
    await asyncio.sleep(desk.delay_s(fault))
    return _file(request, drawn, seed, fault, filtered)


def _park(desk: Desk, seen: Seen, drawn: Picture, seed: int, fault: Fault | None, filtered: bool) -> Reply:
    wish = pictures.Wish(seed, 1, 1, drawn.content_type.removeprefix("image/"), black=filtered)
    job = Job(secrets.token_hex(32), wish, seen.prompt, seed, desk.delay_s(fault), is_black=filtered)
    desk.jobs[job.id] = job
    seen.job = job.id
    results = _memory(desk).results
    results[job.id] = drawn
    while len(results) > 200:
        results.pop(next(iter(results)))
    reply = json_reply({"id": job.id})
    return spoil(reply, fault) if fault else reply


def _file(request: Request, drawn: Picture, seed: int, fault: Fault | None, filtered: bool) -> Reply:
    """The picture as bytes with its story in headers, or all of it as JSON, as the caller asked for."""
    verdict = "CONTENT_FILTERED" if filtered else "SUCCESS"
    if request.headers.get("accept") == "application/json":
        body = {"image": drawn.base64.decode(), "seed": seed, "finish_reason": verdict}
        reply = json_reply(body)
        reply.content_type = f"application/json; type={drawn.content_type}"
        return spoil(reply, fault) if fault else reply
    reply = media.as_file(drawn.content_type, drawn.body, fault)
    reply.headers |= {"finish-reason": verdict, "seed": str(seed), "x-request-id": secrets.token_hex(16)}
    return reply


# --- Asking --------------------------------------------------------------------------------------


async def _result(request: Request, desk: Desk, job_id: str) -> Reply:
    job, memory = desk.jobs.get(job_id), _memory(desk)
    seen = desk.see(NAME, "results", request, prompt=job.prompt if job else "", job=job_id)
    fault = desk.strike(seen)
    if fault and fault.name == "vanished" or job and time.monotonic() - job.began > KEPT_S:
        job = desk.jobs.pop(job_id, None) and None
    reply = _refusal(fault) if fault else None
    if reply is None and (job is None or job_id not in memory.results):
        reply = error(404, "generation_not_found", "id: no generation with this id, or it has expired")
    if reply is None and job:
        reply = await _state(request, desk, memory, job, fault)
    assert reply
    seen.status = reply.status
    return reply


async def _state(request: Request, desk: Desk, memory: _Memory, job: Job, fault: Fault | None) -> Reply:
    now = time.monotonic()
    too_soon = now - memory.asked.get(job.id, -KEPT_S) < desk.settings.poll_gap_s
    memory.asked[job.id] = now
    if too_soon:
        return _rate_limited()
    if job.share() < 1:
        reply = json_reply({"id": job.id, "status": "in-progress"}, 202)
        return spoil(reply, fault) if fault else reply
    drawn, filtered = memory.results[job.id], job.is_black
    if fault and fault.name == "filtered":
        filtered = True
        drawn = await asyncio.to_thread(stability_drawing.blur, drawn)
    if fault and fault.name == "picture-bomb":
        drawn = await asyncio.to_thread(pictures.bomb)
    return _file(request, drawn, job.seed, fault, filtered)


# --- Refusals ------------------------------------------------------------------------------------


def _refusal(fault: Fault, endpoint: Endpoint | None = None) -> Reply | None:
    params = fault.params
    match fault.name:
        case "rate-limit":
            return _rate_limited(**retry_headers(fault))
        case "500":
            return error(500, "internal_error", "An unexpected server error has occurred, please try again later.")
        case "502" | "503" | "504" | "loading":
            status = 503 if fault.name == "loading" else int(fault.name)
            return Reply(status, HTML, "text/html", retry_headers(fault))
        case "unauthorized":
            return error(401, "unauthorized", "authorization: invalid or missing header value")
        case "no-credit":
            return error(402, "payment_required", "You lack sufficient credits to make this request.")
        case "forbidden":
            return error(403, "forbidden", "Your organization may not use this endpoint.")
        case "model-gone":
            status = int(params.get("status", 404))
            name, text = ("bad_request", "model: must be one of ") if status == 400 else ("not_found", "Not found: ")
            return error(status, name, text + ", ".join(SD3_CREDITS))
        case "bad-input":
            status = int(params.get("status", 400))
            if status == 422:
                return error(422, "invalid_language", "English is the only supported language for this service.")
            return error(status, "bad_request", "prompt: is not acceptable")
        case "filtered":
            return _filtered(fault, endpoint)
    return None


def _filtered(fault: Fault, endpoint: Endpoint | None) -> Reply | None:
    """At the input it is an error; at the output a 200 with a blurred picture. Models have no such answer."""
    if fault.params.get("code") == "public_figure":
        return error(422, "public_figure", "Our system detected the likeness of a public figure in your image.")
    if fault.params.get("at") == "input" or endpoint and endpoint.draws == "model":
        text = "Your request was flagged by our content moderation system, as a result your request was denied."
        return error(403, "content_moderation", text)
    return None
