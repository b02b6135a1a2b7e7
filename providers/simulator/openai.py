"""OpenAI Images as the simulator speaks it: generations, edits (multipart and JSON), models."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import secrets
import time
from typing import Any

from PIL import Image, ImageDraw, UnidentifiedImageError

from providers.simulator import pictures
from providers.simulator.desk import Desk, Seen
from providers.simulator.faults import HTML, Fault, retry_headers, spoil
from providers.simulator.wire import Reply, Request, json_reply

NAME, KEY = "openai", "sk-simulator"
PREFIX = "/openai/v1"
SPEAKS = [
    ("POST", "/openai/v1/images/generations", "a picture from words"),
    ("POST", "/openai/v1/images/edits", "a picture from pictures, words and perhaps a mask"),
    ("GET", "/openai/v1/models", "the models"),
]
MODELS = (
    "gpt-image-2",
    "gpt-image-2-2026-04-21",
    "gpt-image-2.5-sunburst",
    "gpt-image-2.5-flare",
    "gpt-image-2.6-sunburst",
    "gpt-image-2.6-flare",
    "gpt-image-1",
    "gpt-image-1-mini",
    "gpt-image-1.5",
)
CHOICES = {
    "quality": ("auto", "low", "medium", "high", "xhigh", "max"),
    "background": ("auto", "opaque", "transparent"),
    "output_format": ("png", "jpeg", "webp"),
    "moderation": ("auto", "low"),
    "input_fidelity": ("low", "high"),
}
COMMON = {"prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression", "user"}
FIELDS = {
    "generations": COMMON | {"moderation", "stream", "partial_images", "safety_identifier"},
    "edits": COMMON | {"input_fidelity", "stream", "partial_images", "safety_identifier"},
}
TOKENS = {"low": 272, "medium": 1056, "high": 4160}
INSIDE = ("wrong-type", "half-picture")  # faults of the picture within a sound body
TYPES = ("image/png", "image/jpeg", "image/webp")


class Wrong(Exception):
    """The request is not as the vendor wants it; holds the reply."""

    def __init__(
        self, status: int, message: str, *, kind: str = "invalid_request_error", code: str = "", param: str = ""
    ):
        super().__init__(message)
        self.reply = error(status, message, kind=kind, code=code, param=param)


def error(status: int, message: str, *, kind: str, code: str = "", param: str = "", **more: Any) -> Reply:
    fault = {"message": message, "type": kind, "param": param or None, "code": code or None, **more}
    return _stamped(json_reply({"error": fault}, status))


def _stamped(reply: Reply) -> Reply:
    reply.headers |= {
        "x-request-id": f"req_{secrets.token_hex(12)}",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
    }
    return reply


async def answer(request: Request, desk: Desk) -> Reply:
    path = request.path.removeprefix(PREFIX)
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return error(401, "Incorrect API key provided.", kind="invalid_request_error", code="invalid_api_key")
    if path == "/models" and request.method == "GET":
        return json_reply({"object": "list", "data": [_model(name) for name in MODELS]})
    if path.startswith("/models/") and request.method == "GET":
        name = path.removeprefix("/models/")
        return json_reply(_model(name)) if name in MODELS else _no_model(name)
    operation = path.removeprefix("/images/")
    if operation not in FIELDS or path == operation:
        return error(404, f"Invalid URL ({request.method} {request.path})", kind="invalid_request_error")
    if request.method != "POST":
        return error(405, f"Not allowed to {request.method} on {request.path}", kind="invalid_request_error")
    try:
        fields, images, mask = _read(request, operation)
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
        width, height = _check(operation, fields, images, mask)
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
    return _stamped(Reply(body=b"".join((head.encode(), data, b"]}"))))


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
            reply = _no_model(str(fields.get("model")))
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


def _no_model(name: str) -> Reply:
    text = f"The model '{name}' does not exist or you do not have access to it."
    return error(404, text, kind="invalid_request_error", code="model_not_found", param="model")


# --- What is sent --------------------------------------------------------------------------------


def _read(request: Request, operation: str) -> tuple[dict[str, Any], list[bytes], bytes | None]:
    """Fields, pictures and mask from JSON or multipart."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        if operation != "edits":
            raise Wrong(400, "Unsupported content type: 'multipart/form-data'.", code="unsupported_content_type")
        return _read_parts(request)
    try:
        body = request.json()
    except ValueError:
        raise Wrong(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise Wrong(400, "The body must be a JSON object.")
    images = [_data_url(one, f"images[{n}]") for n, one in enumerate(body.pop("images", None) or ())]
    mask = body.pop("mask", None)
    return body, images, _data_url(mask, "mask") if mask else None


def _read_parts(request: Request) -> tuple[dict[str, Any], list[bytes], bytes | None]:
    fields: dict[str, Any] = {}
    images: list[bytes] = []
    mask: bytes | None = None
    for part in request.parts():
        if part.filename is None:
            fields[part.name] = part.body.decode("utf-8", "replace")
            continue
        if part.content_type not in TYPES:
            text = f"Invalid file 'image': unsupported mimetype ('{part.content_type}')."
            raise Wrong(400, text, code="unsupported_file_mimetype", param=f"image[{len(images)}]")
        if part.name == "mask":
            mask = part.body
        elif part.name in ("image", "image[]"):
            images.append(part.body)
        else:
            raise Wrong(400, f"Unknown parameter: '{part.name}'.", code="unknown_parameter", param=part.name)
    for name in ("n", "output_compression", "partial_images"):
        if name in fields:
            fields[name] = int(fields[name]) if str(fields[name]).isdigit() else fields[name]
    return fields, images, mask


def _data_url(value: Any, param: str) -> bytes:
    url = value.get("image_url") if isinstance(value, dict) else None
    if not isinstance(url, str) or not url.startswith("data:"):
        raise Wrong(400, "Only data URLs are understood here.", code="invalid_value", param=param)
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except binascii.Error:
        raise Wrong(400, "Invalid base64.", code="invalid_value", param=param) from None


def _check(operation: str, fields: dict[str, Any], images: list[bytes], mask: bytes | None) -> tuple[int, int]:
    """The size to make. Raises Wrong for what the vendor would refuse."""
    for name in fields:
        if name not in FIELDS[operation]:
            raise Wrong(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    prompt, model = fields.get("prompt"), fields.get("model") or "dall-e-2"
    if not isinstance(prompt, str) or not prompt:
        raise Wrong(400, "Missing required parameter: 'prompt'.", code="missing_required_parameter", param="prompt")
    if len(prompt) > 32_000:
        raise Wrong(400, "Invalid 'prompt': string too long.", code="string_above_max_length", param="prompt")
    if model not in MODELS:
        wrong = Wrong(404, "")
        wrong.reply = _no_model(str(model))
        raise wrong
    for name, allowed in CHOICES.items():
        if fields.get(name) is not None and fields[name] not in allowed:
            text = f"Invalid value: '{fields[name]}'. Supported values are: {', '.join(map(repr, allowed))}."
            raise Wrong(400, text, code="invalid_value", param=name)
    _check_number(fields, "n", 1, 10)
    _check_number(fields, "output_compression", 0, 100)
    if fields.get("stream") not in (None, False, "false"):
        raise Wrong(400, "Streaming is not understood here.", code="unsupported_value", param="stream")
    if fields.get("background") == "transparent" and fields.get("output_format") == "jpeg":
        raise Wrong(400, "Transparent background needs png or webp.", code="invalid_value", param="background")
    if operation == "edits":
        _check_pictures(images, mask)
    return _check_size(str(fields.get("size") or "auto"), model)


def _check_number(fields: dict[str, Any], name: str, low: int, high: int) -> None:
    value = fields.get(name)
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise Wrong(400, f"Invalid type for '{name}': expected an integer.", code="invalid_type", param=name)
    if not low <= value <= high:
        raise Wrong(
            400, f"Invalid '{name}': must lie between {low} and {high}.", code="integer_out_of_range", param=name
        )


def _check_size(size: str, model: str) -> tuple[int, int]:
    if size == "auto":
        return 1024, 1024
    wide, _, high = size.partition("x")
    if not (wide.isdigit() and high.isdigit()):
        raise Wrong(400, f"Invalid value: '{size}'.", code="invalid_value", param="size")
    width, height = int(wide), int(high)
    if model.startswith("gpt-image-1"):
        sound = (width, height) in ((1024, 1024), (1536, 1024), (1024, 1536))
    else:
        longest = min(width, height) >= 16 and max(width, height) <= 3840 and width * height <= 3840 * 2160
        sound = longest and width % 16 == 0 and height % 16 == 0 and 1 / 3 <= width / height <= 3
    if not sound:
        raise Wrong(400, f"Invalid size '{size}' for this model.", code="invalid_value", param="size")
    return width, height


def _check_pictures(images: list[bytes], mask: bytes | None) -> None:
    if not 1 <= len(images) <= 16:
        text = "Missing required parameter: 'image'." if not images else "Too many images."
        raise Wrong(400, text, code="missing_required_parameter", param="image")
    sizes = []
    for n, data in enumerate([*images, *([mask] if mask else [])]):
        try:
            with Image.open(io.BytesIO(data)) as opened:
                sizes.append((opened.size, opened.mode, opened.format))
        except (UnidentifiedImageError, OSError):
            text = f"Invalid image file or mode for image {n + 1}, please check your image file."
            raise Wrong(400, text, kind="image_generation_user_error", code="invalid_image_file") from None
    if mask:
        size, mode, format = sizes[-1]
        if format != "PNG" or len(mask) > 4_000_000 or mode not in ("RGBA", "LA", "PA"):
            raise Wrong(400, "Invalid mask: must be a PNG under 4 MB with an alpha channel.", param="mask")
        if size != sizes[0][0]:
            raise Wrong(400, "Invalid mask: its size must equal the image's.", code="invalid_value", param="mask")


def _about(role: str, data: bytes) -> dict[str, Any]:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            facts = {"width": opened.width, "height": opened.height, "mode": opened.mode, "format": opened.format}
    except (UnidentifiedImageError, OSError):
        facts = {}
    return {"role": role, "size_bytes": len(data), **facts}
