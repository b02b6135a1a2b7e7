"""Replicate's models as the simulator knows them: each one's input schema, its versions, and how it objects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RATIO_SIZES = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
SCHEDULERS = ["DDIM", "DPMSolverMultistep", "HeunDiscrete", "KarrasDPM", "K_EULER_ANCESTRAL", "K_EULER", "PNDM"]

Field = dict[str, Any]


def _text(default: str | None = None) -> Field:
    return {"type": "string", "default": default}


def _uri() -> Field:
    return {"type": "string", "format": "uri"}


def _whole(default: int | None = None, low: int | None = None, high: int | None = None) -> Field:
    return {"type": "integer", "default": default, "minimum": low, "maximum": high}


def _real(default: float, low: float, high: float) -> Field:
    return {"type": "number", "default": default, "minimum": low, "maximum": high}


def _flag(default: bool) -> Field:
    return {"type": "boolean", "default": default}


def _one_of(default: str, *choices: str) -> Field:
    return {"type": "string", "enum": list(choices), "default": default}


@dataclass(frozen=True)
class Model:
    """fields: name -> JSON schema. output: list, iterator, text or object. gpu_s: what a run is billed for.

    is_official: it answers by its name. version: the one that is known of it, else one of our own.
    """

    fields: Mapping[str, Field]
    required: tuple[str, ...] = ("prompt",)
    output: str = "list"
    is_official: bool = False
    version: str = ""
    gpu_s: float = 2.0
    older: tuple[str, ...] = field(default=())

    def schema(self) -> dict[str, Any]:
        """The part of its OpenAPI document that clients read."""
        uri = {"type": "string", "format": "uri"}
        output: dict[str, Any] = {"type": "array", "items": uri, "title": "Output"}
        if self.output == "iterator":
            output |= {"x-cog-array-type": "iterator"}
        elif self.output == "text":
            output = {**uri, "title": "Output"}
        elif self.output == "object":
            masks = {"type": "array", "items": uri}
            output = {"type": "object", "properties": {"combined_mask": uri, "individual_masks": masks}}
        properties = {name: {k: v for k, v in about.items() if v is not None} for name, about in self.fields.items()}
        inputs = {"type": "object", "title": "Input", "required": list(self.required), "properties": properties}
        return {"openapi": "3.0.2", "components": {"schemas": {"Input": inputs, "Output": output}}}


_COUNT = {"num_outputs": _whole(1, 1, 4)}
_CHECKER = {"disable_safety_checker": _flag(False)}
_FLUX = {
    "prompt": _text(),
    **_COUNT,
    "seed": _whole(),
    "output_format": _one_of("webp", "webp", "jpg", "png"),
    "output_quality": _whole(80, 0, 100),
    **_CHECKER,
}
_RATIO = {"aspect_ratio": _one_of("1:1", *RATIO_SIZES), "megapixels": _one_of("1", "1", "0.25")}
_MATCH = {"megapixels": _one_of("1", "1", "0.25", "match_input")}


def _steps(default: int, most: int) -> dict[str, Field]:
    return {"num_inference_steps": _whole(default, 1, most)}


def _control(guidance: float) -> Model:
    fields = {**_FLUX, **_MATCH, **_steps(28, 50), "guidance": _real(guidance, 0, 100), "control_image": _uri()}
    return Model(fields, ("prompt", "control_image"), is_official=True, gpu_s=9.0)


MODELS: dict[str, Model] = {
    "andreasjansson/stable-diffusion-inpainting": Model(
        {
            "prompt": _text("a photo"),
            "negative_prompt": _text(),
            "image": _uri(),
            "mask": _uri(),
            "invert_mask": _flag(False),
            **_COUNT,
            **_steps(50, 500),
            "guidance_scale": _real(7.5, 1, 20),
            "seed": _whole(),
        },
        ("image", "mask"),
        version="e490d072a34a94a11e9711ed5a6ba621c3fab884eda1665d9d3a282d65a21180",
        gpu_s=5.0,
    ),
    "black-forest-labs/flux-canny-dev": _control(30),
    "black-forest-labs/flux-depth-dev": _control(10),
    "black-forest-labs/flux-dev": Model(
        {
            **_FLUX,
            **_RATIO,
            **_steps(28, 50),
            "guidance": _real(3, 0, 10),
            "image": _uri(),
            "prompt_strength": _real(0.8, 0, 1),
            "go_fast": _flag(True),
        },
        is_official=True,
        gpu_s=3.0,
    ),
    "black-forest-labs/flux-fill-dev": Model(
        {
            **_FLUX,
            **_MATCH,
            **_steps(28, 50),
            "guidance": _real(30, 0, 100),
            "image": _uri(),
            "mask": _uri(),
            "lora_weights": _text(),
            "lora_scale": _real(1, -1, 3),
        },
        ("prompt", "image"),
        is_official=True,
        gpu_s=8.0,
    ),
    "black-forest-labs/flux-fill-pro": Model(
        {
            "prompt": _text(),
            "image": _uri(),
            "mask": _uri(),
            "outpaint": _text(),
            "seed": _whole(),
            "steps": _whole(50, 15, 50),
            "guidance": _real(3, 2, 5),
            "prompt_upsampling": _flag(False),
            "safety_tolerance": _whole(2, 1, 6),
            "output_format": _one_of("jpg", "jpg", "png"),
        },
        ("prompt", "image"),
        output="text",
        is_official=True,
    ),
    "black-forest-labs/flux-schnell": Model(
        {**_FLUX, **_RATIO, **_steps(4, 4), "go_fast": _flag(True)}, is_official=True, gpu_s=0.6
    ),
    "meta/sam-2": Model(
        {
            "image": _uri(),
            "points_per_side": _whole(32),
            "pred_iou_thresh": _real(0.88, 0, 1),
            "stability_score_thresh": _real(0.95, 0, 1),
            "use_m2m": _flag(True),
        },
        ("image",),
        output="object",
        version="cbd95fb76192174268b6b303aeeb7a736e8dab0cbc38177f09db79b2299da30b",
    ),
    "schananas/grounded_sam": Model(
        {
            "image": _uri(),
            "mask_prompt": _text("clothes,shoes"),
            "negative_mask_prompt": _text("pants"),
            "adjustment_factor": _whole(0),
        },
        ("image",),
        output="iterator",
        version="ee871c19efb1941f55f66a3d7d960428c8a5afcb77449547fe8e5a3ab9ebc21c",
    ),
    "stability-ai/sdxl": Model(
        {
            "prompt": _text("An astronaut riding a rainbow unicorn"),
            "negative_prompt": _text(""),
            "image": _uri(),
            "mask": _uri(),
            "width": _whole(1024),
            "height": _whole(1024),
            **_COUNT,
            "scheduler": _one_of("K_EULER", *SCHEDULERS),
            **_steps(50, 500),
            "guidance_scale": _real(7.5, 1, 50),
            "prompt_strength": _real(0.8, 0, 1),
            "seed": _whole(),
            "refine": _one_of("no_refiner", "no_refiner", "expert_ensemble_refiner", "base_image_refiner"),
            "high_noise_frac": _real(0.8, 0, 1),
            "refine_steps": _whole(),
            "apply_watermark": _flag(True),
            "lora_scale": _real(0.6, 0, 1),
            "replicate_weights": _text(),
            **_CHECKER,
        },
        (),
        version="39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b",
        gpu_s=4.0,
    ),
    "xlabs-ai/flux-dev-controlnet": Model(
        {
            "prompt": _text(),
            "negative_prompt": _text(""),
            "control_image": _uri(),
            "control_type": _one_of("depth", "canny", "depth", "soft_edge"),
            "control_strength": _real(0.5, 0, 3),
            "image_to_image_strength": _real(0, 0, 1),
            "guidance_scale": _real(3.5, 0, 5),
            "steps": _whole(28, 1, 50),
            "lora_url": _text(""),
            "lora_strength": _real(1, -1, 3),
            "output_format": _one_of("webp", "webp", "jpg", "png"),
            "output_quality": _whole(100, 0, 100),
            "depth_preprocessor": _text("DepthAnything"),
            "soft_edge_preprocessor": _text("HED"),
            "return_preprocessed_image": _flag(False),
            "seed": _whole(),
        },
        ("prompt", "control_image"),
        version="9a8db105db745f8b11ad3afe5c8bd892428b2a43ade0b67edc4e0ccd52ff2fda",
        older=("f2c31c31d81278a91b2447a304dae654c64a5d5a70340fba811bb1cbd41019a2",),
        gpu_s=40.0,
    ),
}


def version_of(name: str) -> str:
    return MODELS[name].version or hashlib.sha256(name.encode()).hexdigest()


NAME_OF_VERSION = {version_of(name): name for name in MODELS} | {
    old: name for name, model in MODELS.items() for old in model.older
}


@dataclass(frozen=True)
class Invalid:
    """One fault of an input, in the vendor's words."""

    kind: str
    place: str
    text: str


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def faults_of(fields: Mapping[str, Field], required: tuple[str, ...], given: Any, place: str) -> list[Invalid]:
    """What the vendor's validation says of an object: gojsonschema's words, all faults at once."""
    if not isinstance(given, dict):
        return [Invalid("invalid_type", place, "Invalid type. Expected: object")]
    found = [Invalid("required", place, f"{name} is required") for name in required if name not in given]
    for name, value in given.items():
        about, at = fields.get(name), f"{place}.{name}".removeprefix("(root).")
        if about is None:
            text = f"Additional property {name} is not allowed"
            found.append(Invalid("additional_property_not_allowed", place, text))
        elif not isinstance(value, _TYPES[about["type"]]) or isinstance(value, bool) != (about["type"] == "boolean"):
            found.append(Invalid("invalid_type", at, f"Invalid type. Expected: {about['type']}"))
        elif "enum" in about and value not in about["enum"]:
            choices = ", ".join(f'"{choice}"' for choice in about["enum"])
            found.append(Invalid("enum", at, f"{at} must be one of the following: {choices}"))
        elif about.get("minimum") is not None and value < about["minimum"]:
            found.append(Invalid("number_gte", at, f"Must be greater than or equal to {about['minimum']}"))
        elif about.get("maximum") is not None and value > about["maximum"]:
            found.append(Invalid("number_lte", at, f"Must be less than or equal to {about['maximum']}"))
        elif about.get("format") == "uri" and not str(value).startswith(("http://", "https://", "data:")):
            found.append(Invalid("format", at, "Does not match format 'uri'"))
    return found
