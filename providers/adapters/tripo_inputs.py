"""What Tripo takes: its fields from a call's words, which of those it does not know, and which files it wants.

Pure: no network and no settings but those handed in. Protocol: the vendor's client `tripo3d` 1.0.0.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from providers import errors, sniff
from providers.base import Call
from providers.limits import Limits

VIEWS = ("front", "left", "back", "right")
PICTURES = Limits(shortest=20, longest=6000, file_bytes=20_000_000)
LONGEST_PROMPT, LONGEST_NEGATIVE_PROMPT = 1024, 255

_SHAPE = ("face_limit", "auto_size", "texture", "pbr", "texture_quality")
# Operation -> the words that go out under their own name. The rest of what it takes stands in `fields`.
_PASSED_ON: Mapping[str, tuple[str, ...]] = {
    "image-to-model": (*_SHAPE, "orientation"),
    "multiview-to-model": (*_SHAPE, "orientation"),
    "refine-model": ("texture", "pbr", "texture_quality"),
    "text-to-model": _SHAPE,
}
_SEEDS = {"refine-model": "texture_seed"}
# What a customer may choose for any 3D operation of any provider.
_WORDS = (
    "auto_size", "face_limit", "foreground_ratio", "guidance_scale", "model_version", "negative_prompt", "orientation",
    "pbr", "prompt", "remesh", "seed", "style", "target_count", "target_type", "texture", "texture_quality",
    "texture_resolution",
)  # fmt: skip

GLB = "model/gltf-binary"


def fields(call: Call, model: str, *, sends_style: bool) -> dict[str, Any]:
    """The fields of an operation but for its input files. Raises Refused for words that are too long."""
    found: dict[str, Any] = {"model": model}
    if call.operation == "text-to-model":
        found |= {"prompt": _text(call, "prompt", LONGEST_PROMPT)}
        if negative := _text(call, "negative_prompt", LONGEST_NEGATIVE_PROMPT, needed=False):
            found |= {"negative_prompt": negative}
    if call.operation == "refine-model":
        if prompt := _text(call, "prompt", LONGEST_PROMPT, needed=False):
            found |= {"texture_prompt": {"text": prompt}}
    elif sends_style and call.inputs.get("style"):
        found |= {"style": call.inputs["style"]}
    if seed := call.inputs.get("seed"):
        found |= {_SEEDS.get(call.operation, "model_seed"): seed}
    passed_on = {name: call.inputs.get(name) for name in _PASSED_ON[call.operation]}
    return {**found, **{name: value for name, value in passed_on.items() if value is not None}}


def ignored(call: Call, model: str, *, sends_style: bool) -> list[str]:
    """The words that were given and that this operation does not take; a version that was not taken is one."""
    takes = {*_PASSED_ON[call.operation], "seed"}
    if call.inputs.get("model_version") == model:
        takes.add("model_version")
    if call.operation in ("text-to-model", "refine-model"):
        takes.add("prompt")
    if call.operation == "text-to-model":
        takes.add("negative_prompt")
    if sends_style and call.operation != "refine-model":
        takes.add("style")
    return [name for name in _WORDS if name not in takes and call.inputs.get(name)]


def _text(call: Call, name: str, longest: int, *, needed: bool = True) -> str:
    text = str(call.inputs.get(name) or "").strip()
    words = name.replace("_", " ")
    if needed and not text:
        raise errors.Refused(f"A {words} is needed.")
    if len(text) > longest:
        raise errors.Refused(f"The {words} may have {longest} characters at most, this one has {len(text)}.")
    return text


def views(call: Call) -> list[bytes | None]:
    """The four views in the vendor's order, None for a missing one. Raises Refused without the front and one more."""
    given = list(call.inputs.get("images") or ())
    if len(given) > len(VIEWS):
        raise errors.Refused(f"{len(VIEWS)} views are taken at most: {', '.join(VIEWS)}.")
    if not given or not given[0]:
        raise errors.Refused("The front view is needed.")
    if sum(map(bool, given)) < 2:
        raise errors.Refused("At least two views are needed.")
    return [*(view or None for view in given), *[None] * (len(VIEWS) - len(given))]


def picture_part(body: bytes, name: str) -> tuple[str, bytes, str]:
    """A picture as a part of a multipart body. Raises Refused for what is none."""
    kind = sniff.look(io.BytesIO(body), len(body)).content_type
    if kind not in sniff.PICTURES:
        raise errors.Refused(f"The {name} view is not a PNG, JPEG or WebP picture.")
    return f"{name}.{kind.removeprefix('image/')}", body, kind


def model_part(body: bytes) -> tuple[str, bytes, str]:
    """A model as a part of a multipart body: by its bytes a GLB, else taken for an OBJ when it is text."""
    if sniff.look(io.BytesIO(body), len(body)).content_type == GLB:
        return "model.glb", body, GLB
    if body and b"\0" not in body[:4096]:
        return "model.obj", body, "model/obj"
    raise errors.Refused("The model is neither a GLB nor an OBJ file.")
