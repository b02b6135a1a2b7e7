"""What one can make here, in words for people: the shelf of the page "Make", and the names of what a form asks for.

The operations themselves, their parameters, ranges and defaults are the catalogue's; here are only their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from generation.doors.makeit3d.catalogue import BY_NAME
from generation.doors.makeit3d.parameters import Param
from generation.doors.visuals.plan import INGREDIENTS
from generation.models import Item


@dataclass(frozen=True)
class Ware:
    """One thing to make. place: the name of its page's address, `operation` what that address needs; icon: a symbol."""

    title: str
    line: str
    icon: str
    place: str = "app-make-operation"
    operation: str = ""
    send: str = "Make it"


@dataclass(frozen=True)
class Group:
    title: str
    wares: tuple[Ware, ...]


def _made(operation: str, title: str, line: str, icon: str, send: str = "Make it") -> Ware:
    return Ware(title, line, icon, operation=operation, send=send)


VISUAL = Ware(
    "For books and pages",
    "Colouring pages, covers, illustrations, character sheets, backgrounds",
    "page",
    "app-make-visual",
)
VISUALS = Ware("Many at once", "A picture for each line that you write", "pages", "app-make-visuals")
STORY = Ware("Story", "A text in segments, all drawn in one style", "story", "app-story-new")
POSES = Ware("Poses", "Figures from the library or in words, in many variations", "figure", "app-poses-new")
FREE = _made("text-to-image", "Any picture", "Any subject; you choose who makes it and how", "picture")
MODEL = _made("text-to-model", "Model from words", "A textured 3D model, as a GLB file", "cube")

GROUPS: tuple[Group, ...] = (
    Group(
        "Pictures from words",
        (
            VISUAL,
            VISUALS,
            FREE,
            _made("sketch-to-image", "From a sketch", "Lines of yours, painted as you describe", "pencil"),
            STORY,
            POSES,
        ),
    ),
    Group(
        "From a picture that you have",
        (
            _made("image-to-image", "Change a picture", "A new version of it, as you describe", "swap"),
            _made("image-inpaint", "Repaint a part", "Paint over what is to be different", "brush"),
            _made("search-and-recolor", "Recolour something", "Name a thing in it, and its new colour", "drop"),
            _made("remove-background", "Remove the background", "Only what stands in front stays", "scissors"),
            _made("upscale", "Enlarge", "More pixels, sharper edges", "grow", "Enlarge it"),
            _made("downscale", "Make the file smaller", "Down to the megabytes that you set", "shrink"),
        ),
    ),
    Group(
        "3D models",
        (
            MODEL,
            _made("image-to-model", "Model from pictures", "One picture, or four views of a thing", "camera"),
            _made("refine-model", "Refine a model", "More detail in its shape and textures", "spark", "Refine it"),
        ),
    ),
)
# The first steps from home: one for each door, and the way to the rest.
DOORS = (
    replace(VISUAL, line="Covers, illustrations, pages to colour in"),
    FREE,
    MODEL,
    STORY,
    replace(POSES, line="Figures in many variations"),
    Ware("Everything else", "Change, enlarge, recolour, refine …", "more", "app-make"),
)
BY_OPERATION = {ware.operation: ware for group in GROUPS for ware in group.wares if ware.operation}
assert set(BY_OPERATION) == set(BY_NAME)

# The kinds of picture that the visual-generation door knows, as people call them, and what each is for.
TYPES = {
    "coloring-page": ("Colouring page", "Clear outlines to colour in"),
    "cover": ("Cover", "With room for a title"),
    "illustration": ("Illustration", "Detailed and polished"),
    "character-reference": ("Character sheet", "One figure from several sides"),
    "background": ("Background", "A scene to lay things over"),
}
assert set(TYPES) == set(INGREDIENTS)

# What may be made of a result next, in this order.
NEXT_OF_PICTURE = (
    *("image-to-image", "image-inpaint", "search-and-recolor", "remove-background", "upscale"),
    *("image-to-model", "downscale"),
)
NEXT_OF_MODEL = ("refine-model",)

# Parameter -> its name, and a hint where the catalogue has none for people.
_WORDS: dict[str, tuple[str, str]] = {
    "aspect_ratio": ("Format", ""),
    "aspect_ratio_mode": ("Shape", "Square: padded with white"),
    "auto_size": ("Life size", "Scaled to what it would measure in metres"),
    "background": ("Background", ""),
    "control_strength": ("Faithful to the sketch", ""),
    "face_limit": ("Most faces", "Empty: as many as it needs"),
    "fidelity": ("Faithful to the picture", ""),
    "foreground_ratio": ("Room around it", ""),
    "grow_mask": ("Grow what was found", "In pixels"),
    "guidance_scale": ("Faithful to the picture", ""),
    "max_size_mb": ("At most, in megabytes", "0.1 to 20"),
    "model": ("Quality", ""),
    "n": ("How many", ""),
    "negative_prompt": ("What to leave out", ""),
    "orientation": ("Orientation", ""),
    "output_format": ("File", ""),
    "pbr": ("Physical materials", "Metal and roughness beside the colour"),
    "prompt_upsampling": ("Let my words be elaborated", ""),
    "quality": ("Quality", ""),
    "remesh": ("New mesh", ""),
    "safety_tolerance": ("Tolerance of the filter", "0 is strictest"),
    "seed": ("Seed", "The same seed, the same picture. Empty: a random one"),
    "select_prompt": ("What to find", "Such as: the red chair"),
    "size": ("Size", "Width x height in pixels"),
    "strength": ("How far it may go", "0 stays close to the picture"),
    "style": ("Style", "The name of one that the provider knows"),
    "style_id": ("A style of your own", "Its id, in place of the style"),
    "style_preset": ("Style", ""),
    "substyle": ("Variety of the style", ""),
    "target_count": ("How many", "Vertices or faces"),
    "target_type": ("Reduce to so many", ""),
    "texture": ("With textures", ""),
    "texture_quality": ("Textures", ""),
    "texture_resolution": ("Size of textures", "In pixels"),
}
# What is asked for at once; the rest stands under "More settings".
FIRST = frozenset(
    ["model", "aspect_ratio", "size", "width", "height", "style_preset", "quality", "n"]
    + ["select_prompt", "max_size_mb", "aspect_ratio_mode", "control_strength", "fidelity", "strength", "texture"]
)
_SPOKEN = {
    "3d-model": "3D model",
    "align_image": "like the picture",
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WebP",
    "hd": "HD",
}
# What people call the sides of a thing, in the order in which a list of views has them.
VIEWS = ("Front", "Left", "Back", "Right")


def name_of(param: Param) -> str:
    return name_of_word(param.name)


def name_of_word(name: str) -> str:
    return _WORDS.get(name, (spoken(name), ""))[0]


def spoken_value(value: object) -> str:
    """A stored value as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else spoken(value)


def hint_of(param: Param) -> str:
    return _WORDS.get(param.name, ("", ""))[1] if param.name in _WORDS else param.help


def spoken(word: object) -> str:
    """A value or a name as people say it."""
    if found := re.fullmatch(r"(\d+):(\d+)", str(word)):
        wide, high = map(int, found.groups())
        return f"{word} {'square' if wide == high else 'landscape' if wide > high else 'portrait'}"
    text = _SPOKEN.get(str(word), str(word).replace("_", " "))
    if "x" in text and text.replace("x", "").isdigit():
        return text.replace("x", " × ")
    text = text if text[:2].isdigit() or ":" in text else text.replace("-", " ")
    return text[:1].upper() + text[1:]


def kind_of(item: Item) -> str:
    """What was asked for, in people's words; empty for a picture of a story or a pose."""
    if ware := BY_OPERATION.get(item.params.get("operation", "")):
        return ware.title
    named = item.params.get("type", "")
    return TYPES[named][0] if named in TYPES else ""


def named(key: str) -> str:
    """What people call an operation, a kind of picture or the key of a price."""
    if ware := BY_OPERATION.get(key):
        return ware.title
    kind = key.removeprefix("visual_").replace("_", "-")
    return TYPES[kind][0] if kind in TYPES else spoken(key)


def words_of(item: Item) -> str:
    """What its owner said that it should show; empty when they said nothing, whatever was written for them."""
    operation = BY_NAME.get(item.params.get("operation", ""))
    return "" if operation and item.prompt == operation.written else item.prompt


def provider_name(alias: str) -> str:
    """`provider_a` as a page has it: Provider A."""
    word, _, letter = alias.partition("_")
    return f"{word.capitalize()} {letter.upper()}".strip()
