"""How our inputs become fields of Stability's forms, and the vendor's rules for them. Pure.

What is out of its range is refused here, before anything is sent. Masks need no turning: white is where to
change, for this vendor as for the desk.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from providers import shapes, sniff
from providers.limits import Limits

RATIOS = ("21:9", "16:9", "3:2", "5:4", "1:1", "4:5", "2:3", "9:16", "9:21")
PROMPT_CHARS, LARGEST_SEED = 10_000, 4_294_967_294

# Takes our inputs and returns the vendor's text, or None to leave the field out. Raises ValueError with the rule.
Spell = Callable[[Mapping[str, Any]], str | None]
File = tuple[str, tuple[str, bytes, str]]


@dataclass(frozen=True)
class Field:
    """One text field. words: our inputs that it takes."""

    name: str
    words: tuple[str, ...]
    spell: Spell


@dataclass(frozen=True)
class Picture:
    """One picture field and what may stand in it. nth: which of our `images`."""

    name: str
    limits: Limits
    nth: int = 0
    is_required: bool = True


# --- Fields --------------------------------------------------------------------------------------


def text(name: str, *words: str, is_required: bool = False) -> Field:
    """The first of our words that says something."""
    words = words or (name,)

    def spell(inputs: Mapping[str, Any]) -> str | None:
        found = next((str(inputs[word]) for word in words if inputs.get(word)), "").strip()
        if is_required and not found:
            raise ValueError(f"A {_said(words[0])} is needed.")
        if len(found) > PROMPT_CHARS:
            raise ValueError(f"The {_said(words[0])} may have {PROMPT_CHARS:,} characters at most.")
        return found or None

    return Field(name, words, spell)


def number(name: str, low: float, high: float, *, word: str = "", is_whole: bool = False) -> Field:
    word = word or name

    def spell(inputs: Mapping[str, Any]) -> str | None:
        given = inputs.get(word)
        if given is None or given == "":
            return None
        try:
            value = float(given)
        except (TypeError, ValueError):
            value = float("nan")
        if not low <= value <= high or is_whole and value != int(value):
            raise ValueError(f"The {_said(word)} must be a {'whole ' * is_whole}number from {low:,} to {high:,}.")
        return f"{int(value)}" if is_whole else f"{value:g}"

    return Field(name, (word,), spell)


def choice(name: str, among: tuple[str, ...]) -> Field:
    def spell(inputs: Mapping[str, Any]) -> str | None:
        given = inputs.get(name)
        if given is None or given == "":
            return None
        if str(given) not in among:
            raise ValueError(f"The {_said(name)} must be one of: {', '.join(among)}.")
        return str(given)

    return Field(name, (name,), spell)


def _said(word: str) -> str:
    return word.replace("_", " ")


def _seed(inputs: Mapping[str, Any]) -> str | None:
    """0 asks for any seed, here as at the vendor."""
    found = number("seed", 0, LARGEST_SEED, is_whole=True).spell(inputs)
    return None if found == "0" else found


def _ratio(inputs: Mapping[str, Any]) -> str | None:
    """The nearest that there is; that of the picture sent when none is asked for."""
    if inputs.get("width") and inputs.get("height"):
        return shapes.nearest_ratio(inputs, RATIOS)
    if wanted := str(inputs.get("aspect_ratio") or ""):
        return wanted if wanted in RATIOS else shapes.nearest_ratio(inputs, RATIOS)
    if images := inputs.get("images"):
        seen = look(images[0])
        return shapes.nearest_ratio({"width": seen.width, "height": seen.height}, RATIOS)
    return None


def _background(inputs: Mapping[str, Any]) -> str | None:
    """In words, or as a second picture."""
    is_required = len(inputs.get("images") or ()) < 2
    return text("background_prompt", *_BACKGROUND_WORDS, is_required=is_required).spell(inputs)


_BACKGROUND_WORDS = ("background_prompt", "prompt")
BACKGROUND = Field("background_prompt", _BACKGROUND_WORDS, _background)
SEED = Field("seed", ("seed",), _seed)
RATIO = Field("aspect_ratio", ("aspect_ratio", "width", "height"), _ratio)

# --- Fields of models ----------------------------------------------------------------------------

TARGET = choice("target_type", ("none", "vertex", "face"))
_TARGET_COUNT = number("target_count", 100, 20_000, is_whole=True)


def foreground(low: float, high: float) -> Field:
    """How much of the frame the object fills. One model wants object by frame, the other frame by object, so a
    value from the other's scale is turned around."""

    def spell(inputs: Mapping[str, Any]) -> str | None:
        found = number("foreground_ratio", 0.1, 2).spell(inputs)
        if found is None:
            return None
        value = float(found)
        value = value if low <= value <= high else 1 / value
        return f"{min(high, max(low, value)):.4g}"

    return Field("foreground_ratio", ("foreground_ratio",), spell)


def _vertices(inputs: Mapping[str, Any]) -> str | None:
    """The size of the mesh in vertices, of which a mesh has about half as many as faces."""
    count = _count(inputs)
    return str(int(count) // 2) if count and inputs["target_type"] == "face" else count


def _count(inputs: Mapping[str, Any]) -> str | None:
    """Nothing without the kind of thing that is counted."""
    count = _TARGET_COUNT.spell(inputs)
    return count if (TARGET.spell(inputs) or "none") != "none" else None


VERTICES = Field("vertex_count", ("target_type", "target_count"), _vertices)
COUNT = Field("target_count", ("target_count",), _count)

# --- Files ---------------------------------------------------------------------------------------


def look(data: bytes) -> sniff.Look:
    return sniff.look(io.BytesIO(data), len(data))


def mask_file(mask: bytes | None) -> File:
    """The mask as it is when nothing in it is transparent, which costs nothing; else flattened. Raises ValueError."""
    if not mask:
        raise ValueError("A mask is needed.")
    seen = look(mask)
    # Byte 25 is the kind of colour: grey or RGB, both without alpha.
    is_plain = seen.content_type == "image/png" and seen.is_whole and mask[25] in (0, 2)
    try:
        body = mask if is_plain else shapes.plain_mask(mask, (seen.width, seen.height))
    except ValueError as error:
        raise ValueError("The mask is not a usable picture.") from error
    return "mask", ("mask.png", body, "image/png")
