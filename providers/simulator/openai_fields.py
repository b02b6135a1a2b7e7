"""What OpenAI's calls may hold: fields, models, sizes, pictures; and the errors in which it refuses what they hold."""

from __future__ import annotations

import base64
import binascii
import io
import secrets
from typing import Any

from PIL import Image, UnidentifiedImageError

from providers.simulator.wire import Reply, Request, json_reply

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
    return stamped(json_reply({"error": fault}, status))


def stamped(reply: Reply) -> Reply:
    reply.headers |= {
        "x-request-id": f"req_{secrets.token_hex(12)}",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
    }
    return reply


def no_model(name: str) -> Reply:
    text = f"The model '{name}' does not exist or you do not have access to it."
    return error(404, text, kind="invalid_request_error", code="model_not_found", param="model")


def read(request: Request, operation: str) -> tuple[dict[str, Any], list[bytes], bytes | None]:
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


def check(operation: str, fields: dict[str, Any], images: list[bytes], mask: bytes | None) -> tuple[int, int]:
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
        wrong.reply = no_model(str(model))
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
