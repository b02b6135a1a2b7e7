"""What each model behind Replicate takes: the desk's words, and the model's own fields. Pure.

Every model there has a schema of its own, and a field that it lacks is refused. The tables follow the
models' published sources (cog-flux, cog-sdxl) and pages; which of them serve is said in the settings.
Masks: white is where to change, for these models as for the desk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from providers import shapes

RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
SIZE_WORDS = ("width", "height", "aspect_ratio")
# Below this a quarter of a megapixel is nearer to what was asked for than a whole one.
SMALL_PIXELS = 512 * 1024
QUALITY = 90  # of JPEG and WebP, in percent

# Takes the desk's value and returns the model's, or None to say nothing.
Spell = Callable[[Any], Any]


@dataclass(frozen=True)
class Model:
    """words: our word -> the model's field and how it spells the value. with_picture: likewise, but only beside one.

    pictures: our `image` or `mask` -> its field. needs: fields without which it is not called. size: how it is told
    the size, when no picture gives it. result: of several files, the one with this name, else at this place.
    """

    words: Mapping[str, tuple[str, Spell]]
    with_picture: Mapping[str, tuple[str, Spell]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ("prompt",)
    size: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    result: tuple[str, int] = ("", 0)

    def fields(self, inputs: Mapping[str, Any], *, has_picture: bool) -> dict[str, Any]:
        """The model's input but its pictures."""
        said = dict(self.fixed)
        for word, (name, spell) in self._words(has_picture).items():
            if inputs.get(word) not in (None, "") and (value := spell(inputs[word])) is not None:
                said[name] = value
        if self.size and not has_picture:
            said |= self.size(inputs)
        if said.get("output_format") in ("jpg", "webp"):
            said["output_quality"] = QUALITY
        return said

    def ignored(self, inputs: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of inputs that were given and that this model does not know."""
        pictures = list(inputs.get("images") or ())
        has_picture = bool(pictures and "image" in self.pictures)
        known = {*self._words(has_picture), *(SIZE_WORDS if self.size and not has_picture else ())}
        known |= {"images"} if has_picture and len(pictures) == 1 else set()
        known |= {"mask"} & set(self.pictures)
        return shapes.unread(inputs, known)

    def _words(self, has_picture: bool) -> Mapping[str, tuple[str, Spell]]:
        return {**self.words, **self.with_picture} if has_picture else self.words


def _text(value: Any) -> str:
    return str(value)


def _whole(low: int, high: int) -> Spell:
    return lambda value: min(high, max(low, int(value)))


def _real(low: float, high: float) -> Spell:
    return lambda value: min(high, max(low, float(value)))


def _seed(value: Any) -> int | None:
    """These models take 0 for none and draw one."""
    return int(value) or None


def _ratio(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The nearest ratio, at a whole or a quarter of a megapixel."""
    width, height = inputs.get("width"), inputs.get("height")
    if not (width and height):
        wanted = str(inputs.get("aspect_ratio") or "1:1")
        return {"aspect_ratio": wanted if wanted in RATIOS else "1:1", "megapixels": "1"}
    small = int(width) * int(height) < SMALL_PIXELS
    return {"aspect_ratio": shapes.nearest_ratio(inputs, RATIOS), "megapixels": "0.25" if small else "1"}


def _pixels(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    width, height = shapes.wanted_size(inputs, step=8, most_pixels=2048 * 1024, longest=2048)
    return {"width": width, "height": height}


_FORMAT: tuple[str, Spell] = ("output_format", {"png": "png", "jpeg": "jpg", "jpg": "jpg", "webp": "webp"}.get)
_FLUX_WORDS: Mapping[str, tuple[str, Spell]] = {
    "prompt": ("prompt", _text),
    "seed": ("seed", _seed),
    "output_format": _FORMAT,
}
_FLUX = {"num_outputs": 1, "output_format": "png"}
_STRENGTH: Mapping[str, tuple[str, Spell]] = {"strength": ("prompt_strength", _real(0, 1))}
_SDXL_WORDS: Mapping[str, tuple[str, Spell]] = {
    "prompt": ("prompt", _text),
    "negative_prompt": ("negative_prompt", _text),
    "seed": ("seed", _seed),
    "steps": ("num_inference_steps", _whole(1, 500)),
    "guidance": ("guidance_scale", _real(1, 50)),
}


def _flux(steps: int, guidance: float) -> dict[str, tuple[str, Spell]]:
    """The words of the FLUX family; 0 for a member without that knob."""
    return {
        **_FLUX_WORDS,
        "steps": ("num_inference_steps", _whole(1, steps)),
        **({"guidance": ("guidance", _real(0, guidance))} if guidance else {}),
    }


# A FLUX that finds edges or depths by itself in a plain picture, and keeps the picture's size.
_CONTROL = Model(
    words=_flux(50, 100),
    fixed={**_FLUX, "megapixels": "match_input"},
    pictures={"image": "control_image"},
    needs=("prompt", "control_image"),
)

MODELS: Mapping[str, Model] = {
    "andreasjansson/stable-diffusion-inpainting": Model(
        words={**_SDXL_WORDS, "guidance": ("guidance_scale", _real(1, 20))},
        fixed={"num_outputs": 1},
        pictures={"image": "image", "mask": "mask"},
        needs=("prompt", "image", "mask"),
    ),
    "black-forest-labs/flux-canny-dev": _CONTROL,
    "black-forest-labs/flux-depth-dev": _CONTROL,
    "black-forest-labs/flux-dev": Model(
        words=_flux(50, 10),
        with_picture=_STRENGTH,
        fixed=_FLUX,
        pictures={"image": "image"},
        size=_ratio,
    ),
    "black-forest-labs/flux-fill-dev": Model(
        words=_flux(50, 100),
        fixed={**_FLUX, "megapixels": "match_input"},
        pictures={"image": "image", "mask": "mask"},
        needs=("prompt", "image"),
    ),
    # Its steps and guidance are left to its own defaults: its published ranges contradict each other.
    "black-forest-labs/flux-fill-pro": Model(
        words={
            **_FLUX_WORDS,
            "prompt_upsampling": ("prompt_upsampling", bool),
            "safety_tolerance": ("safety_tolerance", _whole(1, 6)),
        },
        fixed={"output_format": "png"},
        pictures={"image": "image", "mask": "mask"},
        needs=("prompt", "image"),
    ),
    "black-forest-labs/flux-schnell": Model(words=_flux(4, 0), fixed=_FLUX, size=_ratio),
    # Text says what to cut out; without a negative prompt of ours it would take its own off.
    "schananas/grounded_sam": Model(
        words={
            "prompt": ("mask_prompt", _text),
            "select_prompt": ("mask_prompt", _text),
            "grow_mask": ("adjustment_factor", int),
        },
        fixed={"negative_mask_prompt": "", "adjustment_factor": 0},
        pictures={"image": "image"},
        needs=("mask_prompt", "image"),
        result=("mask", 2),
    ),
    # Finds everything by itself; takes no words.
    "meta/sam-2": Model(words={}, pictures={"image": "image"}, needs=("image",), result=("combined_mask", 0)),
    "stability-ai/sdxl": Model(
        words=_SDXL_WORDS,
        with_picture=_STRENGTH,
        fixed={"num_outputs": 1, "scheduler": "K_EULER", "num_inference_steps": 20, "guidance_scale": 7.5},
        pictures={"image": "image", "mask": "mask"},
        size=_pixels,
    ),
    "xlabs-ai/flux-dev-controlnet": Model(
        words={
            **_SDXL_WORDS,
            "steps": ("steps", _whole(1, 50)),
            "guidance": ("guidance_scale", _real(0, 5)),
            "control_strength": ("control_strength", _real(0, 1)),
            "output_format": _FORMAT,
        },
        fixed={"control_type": "depth", "output_format": "png", "return_preprocessed_image": False},
        pictures={"image": "control_image"},
        needs=("prompt", "control_image"),
    ),
}
