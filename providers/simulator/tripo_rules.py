"""What the simulated Tripo takes: fields, types, choices and ranges of each route, as strict as its documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MODELS = ("v3.1-20260211", "v3.0-20250812", "v2.5-20250123", "P1-20260311", "P2-20260801")
TEXTURE_MODELS = ("v3.5-20260815", "v3.0-20250812", "v2.5-20250123")
RETIRED = ("Turbo-v1.0-20250506", "v2.0-20240919", "v1.4-20240625", "v1.3-20240522")
TOKEN = re.compile(r"file_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TASK = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MOST_PROMPT, MOST_NEGATIVE_PROMPT = 1024, 255


class Wrong(Exception):
    """What the vendor answers: its code, its words, the HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


Check = Callable[[Any], bool]


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(*choices: str) -> Check:
    return lambda value: value in choices


def _text(most: int) -> Check:
    return lambda value: isinstance(value, str) and 1 <= len(value) <= most


_TEXTURES: Mapping[str, Check] = {
    "texture": _is_bool,
    "pbr": _is_bool,
    "texture_quality": _one_of("standard", "detailed", "extreme"),
    "texture_seed": _is_int,
    "compress": _one_of("geometry"),
}
_SHAPES: Mapping[str, Check] = {
    **_TEXTURES,
    "face_limit": lambda value: _is_int(value) and value > 0,
    "geometry_quality": _one_of("standard", "detailed"),
    "auto_size": _is_bool,
    "quad": _is_bool,
    "smart_low_poly": _is_bool,
    "generate_parts": _is_bool,
    "export_uv": _is_bool,
    "export_orientation": _one_of("+x", "-x", "+y", "-y"),
    "model_seed": _is_int,
}
_FROM_PICTURES: Mapping[str, Check] = {
    **_SHAPES,
    "texture_alignment": _one_of("original_image", "geometry"),
    "orientation": _one_of("default", "align_image"),
}


@dataclass(frozen=True)
class Route:
    """type: what the vendor calls such a task. credits: with texture, detailed textures cost 10 more."""

    type: str
    fields: Mapping[str, Check]
    models: tuple[str, ...] = MODELS
    needs: tuple[str, ...] = ("model",)
    credits: int = 0
    most_at_once: int = 10


_ANY: Check = lambda value: True  # noqa: E731  looked at where files and tasks are known
ROUTES: Mapping[str, Route] = {
    "generation/image-to-model": Route(
        "image_to_model",
        {**_FROM_PICTURES, "input": _ANY, "file": _ANY, "enable_image_autofix": _is_bool},
        credits=30,
    ),
    "generation/multiview-to-model": Route(
        "multiview_to_model", {**_FROM_PICTURES, "inputs": _ANY}, needs=("model", "inputs"), credits=30
    ),
    "generation/text-to-model": Route(
        "text_to_model",
        {
            **_SHAPES,
            "prompt": _text(MOST_PROMPT),
            "negative_prompt": _text(MOST_NEGATIVE_PROMPT),
            "image_seed": _is_int,
        },
        needs=("model", "prompt"),
        credits=20,
    ),
    "models/import": Route("import_model", {"input": _ANY}, models=(), needs=("input",)),
    "models/texture": Route(
        "texture_model",
        {
            **_TEXTURES,
            "input": _ANY,
            "texture_prompt": _ANY,
            "texture_alignment": _one_of("original_image", "geometry"),
            "bake": _is_bool,
            "model_seed": _is_int,
            "part_names": lambda value: isinstance(value, list),
        },
        models=TEXTURE_MODELS,
        needs=("input",),
        credits=10,
        most_at_once=5,
    ),
}
# Even an explicit false is refused by the low-polygon models.
_NOT_FOR_P1 = ("quad", "smart_low_poly", "generate_parts", "geometry_quality")


def check(route: Route, body: Mapping[str, Any]) -> None:
    """Raise Wrong for the first thing that the vendor would refuse, files and earlier tasks aside."""
    body = {"model": body["model_version"], **body} if "model_version" in body else dict(body)
    body.pop("model_version", None)
    for name in route.needs:
        if body.get(name) in (None, ""):
            raise Wrong(1004, f"Parameter {name} is missing")
    for name, value in body.items():
        known = _one_of(*route.models, *RETIRED) if name == "model" and route.models else route.fields.get(name)
        if known is None:
            raise Wrong(1004, f"Parameter {name} is not known")
        if name == "model" and value in RETIRED:
            raise Wrong(2015, "The model version is deprecated")
        if not known(value):
            raise Wrong(2017 if name == "model" else 1004, f"Parameter {name} is invalid")
    _check_low_poly(body)
    if body.get("generate_parts") and (body.get("texture", True) or body.get("pbr", True) or body.get("quad")):
        raise Wrong(1004, "generate_parts needs texture false, pbr false and no quad")
    if "texture_prompt" in body:
        _check_texture_prompt(body["texture_prompt"])


def _check_low_poly(body: Mapping[str, Any]) -> None:
    faces = body.get("face_limit")
    if str(body.get("model")).startswith("P1"):
        if unfit := [name for name in _NOT_FOR_P1 if name in body]:
            raise Wrong(1004, f"Parameter {unfit[0]} is not supported by this model")
        low, high = 48, 20_000
    elif body.get("smart_low_poly"):
        low, high = 500, 10_000 if body.get("quad") else 20_000
    else:
        return
    if faces is not None and not low <= faces <= high:
        raise Wrong(1004, f"face_limit must lie between {low} and {high}")


def _check_texture_prompt(prompt: Any) -> None:
    if not isinstance(prompt, dict) or set(prompt) - {"text", "image", "images", "style_image"}:
        raise Wrong(1004, "Parameter texture_prompt is invalid")
    if sum(name in prompt for name in ("text", "image", "images")) != 1:
        raise Wrong(1004, "texture_prompt takes one of text, image and images")
    if "text" in prompt and not _text(MOST_PROMPT)(prompt["text"]):
        raise Wrong(1004, "texture_prompt.text is invalid")


def price(route: Route, body: Mapping[str, Any]) -> float:
    """Credits of a task, by the vendor's page of prices."""
    is_textured = body.get("texture", True) or body.get("pbr", True)
    extras = 10 * (body.get("texture_quality") == "detailed") + 10 * bool(body.get("smart_low_poly"))
    extras += 5 * bool(body.get("quad")) + 20 * bool(body.get("generate_parts"))
    extras += 20 * str(body.get("model")).startswith("P1")
    plain = -10 if route.credits > 10 and not is_textured else 0
    return float(route.credits + plain + extras) if route.credits else 0.0
