"""Stability's endpoints: which operation and model key goes where, and what the form there holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.adapters.stability_fields import (
    BACKGROUND,
    COUNT,
    RATIO,
    SEED,
    TARGET,
    VERTICES,
    Field,
    File,
    Picture,
    choice,
    foreground,
    look,
    mask_file,
    number,
    text,
)
from providers.limits import Limits

STYLES = (
    "enhance", "anime", "photographic", "digital-art", "comic-book", "fantasy-art", "line-art", "analog-film",
    "neon-punk", "isometric", "low-poly", "origami", "modeling-compound", "cinematic", "3d-model", "pixel-art",
    "tile-texture",
)  # fmt: skip
FILES_BYTES = 10 * 1024 * 1024 - 64 * 1024  # a request may have 10 MiB, its texts and seams included
# What means "as you like" is no wish that could be ignored.
_AS_YOU_LIKE = {"seed": 0, "target_type": "none", "remesh": "none"}


@dataclass(frozen=True)
class Endpoint:
    """path: below the base URL; {model} is the vendor's id of the model key. ids: the setting that holds those ids.

    price: its key in the settings' CREDITS; empty for the model's id. fixed: fields that are always the same.
    """

    path: str
    fields: tuple[Field, ...]
    pictures: tuple[Picture, ...] = ()
    takes_mask: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
    ids: str = ""
    price: str = ""

    def form(self, inputs: Mapping[str, Any]) -> tuple[dict[str, str], tuple[File, ...]]:
        """The texts and files of a request. Raises ValueError that names every fault."""
        faults: list[str] = []
        texts = dict(self.fixed)
        for one in self.fields:
            try:
                if (value := one.spell(inputs)) is not None:
                    texts[one.name] = value
            except ValueError as fault:
                faults.append(str(fault))
        files = self._pictures(inputs, faults)
        if self.takes_mask:
            try:
                files.append(mask_file(inputs.get("mask")))
            except ValueError as fault:
                faults.append(str(fault))
        for picture in self.pictures[:1]:
            faults += filter(None, [picture.limits.weight_fault(len(data) for _, (_, data, _) in files)])
        if faults:
            raise ValueError(" ".join(dict.fromkeys(faults)))
        return texts, tuple(files)

    def _pictures(self, inputs: Mapping[str, Any], faults: list[str]) -> list[File]:
        images, files = list(inputs.get("images") or ()), []
        for picture in self.pictures:
            data = images[picture.nth] if picture.nth < len(images) else None
            if not data:
                faults += ["A picture is needed."] if picture.is_required else []
                continue
            seen = look(data)
            faults += filter(None, [picture.limits.fault(seen)])
            files.append((picture.name, (f"{picture.name}.{seen.content_type[6:]}", data, seen.content_type)))
        return files

    def ignored(self, inputs: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of inputs that were given and that this endpoint does not know."""
        known = {word for one in self.fields for word in one.words}
        known |= {"mask"} if self.takes_mask else set()
        known |= {"images"} if len(inputs.get("images") or ()) <= len(self.pictures) else set()
        return tuple(sorted(name for name, value in inputs.items() if name not in known and _is_given(name, value)))


def _is_given(name: str, value: Any) -> bool:
    return value not in (None, "", [], ()) and (name not in _AS_YOU_LIKE or value != _AS_YOU_LIKE[name])


# --- The table -----------------------------------------------------------------------------------

_NEGATIVE = text("negative_prompt")
_FORMAT = choice("output_format", ("png", "jpeg", "webp"))
_STRENGTH = number("control_strength", 0, 1)
_DRAWN = (text("prompt", is_required=True), _NEGATIVE, SEED, choice("style_preset", STYLES), _FORMAT)
_MESH = (choice("texture_resolution", ("512", "1024", "2048")), choice("remesh", ("none", "triangle", "quad")))


def _limits(fewest: int, most: int, *, shortest: int = 64, longest: int = 0, shape: float = 0.0) -> Limits:
    return Limits(shortest, longest, fewest, most, shape, body_bytes=FILES_BYTES)


_OF_ANY_SHAPE = _limits(4_096, 9_437_184)
_OF_SOME_SHAPE = _limits(4_096, 9_437_184, shape=2.5)
_ANY = Picture("image", _OF_ANY_SHAPE)
_SHAPED = Picture("image", _OF_SOME_SHAPE)
_SMALL = Picture("image", _limits(4_096, 4_194_304))
# Its document says what the other's does; the endpoint itself refuses less.
_SOLID = Picture("image", _limits(4_096, 4_194_304, shortest=640))
_TO_ENLARGE = Picture("image", _limits(1_024, 1_048_576, shortest=32, longest=1_536))
_SUBJECT = Picture("subject_image", _OF_SOME_SHAPE)
_BACKGROUND = Picture("background_reference", _OF_ANY_SHAPE, nth=1, is_required=False)

_GENERATE = Endpoint("stable-image/generate/{model}", (*_DRAWN, RATIO), ids="MODELS")
_STRUCTURE = Endpoint("stable-image/control/structure", (*_DRAWN, _STRENGTH), (_SHAPED,), price="structure")

# operation -> model key -> endpoint
ENDPOINTS: Mapping[str, Mapping[str, Endpoint]] = {
    "image-inpaint": {
        "main": Endpoint(
            "stable-image/edit/inpaint",
            (*_DRAWN, number("grow_mask", 0, 100, is_whole=True)),
            (_ANY,),
            takes_mask=True,
            price="inpaint",
        )
    },
    "image-to-image": {
        "main": Endpoint(
            "stable-image/control/style", (*_DRAWN, RATIO, number("fidelity", 0, 1)), (_SHAPED,), price="style"
        )
    },
    "image-to-model": {
        "main": Endpoint("3d/{model}", (*_MESH, foreground(0.1, 1), VERTICES), (_SMALL,), ids="MODELS_3D"),
        "point-aware": Endpoint(
            "3d/{model}",
            (*_MESH, foreground(1, 2), TARGET, COUNT, number("guidance_scale", 1, 10), SEED),
            (_SOLID,),
            ids="MODELS_3D",
        ),
    },
    # The vendor reads no poses: a drawn pose map is structure to it.
    "pose-to-image": {"main": _STRUCTURE},
    "remove-background": {
        "main": Endpoint(
            "stable-image/edit/remove-background",
            (choice("output_format", ("png", "webp")),),
            (_SMALL,),
            price="remove-background",
        )
    },
    "replace-background": {
        "main": Endpoint(
            "stable-image/edit/replace-background-and-relight",
            (BACKGROUND, _NEGATIVE, SEED, _FORMAT),
            (_SUBJECT, _BACKGROUND),
            price="replace-background-and-relight",
        )
    },
    "search-and-recolor": {
        "main": Endpoint(
            "stable-image/edit/search-and-recolor",
            (*_DRAWN, text("select_prompt", is_required=True), number("grow_mask", 0, 20, is_whole=True)),
            (_SHAPED,),
            price="search-and-recolor",
        )
    },
    "sketch-to-image": {
        "main": Endpoint("stable-image/control/sketch", (*_DRAWN, _STRENGTH), (_SHAPED,), price="sketch")
    },
    "structure-to-image": {"main": _STRUCTURE},
    "text-to-image": {
        "main": _GENERATE,
        "ultra": _GENERATE,
        "sd3": Endpoint(
            "stable-image/generate/sd3",
            (*_DRAWN, RATIO, number("cfg_scale", 1, 10, word="guidance")),
            fixed={"mode": "text-to-image"},
            ids="MODELS",
        ),
    },
    "upscale": {"main": Endpoint("stable-image/upscale/fast", (_FORMAT,), (_TO_ENLARGE,), price="fast")},
}
