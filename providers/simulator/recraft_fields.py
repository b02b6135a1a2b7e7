"""What Recraft's calls may hold: fields, models, sizes and styles, as its OpenAPI document and pages say."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, UnidentifiedImageError

from providers.simulator.recraft_models import CURATED, MODELS, RATIOS, sizes_of
from providers.simulator.wire import Reply, Request, json_reply

STYLES = ("any", "digital_illustration", "icon", "realistic_image", "vector_illustration", "logo_raster")
VECTOR_STYLES = ("vector_illustration", "icon")
SUBSTYLE = re.compile(r"[a-z0-9_]{2,40}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MOST_BYTES, MOST_PIXELS, LONGEST = 10_000_000, 16_000_000, 4096

_ANSWER = {"response_format", "image_format", "expire"}
_DRAWING = _ANSWER | {
    "prompt", "n", "model", "style", "substyle", "style_id", "style_match", "negative_prompt", "random_seed",
    "controls", "text_layout", "creativity", "block_nsfw", "calculate_features",
}  # fmt: skip
_FRAME = {"expand_left", "expand_right", "expand_top", "expand_bottom", "zoom_out_percentage", "size"}
CHOICES = {
    "response_format": ("url", "b64_json"),
    "image_format": ("png", "webp"),
    "style_match": ("regular", "precise", "flexible"),
    "creativity": ("simple", "standard", "eccentric"),
    "upscale": ("upscale4mp", "upscale16mp"),
}
CURATED_ONLY = ("style", "substyle", "negative_prompt")


@dataclass(frozen=True)
class Endpoint:
    """about: for the page. fields: beside pictures. files: which pictures it needs. units: 0 goes by the model."""

    about: str
    fields: set[str]
    files: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("prompt",)
    units: int = 0
    is_list: bool = True
    shortest: int = 256


def _tool(about: str, units: int, *, files: tuple[str, ...] = ("image",), shortest: int = 256) -> Endpoint:
    return Endpoint(about, _ANSWER, files, (), units, is_list=False, shortest=shortest)


_BOTH = ("image", "mask")
ENDPOINTS = {
    "generations": Endpoint("a picture from words", _DRAWING | {"size", "upscale"}),
    "generations/raster": Endpoint("the same, never as vectors", _DRAWING | {"size", "upscale"}),
    "generations/vector": Endpoint("the same, as vectors", _DRAWING | {"size"}),
    "imageToImage": Endpoint("a picture like another", _DRAWING | {"strength"}, ("image",), ("prompt", "strength")),
    "inpaint": Endpoint("draw anew inside a mask", _DRAWING, _BOTH),
    "outpaint": Endpoint("draw on beyond the edges", _DRAWING | _FRAME, ("image",)),
    "replaceBackground": Endpoint("another background", _DRAWING, ("image",)),
    "generateBackground": Endpoint("another background inside a mask", _DRAWING, _BOTH),
    "variateImage": Endpoint("a picture much like another", _DRAWING | {"size"}, ("image",), ("size",)),
    "removeBackground": _tool("no background", 10),
    "vectorize": _tool("a picture as vectors", 10),
    "crispUpscale": _tool("larger and crisper", 4, shortest=32),
    "creativeUpscale": _tool("larger, with details that were not there", 250),
    "eraseRegion": _tool("nothing inside a mask", 2, files=_BOTH),
}


class Wrong(Exception):
    """The request is not as the vendor wants it; holds the reply."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.reply: Reply = json_reply({"code": code, "message": message}, status)


@dataclass
class Sent:
    """What came in: fields with their types, pictures by name."""

    fields: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)

    def about_files(self) -> list[dict[str, Any]]:
        return [{"role": name, "size_bytes": len(data), **_facts(data)} for name, data in self.files.items()]


@dataclass(frozen=True)
class Asked:
    """A sound request: what to make of what."""

    endpoint: Endpoint
    name: str
    prompt: str
    n: int
    seed: int
    width: int
    height: int
    format: str
    answers_with_link: bool
    is_vector: bool
    units: int
    image: bytes | None
    mask: bytes | None


# --- Reading -------------------------------------------------------------------------------------


def read(request: Request) -> Sent:
    """Fields and pictures from JSON or multipart. Raises Wrong."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return _read_parts(request)
    try:
        body = request.json()
    except ValueError:
        raise Wrong("invalid_json", "Failed to parse request body") from None
    if not isinstance(body, dict):
        raise Wrong("invalid_json", "The request body must be an object")
    files = {name: _data_url(f"{name}_url", body.pop(f"{name}_url")) for name in _BOTH if f"{name}_url" in body}
    return Sent(body, files)


def _read_parts(request: Request) -> Sent:
    sent = Sent({})
    for part in request.parts():
        name = "image" if part.name == "file" else part.name  # an older spelling
        if part.filename is not None:
            if name not in _BOTH:
                raise Wrong("unknown_field", f"Unexpected file {part.name}")
            sent.files[name] = part.body
            continue
        text = part.body.decode("utf-8", "replace")
        sent.fields[part.name] = _typed(part.name, text)
    return sent


def _typed(name: str, text: str) -> Any:
    """A multipart field says everything as text."""
    try:
        if name in ("n", "random_seed") or name.startswith("expand_"):
            return int(text)
        if name in ("strength", "zoom_out_percentage"):
            return float(text)
        if name in ("controls", "text_layout"):
            return json.loads(text)
    except ValueError:
        return text
    if name in ("block_nsfw", "calculate_features", "expire"):
        return {"true": True, "false": False}.get(text, text)
    return text


def _data_url(name: str, value: Any) -> bytes:
    if not isinstance(value, str) or not value.startswith("data:image/"):
        raise Wrong("invalid_image_url", f"{name} must be a data URL here")
    try:
        return base64.b64decode(value.partition(",")[2], validate=True)
    except binascii.Error:
        raise Wrong("invalid_image_url", f"{name} holds damaged base64") from None


# --- Checking ------------------------------------------------------------------------------------


def check(name: str, request: Request, sent: Sent) -> Asked:
    """Raises Wrong for what the vendor would refuse."""
    endpoint, fields = ENDPOINTS[name], sent.fields
    if request.query.get("billing", "api") not in ("api", "subscription"):
        raise Wrong("invalid_billing", "billing must be api or subscription")
    for given in fields:
        if given not in endpoint.fields:
            raise Wrong("unknown_field", f"Unknown field {given}")
    for needed in endpoint.needs:
        if fields.get(needed) in (None, ""):
            raise Wrong("missing_field", f"Field {needed} is required")
    for one, allowed in CHOICES.items():
        if fields.get(one) is not None and fields[one] not in allowed:
            raise Wrong(f"invalid_{one}", f"{one} must be one of {', '.join(allowed)}")
    model = str(fields.get("model") or "recraftv4_1")
    _check_numbers(fields)
    if "model" in endpoint.fields:
        _check_words(fields, model)
    image = _check_pictures(endpoint, sent)
    is_vector = name == "vectorize" or "model" in endpoint.fields and _is_vector(model, fields)
    if name.startswith("generations/") and is_vector is not name.endswith("/vector"):
        raise Wrong("invalid_model", "This model or style is of the other kind")
    width, height = _size(str(fields.get("size") or "1:1"), model) if image is None else image
    n = int(fields.get("n") or 1)
    return Asked(
        endpoint,
        name,
        str(fields.get("prompt") or ""),
        n,
        int(fields.get("random_seed") or 0),
        width,
        height,
        str(fields.get("image_format") or "webp"),
        fields.get("response_format") != "b64_json",
        is_vector,
        endpoint.units or n * MODELS[model] * (2 if is_vector and not model.endswith("_vector") else 1),
        sent.files.get("image"),
        sent.files.get("mask"),
    )


def _check_numbers(fields: dict[str, Any]) -> None:
    for name, kind, low, high in (
        ("n", int, 1, 6),
        ("random_seed", int, 0, 2**32 - 1),
        ("strength", (int, float), 0, 1),
    ):
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
            raise Wrong(f"invalid_{name}", f"{name} must be a number from {low} to {high}")


def _check_words(fields: dict[str, Any], model: str) -> None:
    """The prompt, and the words that only some models know."""
    if model not in MODELS:
        raise Wrong("invalid_model", f"Model {model} is not supported")
    is_curated = model.startswith(CURATED)
    if len(str(fields.get("prompt") or "").encode()) > (1000 if is_curated else 10_000):
        raise Wrong("invalid_prompt", "The prompt is too long")
    for name in () if is_curated else CURATED_ONLY:
        if fields.get(name) is not None:
            raise Wrong(f"invalid_{name}", f"{name} is not supported by model {model}")
    if fields.get("text_layout") is not None and not model.startswith("recraftv3"):
        raise Wrong("invalid_text_layout", f"text_layout is not supported by model {model}")
    style, style_id = fields.get("style"), fields.get("style_id")
    if style is not None and style_id is not None:
        raise Wrong("invalid_style", "style and style_id exclude each other")
    if style_id is not None and not UUID.fullmatch(str(style_id)):
        raise Wrong("invalid_style_id", "style_id must be a UUID")
    # Curated styles go by display names today ("Line art"); the snake_case names of earlier editions still work.
    if style is not None and style not in STYLES and not str(style)[:1].isupper():
        raise Wrong("invalid_style", f"Unknown style {style}")
    if style == "icon" and model.startswith("recraftv3"):
        raise Wrong("invalid_style", "Style icon is not supported by this model")
    if fields.get("substyle") is not None and not SUBSTYLE.fullmatch(str(fields["substyle"])):
        raise Wrong("invalid_substyle", f"Unknown substyle {fields['substyle']}")


def _is_vector(model: str, fields: dict[str, Any]) -> bool:
    return model.endswith("_vector") or fields.get("style") in VECTOR_STYLES


def _check_pictures(endpoint: Endpoint, sent: Sent) -> tuple[int, int] | None:
    """The picture's size; None for an endpoint that takes none."""
    for name in endpoint.files:
        if name not in sent.files:
            raise Wrong("missing_field", f"Field {name} is required")
    for name in sent.files:
        if name not in endpoint.files:
            raise Wrong("unknown_field", f"Unexpected file {name}")
    if not endpoint.files:
        return None
    facts = _facts(sent.files["image"])
    if facts.get("format") not in ("PNG", "JPEG", "WEBP"):
        raise Wrong("invalid_image", "The image must be PNG, JPG or WEBP")
    width, height = size = facts["width"], facts["height"]
    if len(sent.files["image"]) >= MOST_BYTES:
        raise Wrong("image_too_large", "The image must be smaller than 10 MB", 413)
    if min(size) < endpoint.shortest or max(size) > LONGEST or width * height > MOST_PIXELS:
        raise Wrong("invalid_image_size", f"Sides must be {endpoint.shortest} to {LONGEST} px, 16 MP at most")
    if "mask" in endpoint.files:
        _check_mask(sent.files["mask"], size)
    return width, height


def _check_mask(mask: bytes, size: tuple[int, int]) -> None:
    facts = _facts(mask)
    if facts.get("format") not in ("PNG", "JPEG", "WEBP") or facts["mode"] not in ("L", "1"):
        raise Wrong("invalid_mask", "The mask must be a grayscale image")
    if (facts["width"], facts["height"]) != size:
        raise Wrong("invalid_mask_size", "The mask must have the size of the image")
    with Image.open(io.BytesIO(mask)) as opened:
        shades = opened.convert("L").histogram()
    if any(shades[1:255]):
        raise Wrong("invalid_mask", "Every pixel of the mask must be 0 or 255")


def _size(size: str, model: str) -> tuple[int, int]:
    known = sizes_of(model)
    if size in RATIOS:
        across, down = (int(side) for side in size.split(":"))
        return min(known, key=lambda one: abs(one[0] / one[1] - across / down))
    wide, _, high = size.partition("x")
    found = (int(wide), int(high)) if wide.isdigit() and high.isdigit() else (0, 0)
    if found not in known or model.endswith("_vector"):
        raise Wrong("invalid_size", f"Size {size} is not supported by model {model}")
    return found


def _facts(data: bytes) -> dict[str, Any]:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return {"width": opened.width, "height": opened.height, "mode": opened.mode, "format": opened.format}
    except (UnidentifiedImageError, OSError):
        return {}
