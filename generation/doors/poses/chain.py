"""The steps of one pose, in order. Pure but for the registry's and the settings' tables.

    generate                      from the pose's map, or from words alone
    cut-out, background, compose  with a new background: the part of the price that can fail alone
    seam                          a provider repaints the edge, where one can
    thumbnail, exports, publish   our own work

A change of background begins at the cut-out, from the original picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.conf import settings

from credits.errors import OperationUnavailable
from generation import exports, storage
from generation.doors.poses import prompts
from generation.plan import Candidate, RetryPolicy, StepPlan
from providers import registry

POSE_PRICE, BACKGROUND_PRICE = "pose_generation", "pose_background_change"
AI_GENERATE, SOLID_COLOR, UPLOAD = "ai_generate", "solid_color", "upload"
MODES = (AI_GENERATE, SOLID_COLOR, UPLOAD)
# The part of an item's price and of its steps that its background is.
PART = "background"

SIDE, STEPS, GUIDANCE, CONTROL = 1024, 28, 3.5, 0.75
# Waits before another start, bases of a full jitter: pose-generator contract, section 4.
WAITS_S = {"RATE_LIMITED": 10.0, "HTTP_503": 30.0, "HTTP_500": 4.0}
RETRY = RetryPolicy(max_starts=3, base_s=4.0, cap_s=40.0, by_code=WAITS_S)


@dataclass(frozen=True)
class Background:
    """color: of solid_color, "#RRGGBB". image_key: of upload, where the checked picture lies."""

    mode: str
    prompt: str = ""
    color: str = ""
    image_url: str = ""
    image_key: str = ""

    @property
    def told(self) -> str | None:
        """What a pose says of its background."""
        return self.prompt or self.color or None


@dataclass(frozen=True)
class Place:
    """Where a pose's files lie at last. stem: what their names begin with."""

    generation_id: UUID
    stem: str

    def picture(self, *what: str) -> str:
        return storage.pose_file(self.generation_id, "_".join([self.stem, *what]))

    def export(self, name: str) -> str:
        return storage.pose_export(self.generation_id, f"{self.stem}_{name}", exports.extension_of(name))


def generate(prompt: str, seed: int, control_key: str) -> StepPlan:
    """Make the picture: by a control picture where there is one, else by words alone. Raises OperationUnavailable."""
    inputs: dict[str, Any] = {
        "prompt": prompt,
        "negative_prompt": prompts.LEAVE_OUT,
        "width": SIDE,
        "height": SIDE,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "seed": seed,
        "output_format": "png",
    }
    if not control_key:
        return _asked("generate", "text-to-image", inputs, settings.POSE_TEXT_PROVIDER_ORDER, share=60)
    inputs |= {"images": [control_key], "control_strength": CONTROL}
    return _asked("generate", "pose-to-image", inputs, settings.POSE_PROVIDER_ORDER, share=60)


def before(background: Background, original: str, part: str = "") -> tuple[StepPlan, ...]:
    """Set the figure of a picture (`step:NAME`, or a storage key) before another background.

    part: what these steps are of their item's price. Raises OperationUnavailable.
    """
    cut, figure = _cut_out(original)
    steps, ground = [cut], {"color": background.color}
    if background.mode == AI_GENERATE:
        steps.append(_scene(background.prompt))
        ground = {"background": "step:background"}
    elif background.mode == UPLOAD:
        ground = {"background": background.image_key}
    steps.append(StepPlan(name="compose", operation="compose", inputs={**figure, **ground}, share=2))
    # On one colour there is nothing that the figure could blend with.
    if background.mode != SOLID_COLOR and (seam := _seam()):
        steps.append(seam)
    return tuple(replace(step, part=part) for step in steps)


def finish(
    behind: Sequence[StepPlan],
    place: Place,
    wanted: Sequence[str],
    figure: Sequence[float] | None,
    *,
    is_change: bool = False,
) -> tuple[StepPlan, ...]:
    """Thumbnail and exports of the last picture that was made, then everything to its final place.

    behind: the steps of a background. wanted: names of exports. figure: where it stands in the picture, in shares.
    """
    newest = [*(["seam", "compose"] if behind else []), *([] if is_change else ["generate"])]
    cover = {"of": newest, "cover": True}
    steps = [StepPlan(name="thumbnail", operation="thumbnail", inputs=cover, share=2, required=False)]
    if wanted:
        inputs = {"of": newest, "formats": list(wanted), "figure": list(figure) if figure else None}
        steps.append(StepPlan(name="exports", operation="exports", inputs=inputs, share=3, required=False))
    beside = [] if is_change else ["bg"]  # the original has the plain name
    keys: dict[str, Any] = {"thumbnail": place.picture("thumb")}
    if not is_change:
        keys["generate"] = place.picture()
    if behind:
        keys |= {"compose": place.picture(*beside), "seam": place.picture(*beside, "seam")}
    moves = {**keys, **({"exports": {name: place.export(name) for name in wanted}} if wanted else {})}
    publish = StepPlan(name="publish", operation="publish", inputs={"moves": moves, "as": dict.fromkeys(keys, "png")})
    return (*steps, publish)


def _cut_out(original: str) -> tuple[StepPlan, dict[str, Any]]:
    """The step that finds the figure, and how `compose` is told of it: cut out already, or by a mask."""
    inputs: dict[str, Any] = {"images": [original]}
    order = settings.POSE_CUT_OUT_PROVIDER_ORDER
    if registry.candidates("remove-background", order):
        return _asked("cut-out", "remove-background", inputs, order), {"figure": "step:cut-out"}
    inputs["select_prompt"] = prompts.FIGURE
    return _asked("cut-out", "segment", inputs, order), {"figure": original, "mask": "step:cut-out"}


def _scene(prompt: str) -> StepPlan:
    inputs = {
        "prompt": prompts.of_background(prompt),
        "negative_prompt": f"people, {prompts.LEAVE_OUT}",
        "width": SIDE,
        "height": SIDE,
    }
    return _asked("background", "text-to-image", inputs, settings.POSE_TEXT_PROVIDER_ORDER, share=15)


def _seam() -> StepPlan | None:
    """Repaint the band around the figure; without it the composed picture stays as it is."""
    inputs = {"prompt": prompts.SEAM, "images": ["step:compose"], "mask": "step:compose/seam"}
    if not settings.POSE_INPAINT_SEAM or not registry.candidates("image-inpaint", settings.POSE_SEAM_PROVIDER_ORDER):
        return None
    return replace(_asked("seam", "image-inpaint", inputs, settings.POSE_SEAM_PROVIDER_ORDER), required=False)


def _asked(name: str, operation: str, inputs: Mapping[str, Any], order: Sequence[str], *, share: int = 10) -> StepPlan:
    """A step that a provider does. Raises OperationUnavailable when none here can."""
    candidates = tuple(Candidate(alias, model) for alias, model in registry.candidates(operation, order))
    if not candidates:
        raise OperationUnavailable(POSE_PRICE if name == "generate" else BACKGROUND_PRICE)
    return StepPlan(
        name=name,
        operation=operation,
        inputs=inputs,
        candidates=candidates,
        timeout_s=settings.POSE_CALL_TIMEOUT_S,
        retry=RETRY,
        share=share,
    )
