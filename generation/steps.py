"""What a step can be: one table by name. A step with `work` is our own work; without, a provider makes it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

from django.conf import settings

from generation import composing, exports, images, meshes, posemap, rendering, shrinking, storage
from generation.models import AssetKind, Item
from generation.plan import StepPlan

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


def key_of(item: Item, name: str) -> str:
    """Find the file that an input names: a storage key, `step:NAME`, or `step:NAME/FILE` of several.

    Raises LookupError when the step left no such file.
    """
    if not name.startswith("step:"):
        return name
    step, _, file = name.removeprefix("step:").partition("/")
    left = item.results[step]
    return str((left["files"][file] if file else left)["key"])


def newest(item: Item) -> dict[str, Any]:
    """What the first of the steps left that `of` names and that left a file; `generate` when it names none."""
    wanted = item.step_plan.inputs.get("of") or ["generate", "downscale"]
    left = next(made for step in wanted if "key" in (made := item.results.get(step) or {}))
    return dict(left)


def make_thumbnail(item: Item) -> Sequence[Piece]:
    """Make the small picture of an item's newest result: of a model as its vendor rendered it, else drawn by us.

    inputs: `of`, the steps whose result may be meant, the best first; `cover` fills a square and makes a PNG.
    """
    made = newest(item)
    if made["content_type"] == meshes.CONTENT_TYPE:
        if "preview" not in made:
            return [Piece(AssetKind.THUMBNAIL, _drawn(made["key"]))]
        made = made["preview"]
    with storage.open_file(made["key"]) as body:
        small = images.thumbnail(body, settings.THUMBNAIL_PIXELS, covers=_covers(item.step_plan))  # type: ignore[arg-type]
        return [Piece(AssetKind.THUMBNAIL, small)]


def small_after(item: Item) -> images.Small | None:
    """The small picture that the next step makes of what the current one leaves, if that is what follows."""
    following = item.step_after(item.results)
    if following == len(item.steps) or item.steps[following]["name"] != "thumbnail":
        return None
    return images.Small(settings.THUMBNAIL_PIXELS, _covers(item.plan_of(following)))


def is_looked_at(item: Item) -> bool:
    """Is what the current step leaves shown to a provider that says what it sees?"""
    shown = f"step:{item.step_name}"
    return any(
        step["candidates"] and STEPS[step["name"]].kind is None and shown in (step["inputs"].get("images") or ())
        for step in item.steps[item.step + 1 :]
    )


def _covers(plan: StepPlan) -> bool:
    return bool(plan.inputs.get("cover"))


def _drawn(key: str) -> images.Picture:
    """Draw a stored model; the store may hand it out as a stream, so it is laid down first."""
    with storage.open_file(key) as stored, tempfile.TemporaryFile() as body:
        shutil.copyfileobj(stored, body)
        return rendering.draw(cast(BinaryIO, body), body.tell(), settings.THUMBNAIL_PIXELS)


def compose(item: Item) -> Sequence[Piece]:
    """Set a cut-out figure before another background; leave the picture, and the seam where they meet.

    inputs: `figure` and `background` name files; `color` is a background of one colour instead. A figure that is not
    cut out is so by the `mask` that names it, white where it stands.
    """
    inputs = item.step_plan.inputs
    names = {word: inputs[word] for word in ("figure", "mask", "background") if inputs.get(word)}
    with images.opened(*(storage.open_file(key_of(item, name)) for name in names.values())) as opened:
        found = dict(zip(names, opened, strict=True))
        figure = composing.cut_by(found["figure"], found["mask"]) if "mask" in found else found["figure"]
        if not composing.is_cut_out(figure):
            raise images.BadPicture("a cut-out without a figure before nothing")
        ground = found.get("background") or composing.plain(inputs["color"], figure.size)
        composed, seam = composing.compose(figure, ground), composing.seam(figure)
    return [
        Piece(AssetKind.IMAGE, images.packed(composed, "PNG", compress_level=3)),
        Piece(AssetKind.MASK, images.packed(seam, "PNG"), "seam"),
    ]


def export(item: Item) -> Sequence[Piece]:
    """Make the exports that were asked for. inputs: `of` as for a thumbnail, `formats`, `figure` as shares or None."""
    inputs = item.step_plan.inputs
    with images.opened(storage.open_file(newest(item)["key"])) as (image,):
        made = exports.make(image, inputs["formats"], figure_of(item, inputs.get("figure")))
    return [Piece(AssetKind.EXPORT, picture, name) for name, picture in made.items()]


def figure_of(item: Item, drawn: Sequence[float] | None) -> posemap.Box | None:
    """Where the figure stands in an item's picture: as its pose was `drawn`, else as it was cut out, if it was."""
    if drawn:
        return posemap.Box(*drawn)
    seam = ((item.results.get("compose") or {}).get("files") or {}).get("seam")
    if not seam:
        return None
    try:
        with images.opened(storage.open_file(seam["key"])) as (image,):
            return composing.frame(image)
    except storage.KeyMissing:
        return None


def downscale(item: Item) -> Sequence[Piece]:
    """Make the first of `images` fit into `max_size_mb`; one that does already is only taken over.

    inputs: `aspect_ratio_mode` is `original` or `square`, `output_format` is `original`, `jpeg`, `png` or `webp`.
    """
    inputs = item.step_plan.inputs
    key = key_of(item, inputs["images"][0])
    most_bytes = int(float(inputs["max_size_mb"]) * shrinking.MEGABYTE)
    square, wanted = inputs.get("aspect_ratio_mode") == "square", inputs.get("output_format", "original")
    with storage.open_file(key) as body:
        whole = images.check(body)  # type: ignore[arg-type]
    own = next(kind for kind, extension in images.EXTENSIONS.items() if extension == whole.extension)
    kind = own if wanted == "original" else wanted.upper()
    if kind == own and not square and whole.size_bytes <= most_bytes:
        return [Piece(AssetKind.IMAGE, whole)]
    with images.opened(whole.body) as (image,):
        return [Piece(AssetKind.IMAGE, shrinking.fit(image, kind, most_bytes, square=square))]


STEPS: dict[str, Step] = {
    "background": Step(AssetKind.STAGE),
    "compose": Step(AssetKind.IMAGE, compose),
    "cut-out": Step(AssetKind.STAGE),
    "downscale": Step(AssetKind.IMAGE, downscale),
    "exports": Step(AssetKind.EXPORT, export),
    "generate": Step(AssetKind.IMAGE),
    PUBLISH: Step(None),  # moves another step's files to their final keys: `engine.publishing`
    "seam": Step(AssetKind.IMAGE),
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
