"""The words of a pose: what a provider is asked for, and what is left unasked. Pure."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT = "a person"
QUALITY = "professional photograph, natural light, sharp focus, realistic anatomy, detailed hands, high resolution"
LEAVE_OUT = (
    "deformed body, extra limbs, missing limbs, extra fingers, fused fingers, distorted face, cropped head, "
    "blurry, low quality, text, watermark, logo"
)
SCENE = "empty scene without people, photographic background, soft natural light"
SEAM = "the person blends naturally into the scene, consistent light and soft edges"
# What to cut out, for providers that must be told.
FIGURE = "person"

# What of an avatar is said, in the order of the contract.
ATTRIBUTES = ("gender", "ageRange", "ethnicity", "style")


def of_pose(text: str, name: str, description: str, attributes: Mapping[str, str]) -> str:
    """The avatar in front, then the text, what the pose shows, and quality at the end. Empty parts are left out.

    name, description: of a pose of the library.
    """
    pose = f"{name.lower()}: {description.rstrip('.')}" if name and description else name.lower()
    person = _person(attributes)
    somebody = "" if attributes.get("gender") else DEFAULT
    return ", ".join(part for part in (person, text or somebody, pose, QUALITY) if part)


def of_background(text: str) -> str:
    return f"{text}, {SCENE}"


def _person(attributes: Mapping[str, str]) -> str:
    person = " ".join(word for name in ("ageRange", "ethnicity", "gender") if (word := attributes.get(name)))
    style = attributes.get("style")
    return ", ".join(part for part in (person, f"{style} style" if style else "") if part)
