"""What Hugging Face's router and the company behind it take and refuse: models, fields, ranges, error bodies."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

from PIL import Image, UnidentifiedImageError

from providers.simulator.faults import HTML, Fault, retry_headers
from providers.simulator.wire import Reply, json_reply

MODELS = {
    "black-forest-labs/FLUX.1-dev": "fal-ai/flux/dev",
    "black-forest-labs/FLUX.1-schnell": "fal-ai/flux/schnell",
    "black-forest-labs/FLUX.2-klein-9B": "fal-ai/flux-2/klein/9b/edit",
}
EDITORS = ("black-forest-labs/FLUX.2-klein-9B",)
EDIT_PATHS = [MODELS[name] for name in EDITORS]
SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
CHOICES = {"output_format": ("jpeg", "png"), "acceleration": ("none", "regular", "high")}
RANGES = {"num_inference_steps": (1, 50), "guidance_scale": (1, 20), "num_images": (1, 4)}
FLAGS = ("sync_mode", "enable_safety_checker")
SUBMIT_FIELDS = {"prompt", "image_size", "seed", *CHOICES, *RANGES, *FLAGS}
# An editor wants a list; the router's own clients send one picture beside it.
EDIT_FIELDS = SUBMIT_FIELDS - {"acceleration", "guidance_scale"} | {"image_urls", "image_url"}
EDIT_RANGES = {**RANGES, "num_inference_steps": (4, 8)}
MOST_SOURCES = 4
HF_PARAMETERS = {
    "text-to-image": {
        "negative_prompt", "guidance_scale", "num_inference_steps", "width", "height", "scheduler", "seed",
    },
    "image-to-image": {"prompt", "negative_prompt", "guidance_scale", "num_inference_steps", "target_size"},
}  # fmt: skip


def faults_of(body: dict[str, Any], *, is_edit: bool) -> list[dict[str, Any]]:
    """What fal's validation says of a submit, in its own shape."""
    faults = []
    fields, ranges = (EDIT_FIELDS, EDIT_RANGES) if is_edit else (SUBMIT_FIELDS, RANGES)

    def wrong(field: str, text: str, kind: str) -> None:
        faults.append({"loc": ["body", field], "msg": text, "type": kind})

    if not isinstance(body.get("prompt"), str) or not body["prompt"]:
        wrong("prompt", "Field required", "missing")
    sources = body.get("image_urls")
    if is_edit and not (isinstance(sources, list) and 1 <= len(sources) <= MOST_SOURCES):
        wrong("image_urls", f"List should have 1 to {MOST_SOURCES} items", "too_long")
    elif is_edit and any(size_of(decoded(str(one))) is None for one in sources or ()):
        wrong("image_urls", "Failed to load the image. Please ensure the image file is valid.", "image_load_error")
    for name in sorted(set(body) - fields):
        wrong(name, "Extra inputs are not permitted", "extra_forbidden")
    for name, allowed in CHOICES.items():
        if body.get(name) is not None and body[name] not in allowed:
            wrong(name, f"Input should be one of {', '.join(allowed)}", "literal_error")
    for name, (low, high) in ranges.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, int | float) or not low <= value <= high):
            wrong(name, f"Input should lie between {low} and {high}", "less_than_equal")
    for name in FLAGS:
        if body.get(name) is not None and not isinstance(body[name], bool):
            wrong(name, "Input should be a valid boolean", "bool_type")
    if body.get("seed") is not None and not isinstance(body["seed"], int):
        wrong("seed", "Input should be a valid integer", "int_type")
    size = body.get("image_size")
    if isinstance(size, dict):
        if not is_sound(size.get("width"), size.get("height")):
            wrong("image_size", "width and height must be multiples of 16 up to 14142", "value_error")
    elif size is not None and size not in SIZES:
        wrong("image_size", f"Input should be one of {', '.join(SIZES)}", "literal_error")
    return faults


def text_of(parameters: Any, name: str) -> str:
    return str(parameters.get(name) or "") if isinstance(parameters, dict) else ""


def decoded(text: str) -> bytes:
    """The bytes of a data URL or of bare base64; b"" for anything else."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except binascii.Error:
        return b""


def size_of(data: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return opened.size
    except (UnidentifiedImageError, OSError):
        return None


def like(source: bytes) -> dict[str, int] | None:
    """The size of a picture as the editor rounds it."""
    size = size_of(source) if source else None
    return size and {"width": max(16, size[0] // 16 * 16), "height": max(16, size[1] // 16 * 16)}


def short(body: dict[str, Any]) -> dict[str, Any]:
    """A body for the call log: its pictures by their length."""
    urls = body.get("image_urls")
    if not isinstance(urls, list):
        return body
    return {**body, "image_url": "…", "image_urls": [f"{str(url)[:22]}… {len(str(url))} characters" for url in urls]}


def is_sound(width: Any, height: Any) -> bool:
    return all(isinstance(side, int) and 16 <= side <= 4096 and side % 16 == 0 for side in (width, height))


def refusal(fault: Fault) -> Reply | None:
    match fault.name:
        case "rate-limit":
            return json_reply({"error": "Too Many Requests"}, 429, retry_headers(fault))
        case "500":
            return json_reply({"error": "Internal Server Error"}, 500)
        case "502" | "504":
            return Reply(int(fault.name), HTML, "text/html")
        case "503":
            return json_reply({"error": "Service Unavailable"}, 503, retry_headers(fault))
        case "loading":
            estimate = float(fault.params.get("estimated_time", 20.0))
            return json_reply({"error": "Model is currently loading", "estimated_time": estimate}, 503)
        case "unauthorized":
            return json_reply({"error": "Invalid username or password."}, 401)
        case "no-credit" | "insufficient_quota" | "credit_balance_exhausted" | "billing_hard_limit":
            text = "You have depleted your monthly included credits. Purchase pre-paid credits to continue."
            return json_reply({"error": text}, 402)
        case "forbidden":
            text = "This authentication method does not have sufficient permissions to call Inference Providers."
            return json_reply({"error": text}, 403)
        case "model-gone":
            status = int(fault.params.get("status", 404))
            text = "Model not supported by provider hf-inference" if status == 400 else "Model is deprecated"
            return json_reply({"error": text}, status)
        case "bad-input":
            detail = [{"loc": ["body", "prompt"], "msg": "Input is not acceptable", "type": "value_error"}]
            return json_reply({"detail": detail}, int(fault.params.get("status", 422)))
        case "filtered" if fault.params.get("at") == "input" or fault.params.get("status") == 422:
            detail = [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]
            return json_reply({"detail": detail}, 422)
    return None
