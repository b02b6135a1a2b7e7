"""Which endpoints Stability v2beta has, what each takes and costs, and what is wrong with a request to it.

Written from the vendor's own document and not from our adapter, so that each checks the other.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from providers.simulator.wire import Part

PRESETS = (
    "enhance", "anime", "photographic", "digital-art", "comic-book", "fantasy-art", "line-art", "analog-film",
    "neon-punk", "isometric", "low-poly", "origami", "modeling-compound", "cinematic", "3d-model", "pixel-art",
    "tile-texture",
)  # fmt: skip
# Pixels for a megapixel of each ratio.
SIZES = {
    "21:9": (1536, 640),
    "16:9": (1344, 768),
    "3:2": (1216, 832),
    "5:4": (1088, 896),
    "1:1": (1024, 1024),
    "4:5": (896, 1088),
    "2:3": (832, 1216),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
SD3_CREDITS = {"sd3.5-large": 6.5, "sd3.5-large-turbo": 4, "sd3.5-medium": 3.5}
FORMATS = ("JPEG", "PNG", "WEBP")
_MOST_OPENED = 64_000_000


@dataclass(frozen=True)
class Words:
    """Text of so many letters, or one of a list."""

    most: int = 10_000
    least: int = 0
    among: tuple[str, ...] = ()

    def fault(self, text: str) -> str:
        if self.among and text not in self.among:
            return f"must be one of {', '.join(self.among)}"
        if not self.least <= len(text) <= self.most:
            return f"must be between {self.least} and {self.most} characters"
        return ""


@dataclass(frozen=True)
class Number:
    low: float
    high: float
    is_whole: bool = False

    def fault(self, text: str) -> str:
        try:
            value = int(text) if self.is_whole else float(text)
        except ValueError:
            return "must be an integer" if self.is_whole else "must be a number"
        return "" if self.low <= value <= self.high else f"must be between {self.low:.10g} and {self.high:.10g}"


@dataclass(frozen=True)
class Picture:
    """shape: longest side to shortest, at most; 0 for any."""

    shortest: int = 64
    longest: int = 0
    least_px: int = 4_096
    most_px: int = 9_437_184
    shape: float = 0.0

    def fault(self, body: bytes) -> str:
        try:
            with Image.open(io.BytesIO(body), formats=FORMATS) as opened:
                width, height = opened.size
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
            return "must be a valid jpeg, png or webp image"
        if min(width, height) < self.shortest:
            return f"width and height must be at least {self.shortest} pixels"
        if self.longest and max(width, height) > self.longest:
            return f"width and height must be at most {self.longest} pixels"
        if not self.least_px <= width * height <= min(self.most_px, _MOST_OPENED):
            return f"total pixel count must be between {self.least_px} and {self.most_px}"
        if self.shape and max(width, height) > self.shape * min(width, height):
            return f"aspect ratio must be between 1:{self.shape:g} and {self.shape:g}:1"
        return ""


Rule = Words | Number | Picture


@dataclass(frozen=True)
class Endpoint:
    """rules: field -> rule. needs: those that must be there. draws: how the answer comes about."""

    draws: str
    credits: float
    rules: Mapping[str, Rule]
    needs: tuple[str, ...] = ()
    parks: bool = False

    def faults(self, texts: Mapping[str, str], files: Mapping[str, bytes]) -> list[str]:
        """One line for each field that is wrong, with its name in front."""
        found = [f"{name}: is required" for name in self.needs if not texts.get(name) and not files.get(name)]
        for name, value in {**texts, **files}.items():
            rule = self.rules.get(name)
            if rule is None:
                found.append(f"{name}: is not a known field")
            elif isinstance(rule, Picture) is not isinstance(value, bytes):
                found.append(f"{name}: {'must be a file' if isinstance(rule, Picture) else 'must be text'}")
            elif value and (fault := rule.fault(value)):  # type: ignore[arg-type]  # file or text, as just compared
                found.append(f"{name}: {fault}")
        return found + self._together(texts, files)

    def _together(self, texts: Mapping[str, str], files: Mapping[str, bytes]) -> list[str]:
        """What the fields say to each other."""
        found = []
        if self.draws == "ultra" and "image" in files and "strength" not in texts:
            found.append("strength: is required when image is provided")
        if self.draws == "sd3":
            from_image = texts.get("mode") == "image-to-image"
            if from_image and ("image" not in files or "strength" not in texts):
                found.append("image: image and strength are required for image-to-image")
            if from_image and "aspect_ratio" in texts:
                found.append("aspect_ratio: is only valid for text-to-image")
            if not from_image and ("image" in files or "strength" in texts):
                found.append("image: is only valid for image-to-image")
        if self.draws == "outpaint" and not {"left", "right", "up", "down"} & set(texts):
            found.append("left: at least one direction is required")
        if self.draws == "relight":
            if not texts.get("background_prompt") and "background_reference" not in files:
                found.append("background_prompt: background_prompt or background_reference is required")
            if "light_source_strength" in texts and not (
                "light_source_direction" in texts or "light_reference" in files
            ):
                found.append("light_source_strength: needs light_source_direction or light_reference")
        return found


def read(parts: list[Part]) -> tuple[dict[str, str], dict[str, bytes]]:
    """Texts and files by their names. A field called `none` is how clients without files ask for multipart."""
    texts = {part.name: part.body.decode("utf-8", "replace") for part in parts if part.filename is None}
    files = {part.name: part.body for part in parts if part.filename is not None}
    return {name: text for name, text in texts.items() if name != "none"}, {
        name: body for name, body in files.items() if name != "none"
    }


_TEXT, _SHARE = Words(), Number(0, 1)
_PROMPT = Words(least=1)
_A, _SHAPED, _B = Picture(), Picture(shape=2.5), Picture(most_px=4_194_304)
_FORMAT = {"output_format": Words(among=("png", "jpeg", "webp"))}
_COMMON: dict[str, Rule] = {"seed": Number(0, 4_294_967_294, is_whole=True), **_FORMAT}
_STYLED: dict[str, Rule] = {**_COMMON, "negative_prompt": _TEXT, "style_preset": Words(among=PRESETS)}
_DRAWN: dict[str, Rule] = {**_STYLED, "prompt": _PROMPT, "aspect_ratio": Words(among=tuple(SIZES))}
_STEERED: dict[str, Rule] = {**_STYLED, "prompt": _PROMPT, "image": _SHAPED}
_GROWN = Number(0, 20, is_whole=True)
_SIDE = Number(0, 2000, is_whole=True)
_MESH: dict[str, Rule] = {
    "image": _B,
    "texture_resolution": Words(among=("512", "1024", "2048")),
    "remesh": Words(among=("none", "triangle", "quad")),
}

ENDPOINTS: Mapping[str, Endpoint] = {
    "stable-image/generate/core": Endpoint("core", 3, _DRAWN, ("prompt",)),
    "stable-image/generate/ultra": Endpoint(
        "ultra", 8, {**_DRAWN, "image": Picture(longest=16_384, most_px=2**30), "strength": _SHARE}, ("prompt",)
    ),
    "stable-image/generate/sd3": Endpoint(
        "sd3",
        6.5,
        {
            **_DRAWN,
            "mode": Words(among=("text-to-image", "image-to-image")),
            "image": _A,
            "strength": _SHARE,
            "model": Words(among=tuple(SD3_CREDITS)),
            "cfg_scale": Number(1, 10),
        },
        ("prompt",),
    ),
    "stable-image/control/sketch": Endpoint(
        "steered", 5, {**_STEERED, "control_strength": _SHARE}, ("prompt", "image")
    ),
    "stable-image/control/structure": Endpoint(
        "steered", 5, {**_STEERED, "control_strength": _SHARE}, ("prompt", "image")
    ),
    "stable-image/control/style": Endpoint(
        "styled", 5, {**_DRAWN, "image": _SHAPED, "fidelity": _SHARE}, ("prompt", "image")
    ),
    "stable-image/control/style-transfer": Endpoint(
        "steered",
        8,
        {
            **_COMMON,
            "init_image": Picture(shape=2.5, longest=16_383),
            "style_image": _A,
            "prompt": _TEXT,
            "negative_prompt": _TEXT,
            "style_strength": _SHARE,
            "composition_fidelity": _SHARE,
            "change_strength": Number(0.1, 1),
        },
        ("init_image", "style_image"),
    ),
    "stable-image/edit/remove-background": Endpoint(
        "cut-out", 5, {"image": _B, "output_format": Words(among=("png", "webp"))}, ("image",)
    ),
    "stable-image/edit/search-and-recolor": Endpoint(
        "recolor", 5, {**_STEERED, "select_prompt": _TEXT, "grow_mask": _GROWN}, ("prompt", "select_prompt", "image")
    ),
    "stable-image/edit/search-and-replace": Endpoint(
        "steered", 5, {**_STEERED, "search_prompt": _TEXT, "grow_mask": _GROWN}, ("prompt", "search_prompt", "image")
    ),
    "stable-image/edit/inpaint": Endpoint(
        "inpaint",
        5,
        {
            **_STYLED,
            "prompt": _PROMPT,
            "image": _A,
            "mask": Picture(1, 0, 1),
            "grow_mask": Number(0, 100, is_whole=True),
        },
        ("prompt", "image"),
    ),
    "stable-image/edit/erase": Endpoint(
        "inpaint", 5, {**_COMMON, "image": _A, "mask": Picture(1, 0, 1), "grow_mask": _GROWN}, ("image",)
    ),
    "stable-image/edit/outpaint": Endpoint(
        "outpaint",
        4,
        {
            **_COMMON,
            "image": _SHAPED,
            "prompt": _TEXT,
            "style_preset": Words(among=PRESETS),
            "creativity": _SHARE,
            "left": _SIDE,
            "right": _SIDE,
            "up": _SIDE,
            "down": _SIDE,
        },
        ("image",),
    ),
    "stable-image/edit/replace-background-and-relight": Endpoint(
        "relight",
        8,
        {
            **_COMMON,
            "subject_image": _SHAPED,
            "background_prompt": _TEXT,
            "background_reference": _A,
            "foreground_prompt": _TEXT,
            "negative_prompt": _TEXT,
            "preserve_original_subject": _SHARE,
            "original_background_depth": _SHARE,
            "keep_original_background": Words(among=("true", "false")),
            "light_source_direction": Words(among=("left", "right", "above", "below")),
            "light_reference": _A,
            "light_source_strength": _SHARE,
        },
        ("subject_image",),
        parks=True,
    ),
    "stable-image/upscale/fast": Endpoint(
        "enlarge", 2, {**_FORMAT, "image": Picture(32, 1_536, 1_024, 1_048_576)}, ("image",)
    ),
    "stable-image/upscale/conservative": Endpoint(
        "enlarge",
        40,
        {**_COMMON, "prompt": _PROMPT, "image": _SHAPED, "negative_prompt": _TEXT, "creativity": Number(0.2, 0.5)},
        ("prompt", "image"),
    ),
    "stable-image/upscale/creative": Endpoint(
        "enlarge",
        60,
        {**_STYLED, "prompt": _PROMPT, "image": Picture(most_px=1_048_576), "creativity": Number(0.1, 0.5)},
        ("prompt", "image"),
        parks=True,
    ),
    "3d/stable-fast-3d": Endpoint(
        "model",
        10,
        {**_MESH, "foreground_ratio": Number(0.1, 1), "vertex_count": Number(-1, 20_000, is_whole=True)},
        ("image",),
    ),
    # Its document says 64 pixels a side; the endpoint itself was seen to refuse less than 640.
    "3d/stable-point-aware-3d": Endpoint(
        "model",
        4,
        {
            **_MESH,
            "image": Picture(shortest=640, most_px=4_194_304),
            "foreground_ratio": Number(1, 2),
            "target_type": Words(among=("none", "vertex", "face")),
            "target_count": Number(100, 20_000, is_whole=True),
            "guidance_scale": Number(1, 10),
            "seed": _COMMON["seed"],
        },
        ("image",),
    ),
}
