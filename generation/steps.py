"""What a step can be: one table by name. A step with `work` is our own work; without, a provider makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from django.conf import settings

from generation import images, meshes, storage
from generation.models import AssetKind, Item

PUBLISH = "publish"


class File(Protocol):
    """A checked file of any kind: `images.Picture`, `meshes.Model`."""

    @property
    def body(self) -> BinaryIO: ...
    @property
    def content_type(self) -> str: ...
    @property
    def extension(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def width(self) -> int | None: ...
    @property
    def height(self) -> int | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Piece:
    """One file that a step leaves behind. name: which of several it is, empty for the only one."""

    kind: AssetKind
    file: File
    name: str = ""


@dataclass(frozen=True)
class Step:
    """kind: what its result is stored as; None when it leaves a verdict and no file.

    work: makes the pieces from what earlier steps left behind. Raises BadPicture, BadModel or StorageError.
    """

    kind: AssetKind | None
    work: Callable[[Item], Sequence[Piece]] | None = None


def make_thumbnail(item: Item) -> Sequence[Piece]:
    """Make the small picture of an item's newest result: of a model as its vendor rendered it."""
    made = item.results["generate"]
    if made["content_type"] == meshes.CONTENT_TYPE:
        made = made["preview"]
    with storage.open_file(made["key"]) as body:
        return [Piece(AssetKind.THUMBNAIL, images.thumbnail(body, settings.THUMBNAIL_PIXELS))]  # type: ignore[arg-type]


STEPS: dict[str, Step] = {
    "generate": Step(AssetKind.IMAGE),
    PUBLISH: Step(None),  # moves another step's files to their final keys: `engine.publishing`
    "thumbnail": Step(AssetKind.THUMBNAIL, make_thumbnail),
    "verify": Step(None),
}


def kind_of(step: str, operation: str) -> AssetKind | None:
    """What a provider's result in this step is stored as: operations that make models are called so."""
    return AssetKind.MODEL if operation.endswith("-model") else STEPS[step].kind


def shows_no_text(verdict: Mapping[str, Any]) -> bool:
    """Clean only when the checker says false to both; a missing or odd answer counts as text."""
    return verdict.get("has_text") is False and verdict.get("has_annotations") is False


# name -> is what the step left behind good enough to go on?
CHECKS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "no-text": shows_no_text,
}
