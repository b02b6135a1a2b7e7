"""OpenAI Images as the simulator speaks it: generations, edits (multipart and JSON), models."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from typing import Any

from PIL import Image, ImageDraw, UnidentifiedImageError

from providers.simulator import pictures
from providers.simulator.desk import Desk, Seen
from providers.simulator.faults import HTML, Fault, retry_headers, spoil
from providers.simulator.openai_fields import FIELDS, MODELS, Wrong, check, error, no_model, read, stamped
from providers.simulator.wire import Reply, Request, json_reply

NAME, KEY = "openai", "sk-simulator"
PREFIX = "/openai/v1"
SPEAKS = [
    ("POST", "/openai/v1/images/generations", "a picture from words"),
    ("POST", "/openai/v1/images/edits", "a picture from pictures, words and perhaps a mask"),
    ("GET", "/openai/v1/models", "the models"),
]
TOKENS = {"low": 272, "medium": 1056, "high": 4160}
INSIDE = ("wrong-type", "half-picture")  # faults of the picture within a sound body


async def answer(request: Request, desk: Desk) -> Reply:
    path = request.path.removeprefix(PREFIX)
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return error(401, "Incorrect API key provided.", kind="invalid_request_error", code="invalid_api_key")
    if path == "/models" and request.method == "GET":
        return json_reply({"object": "list", "data": [_model(name) for name in MODELS]})
    if path.startswith("/models/") and request.method == "GET":
        name = path.removeprefix("/models/")
        return json_reply(_model(name)) if name in MODELS else no_model(name)
    operation = path.removeprefix("/images/")
    if operation not in FIELDS or path == operation:
        return error(404, f"Invalid URL ({request.method} {request.path})", kind="invalid_request_error")
    if request.method != "POST":
        return error(405, f"Not allowed to {request.method} on {request.path}", kind="invalid_request_error")
    try:
        fields, images, mask = read(request, operation)
    except Wrong as wrong:
        desk.see(NAME, operation, request).status = wrong.reply.status
        return wrong.reply
    seen = desk.see(NAME, operation, request, prompt=str(fields.get("prompt") or ""), fields=fields)
    seen.files = [_about("image", data) for data in images] + ([_about("mask", mask)] if mask else [])
    reply = await _play(desk, seen, operation, fields, images, mask)
    seen.status = reply.status
    return reply


async def _play(
    desk: Desk, seen: Seen, operation: str, fields: dict[str, Any], images: list[bytes], mask: bytes | None
) -> Reply:
    fault = desk.strike(seen)
    if fault and (refused := _refusal(fault, fields)):
        return refused
    try:
        width, height = check(operation, fields, images, mask)
    except Wrong as wrong:
        return wrong.reply
    wish = pictures.wish(fields["prompt"], 0, width, height, fields.get("output_format") or "png")
    if fault and fault.name == "picture-bomb":
        made = await asyncio.to_thread(pictures.bomb)
    elif images:
        made = await asyncio.to_thread(pictures.repaint, images[0], mask, wish)
    else:
        made = await desk.draw(wish)
    if fields.get("background") == "transparent":
        made = await asyncio.to_thread(_set_free, made.body, wish.format)
    await asyncio.sleep(desk.delay_s(fault))
    reply = _success(fields, f"{width}x{height}", len(images), made.base64, fault)
    return spoil(reply, fault) if fault and fault.name not in INSIDE else reply


def _success(fields: dict[str, Any], size: str, images: int, made: bytes, fault: Fault | None) -> Reply:
    """Put together by hand: the base64 is ready, and passing 270 kB through json costs a millisecond."""
    quality = fields.get("quality") or "auto"
    quality = "medium" if quality == "auto" else quality
    n = int(fields.get("n") or 1)
    if fault and fault.name == "wrong-type":
        made = base64.b64encode(b"GIF89a\x01\x00\x01\x00\x80\x00\x00;")
    if fault and fault.name == "half-picture":
        made = made[: len(made) // 8 * 4]
    if fault and fault.name == "bad-base64":
        made = b"@@not base64@@" + made[:100]
    if fault and fault.name == "short-count":
        n -= 1
    out, text = TOKENS.get(quality, 4160) * n, max(1, len(str(fields["prompt"])) // 4)
    usage = (
        f'{{"total_tokens":{out + text + images * 300},"input_tokens":{text + images * 300},"output_tokens":{out},'
        f'"input_tokens_details":{{"text_tokens":{text},"image_tokens":{images * 300}}}}}'
    )
    background = "transparent" if fields.get("background") == "transparent" else "opaque"
    head = (
        f'{{"created":{int(time.time())},"size":"{size}","quality":"{quality}","background":"{background}",'
        f'"output_format":"{fields.get("output_format") or "png"}","usage":{usage},"data":['
    )
    data = b",".join([b'{"b64_json":"' + made + b'"}'] * n)
    return stamped(Reply(body=b"".join((head.encode(), data, b"]}"))))


def _set_free(body: bytes, format: str) -> pictures.Picture:
    """The middle of a picture on a transparent ground."""
    with Image.open(io.BytesIO(body)) as opened:
        image = opened.convert("RGBA")
    shape = Image.new("L", image.size)
    ImageDraw.Draw(shape).ellipse((0, 0, image.width - 1, image.height - 1), fill=255)
    image.putalpha(shape)
    return pictures.pack(image, format)


# --- Refusals ------------------------------------------------------------------------------------


def _refusal(fault: Fault, fields: dict[str, Any]) -> Reply | None:
    params = fault.params
    match fault.name:
        case "rate-limit":
            reply = error(
                429,
                str(params.get("message") or "Rate limit reached for images per minute."),
                kind="input-images",
                code="rate_limit_exceeded",
            )
            reply.headers |= retry_headers(fault)
            return reply
        case "500":
            return error(500, "The server had an error while processing your request.", kind="server_error")
        case "502" | "504":
            return Reply(int(fault.name), HTML, "text/html")
        case "503" | "loading":
            reply = error(
                503, "That model is overloaded.", kind="service_unavailable_error", code="server_is_overloaded"
            )
            reply.headers |= retry_headers(fault)
            return reply
        case "unauthorized":
            return error(401, "Incorrect API key provided.", kind="invalid_request_error", code="invalid_api_key")
        case "no-credit" | "insufficient_quota":
            text = "You exceeded your current quota, please check your plan and billing details."
            return error(429, text, kind="insufficient_quota", code="insufficient_quota")
        case "credit_balance_exhausted":
            return error(429, "Your credit balance is exhausted.", kind="billing_error", code=fault.name)
        case "billing_hard_limit":
            text = "Billing hard limit has been reached."
            return error(400, text, kind="invalid_request_error", code="billing_hard_limit_reached")
        case "forbidden":
            text = f"Your organization must be verified to use the model `{fields.get('model')}`."
            return error(403, text, kind="invalid_request_error", code="model_not_available")
        case "model-gone":
            reply = no_model(str(fields.get("model")))
            reply.status = int(params.get("status", 404))
            return reply
        case "bad-input":
            text = "Invalid value for 'size'."
            status = int(params.get("status", 400))
            return error(status, text, kind="invalid_request_error", code="invalid_value", param="size")
        case "filtered":
            return _filtered(str(params.get("code") or "moderation_blocked"), params)
    return None


def _filtered(code: str, params: dict[str, Any]) -> Reply:
    text = "Your request was rejected by the safety system. safety_violations=[violence]."
    stage = {"moderation_stage": params.get("at", "input"), "categories": ["violence"]}
    more: dict[str, Any] = {"moderation_details": stage} if params.get("details") else {}
    return error(400, text, kind="image_generation_user_error", code=code, **more)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_776_700_000, "owned_by": "system"}


def _about(role: str, data: bytes) -> dict[str, Any]:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            facts = {"width": opened.width, "height": opened.height, "mode": opened.mode, "format": opened.format}
    except (UnidentifiedImageError, OSError):
        facts = {}
    return {"role": role, "size_bytes": len(data), **facts}
