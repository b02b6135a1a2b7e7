"""Recraft v1 as the simulator speaks it: pictures from words, edits and tools, by JSON or multipart.

What the vendor documents of its errors is little: 401 and 404 are plain text, the rest is JSON here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from typing import Any

from providers.simulator import media, pictures, recraft_fields, recraft_pictures
from providers.simulator.desk import Desk, Seen
from providers.simulator.faults import GIF, HTML, Fault, retry_headers, spoil
from providers.simulator.recraft_fields import ENDPOINTS, Asked, Wrong
from providers.simulator.recraft_models import MODELS
from providers.simulator.wire import Reply, Request, json_reply

NAME, KEY = "recraft", "recraft-simulator"
PREFIX = "/recraft/v1"
SPEAKS = [("POST", f"{PREFIX}/images/{name}", endpoint.about) for name, endpoint in ENDPOINTS.items()] + [
    ("GET", f"{PREFIX}/users/me", "what is left of our units"),
    ("GET", f"{PREFIX}/models", "the models and their prices"),
]
UNITS = 1_000_000  # of a new account
# Faults of the picture within a sound answer.
INSIDE = ("wrong-type", "half-picture", "bad-base64", "picture-bomb", "short-count", "private-link")


async def answer(request: Request, desk: Desk) -> Reply:
    path = request.path.removeprefix(PREFIX)
    if path in ("/ping", "/status"):
        return json_reply({"service": True, "generation": True} if path == "/status" else {"status": "ok"})
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return _text("request unauthorized", 401)
    if request.method == "GET" and path == "/users/me":
        return json_reply({"id": str(uuid.UUID(int=7)), "credits": UNITS - desk.spent[NAME], "email": "", "name": ""})
    if request.method == "GET" and path == "/models":
        return json_reply({"object": "list", "data": [_model(name) for name in MODELS]})
    name = path.removeprefix("/images/")
    if name == path or name not in ENDPOINTS or request.method != "POST":
        return _text("404 page not found", 404)
    return await _post(request, desk, name)


async def _post(request: Request, desk: Desk, name: str) -> Reply:
    try:
        sent = recraft_fields.read(request)
    except Wrong as wrong:
        desk.see(NAME, name, request).status = 400
        return wrong.reply
    seen = desk.see(NAME, name, request, prompt=str(sent.fields.get("prompt") or ""), fields=sent.fields)
    seen.files = sent.about_files()
    fault = desk.strike(seen, linked=sent.fields.get("response_format") != "b64_json")
    reply = _refusal(fault) if fault else None
    if reply is None:
        try:
            reply = await _make(request, desk, seen, recraft_fields.check(name, request, sent), fault)
        except Wrong as wrong:
            reply = wrong.reply
    seen.status = reply.status
    return reply


async def _make(request: Request, desk: Desk, seen: Seen, asked: Asked, fault: Fault | None) -> Reply:
    n = 0 if fault and fault.name == "short-count" else asked.n
    entries = []
    for number in range(n):
        seed = asked.seed + number
        wish = pictures.wish(asked.prompt, seed, asked.width, asked.height, asked.format)
        job = desk.start(wish, asked.prompt, seed, fault)
        content_type, body = await _picture(desk, asked, wish, fault)
        entry: dict[str, Any] = {"image_id": str(uuid.uuid4())}
        if asked.answers_with_link:
            entry["url"] = media.link(request, desk.keep(NAME, job, content_type, body))
            if fault and fault.name == "private-link":
                entry["url"] = str(fault.params.get("url") or "http://169.254.169.254/latest/meta-data/")
        else:
            entry["b64_json"] = base64.b64encode(body).decode()
            if fault and fault.name == "bad-base64":
                entry["b64_json"] = "@@not base64@@"
        entries.append(entry)
    await asyncio.sleep(desk.delay_s(fault))
    desk.spent[NAME] += asked.units
    result = {"data": entries} if asked.endpoint.is_list else {"image": entries[0] if entries else None}
    reply = json_reply({"created": int(time.time()), "credits": asked.units, **result})
    return spoil(reply, fault) if fault and fault.name not in INSIDE else reply


async def _picture(desk: Desk, asked: Asked, wish: pictures.Wish, fault: Fault | None) -> tuple[str, bytes]:
    if fault and fault.name == "picture-bomb":
        bomb = await asyncio.to_thread(pictures.bomb)
        return bomb.content_type, bomb.body
    if asked.is_vector:
        return "image/svg+xml", recraft_pictures.vector(wish)
    if asked.image is None:
        made = await desk.draw(wish)
    else:
        made = await asyncio.to_thread(recraft_pictures.work, asked, wish)
    body = made.body
    if fault and fault.name == "half-picture":
        body = body[: len(body) // 2]
    return made.content_type, GIF if fault and fault.name == "wrong-type" else body


# --- Refusals ------------------------------------------------------------------------------------


def _refusal(fault: Fault) -> Reply | None:
    status, as_text = int(fault.params.get("status", 0)), bool(fault.params.get("as_text"))

    def said(usual: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
        if as_text:
            return _text(message, status or usual)
        return json_reply({"code": code, "message": message}, status or usual, headers)

    match fault.name:
        case "rate-limit":
            return said(429, "rate_limit_exceeded", "Rate limit exceeded", retry_headers(fault))
        case "500":
            return said(500, "internal_error", "Internal server error")
        case "502" | "504":
            return Reply(int(fault.name), HTML, "text/html")
        case "503" | "loading":
            return said(503, "unavailable", "Service is temporarily unavailable", retry_headers(fault))
        case "unauthorized":
            return _text("request unauthorized", 401)
        case "forbidden":
            return _text("forbidden", 403)
        case "no-credit":
            return said(402, "not_enough_credits", "Not enough credits to perform the operation")
        case "model-gone":
            return _text("404 page not found", status or 404)
        case "bad-input":
            return said(400, "invalid_request", "Invalid value of parameter size")
        case "filtered":
            return said(400, "request_rejected", "The prompt was rejected by content moderation")
    return None


def _text(text: str, status: int) -> Reply:
    return Reply(status, text.encode(), "text/plain; charset=utf-8")


def _model(name: str) -> dict[str, Any]:
    usd = MODELS[name] / 1000
    return {"id": name, "name": name, "created": 1_760_000_000, "pricing": {"image": json.dumps(usd)}}
