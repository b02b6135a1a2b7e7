"""What OpenRouter's chat completions may hold, as its OpenAPI document says, and answers that fit a schema."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from typing import Any

from PIL import Image, UnidentifiedImageError

from providers.simulator.wire import Reply, Request, json_reply

# model -> USD per million tokens, in and out
MODELS = {
    "openai/gpt-4o-mini": (0.15, 0.60),
    "openai/gpt-4o": (2.50, 10.0),
    "google/gemini-2.0-flash-001": (0.10, 0.40),
}
FIELDS = {
    "model", "models", "messages", "response_format", "max_completion_tokens", "max_tokens", "temperature", "top_p",
    "seed", "stop", "stream", "provider", "plugins", "reasoning", "user", "session_id", "metadata", "service_tier",
    "usage", "stream_options",
}  # fmt: skip
PROVIDER_FIELDS = {
    "order", "only", "ignore", "allow_fallbacks", "require_parameters", "data_collection", "zdr", "quantizations",
    "sort", "max_price",
}  # fmt: skip
RANGES = {"temperature": (0, 2), "top_p": (0, 1), "max_tokens": (16, 128_000), "max_completion_tokens": (16, 128_000)}
ROLES = ("system", "developer", "user", "assistant", "tool")
DETAILS = ("auto", "low", "high", "original")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_BYTES = 20_000_000


class Wrong(Exception):
    """The request is not as the vendor wants it; holds the reply."""

    def __init__(self, message: str, kind: str = "invalid_request", status: int = 400) -> None:
        super().__init__(message)
        self.reply = error(status, message, kind)


def error(
    status: int, message: str, kind: str, metadata: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> Reply:
    about = {**({"error_type": kind} if kind else {}), **(metadata or {})}
    body = {"error": {"code": status, "message": message, "metadata": about}, "user_id": "user_simulator"}
    return json_reply(body, status, headers)


def model(name: str) -> dict[str, Any]:
    into, out = MODELS[name]
    return {
        "id": name,
        "name": name,
        "created": 1_720_000_000,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "supported_parameters": ["max_tokens", "temperature", "response_format", "structured_outputs", "seed"],
        "pricing": {"prompt": f"{into / 1e6:.8f}", "completion": f"{out / 1e6:.8f}"},
    }


def read(request: Request) -> dict[str, Any]:
    """The body. Raises Wrong for anything but a JSON object."""
    try:
        body = request.json()
    except ValueError:
        raise Wrong("Invalid JSON body") from None
    if not isinstance(body, dict):
        raise Wrong("Invalid input: expected object")
    return body


def words(body: dict[str, Any]) -> str:
    """All text of the messages."""
    found = []
    for part in _parts(body):
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            found.append(text)
    return "\n".join(found)


def without_pictures(body: dict[str, Any]) -> dict[str, Any]:
    """The same body, each data URL cut after its type."""
    return json.loads(json.dumps(body), object_hook=_cut)


def _cut(found: dict[str, Any]) -> dict[str, Any]:
    url = found.get("url")
    return {**found, "url": url.partition(",")[0] + ",…"} if isinstance(url, str) and url.startswith("data:") else found


def _parts(body: dict[str, Any]) -> list[Any]:
    messages = body.get("messages")
    parts: list[Any] = []
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        parts += content if isinstance(content, list) else [content]
    return parts


# --- Checking ------------------------------------------------------------------------------------


def check(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What is known of the pictures. Raises Wrong for what the vendor would refuse."""
    if unknown := sorted(set(body) - FIELDS):
        raise Wrong(f"Unrecognized keys: {', '.join(unknown)}")
    for name in body.get("models") or [body.get("model")]:
        if name not in MODELS:
            raise Wrong(f"{name} is not a valid model ID", "model_not_found")
    for name, (low, high) in RANGES.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, int | float) or not low <= value <= high):
            raise Wrong(f"{name}: expected a number from {low} to {high}")
    if body.get("stream"):
        raise Wrong("Streaming is not understood here")
    preferences = body.get("provider")
    if preferences is not None and (not isinstance(preferences, dict) or set(preferences) - PROVIDER_FIELDS):
        raise Wrong("provider: unknown preferences")
    _check_format(body.get("response_format"))
    return _check_messages(body.get("messages"))


def _check_format(wanted: Any) -> None:
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise Wrong("response_format.type: expected text, json_object or json_schema")
    if kind != "json_schema":
        return
    about = wanted.get("json_schema")
    if not isinstance(about, dict) or not NAME.fullmatch(str(about.get("name"))):
        raise Wrong("response_format.json_schema.name: 1 to 64 of A-Z a-z 0-9 _ -")
    schema = about.get("schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise Wrong("response_format.json_schema.schema: expected an object's schema")
    strict = about.get("strict") is True
    if strict and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required") or ()) != set(schema.get("properties") or ())
    ):
        raise Wrong("Invalid schema: with strict every property is required and no other allowed")


def _check_messages(messages: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise Wrong("messages: expected at least one")
    pictures = []
    for n, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise Wrong(f"messages[{n}].role: expected one of {', '.join(ROLES)}")
        content = message.get("content")
        if isinstance(content, str):
            continue
        if not isinstance(content, list) or not content:
            raise Wrong(f"messages[{n}].content: expected text or parts")
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "image_url":
                pictures.append(_picture(part.get("image_url")))
            elif kind != "text" or not isinstance(part.get("text"), str):
                raise Wrong(f"messages[{n}].content: expected parts of type text or image_url")
    return pictures


def _picture(about: Any) -> dict[str, Any]:
    url = about.get("url") if isinstance(about, dict) else None
    if not isinstance(url, str):
        raise Wrong("image_url.url: expected a string")
    if about.get("detail", "auto") not in DETAILS:
        raise Wrong(f"image_url.detail: expected one of {', '.join(DETAILS)}")
    head, _, data = url.partition(",")
    if not re.fullmatch(r"data:image/(png|jpeg|webp|gif);base64", head):
        raise Wrong("Only data URLs of PNG, JPEG, WebP or GIF are understood here", "unsupported_image_format")
    try:
        body = base64.b64decode(data, validate=True)
        with Image.open(io.BytesIO(body), formats=FORMATS) as opened:
            facts = {"width": opened.width, "height": opened.height, "format": opened.format}
    except (binascii.Error, UnidentifiedImageError, OSError):
        raise Wrong("The image could not be decoded", "invalid_image") from None
    if len(body) > MOST_BYTES:
        raise Wrong("The image is too large", "image_too_large", 413)
    return {"role": "image", "size_bytes": len(body), "detail": about.get("detail", "auto"), **facts}


# --- Answering -----------------------------------------------------------------------------------


def fitting(body: dict[str, Any], verdict: dict[str, Any]) -> str:
    """The verdict as JSON; for another schema something that fits it, and plain words when no JSON is asked for."""
    wanted = body.get("response_format") or {"type": "text"}
    if wanted["type"] == "text":
        return "A landscape with hills, trees and a few birds."
    if wanted["type"] == "json_object":
        return json.dumps(verdict)
    properties = wanted["json_schema"]["schema"].get("properties") or {}
    return json.dumps({name: verdict.get(name, _sample(about)) for name, about in properties.items()})


def _sample(about: Any) -> Any:
    kind = str(about.get("type")) if isinstance(about, dict) else "string"
    return {"boolean": False, "number": 0.5, "integer": 1, "array": [], "object": {}}.get(kind, "a landscape")
