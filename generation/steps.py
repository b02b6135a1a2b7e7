"""What a step can be: one table by name. A step with `work` is our own image work; without, a provider makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from generation import images, storage
from generation.models import AssetKind, Item


@dataclass(frozen=True)
class Step:
    """kind: what its result is stored as; None when it leaves a verdict and no file.

    work: makes the result from what earlier steps left behind.
    """

    kind: AssetKind | None
    work: Callable[[Item], images.Picture] | None = None


def make_thumbnail(item: Item) -> images.Picture:
    """Make the small picture of an item's newest image. Raises BadPicture or StorageError."""
    with storage.open_file(item.results["generate"]["key"]) as body:
        return images.thumbnail(body, settings.THUMBNAIL_PIXELS)  # type: ignore[arg-type]


STEPS: dict[str, Step] = {
    "generate": Step(AssetKind.IMAGE),
    "thumbnail": Step(AssetKind.THUMBNAIL, make_thumbnail),
    "verify": Step(None),
}


def shows_no_text(verdict: Mapping[str, Any]) -> bool:
    """Clean only when the checker says false to both; a missing or odd answer counts as text."""
    return verdict.get("has_text") is False and verdict.get("has_annotations") is False


# name -> is what the step left behind good enough to go on?
CHECKS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "no-text": shows_no_text,
}
