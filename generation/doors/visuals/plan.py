"""What the visual-generation door wants made: from checked wishes to a Plan, and the words of the prompt.

Types, ratios and ingredients follow the visual-generation contract, sections 2, 3 and 7. Nothing is stored
or charged here, and no query is made: prices come as quotes, the rest from settings and the registry.
"""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from django.conf import settings

from credits.errors import OperationUnavailable
from credits.pricing import Quote
from generation.plan import CancelRefund, Candidate, ItemPlan, Plan, RetryPolicy, StepPlan
from providers import registry

DOOR = "visuals"
OPERATION = "text-to-image"
DEFAULT_ATTEMPTS, MOST_ATTEMPTS = 3, 10
NO_PREFERENCE = "none"

# type -> what is added to the caller's own text
INGREDIENTS: dict[str, str] = {
    "coloring-page": (
        "coloring book style, black and white line art, clear outlines, no shading, white background, "
        "meant to be coloured in"
    ),
    "cover": "book cover design, professional, eye-catching, space left for the title",
    "illustration": "detailed illustration, professional quality",
    "character-reference": "character reference sheet, several angles, clean design",
    "background": "background scene, detailed surroundings, fit to lay things over",
}
# For models that know what to leave out; the others go by the ingredients.
LEAVE_OUT: dict[str, str] = {"coloring-page": "color, shading, gradients, photorealistic"}

RATIOS: dict[str, str] = {
    "square": "1:1",
    "portrait": "3:4",
    "landscape": "4:3",
    "wide": "16:9",
    **{ratio: ratio for ratio in ("1:1", "3:4", "4:3", "9:16", "16:9")},
}
RATIO_PHRASES: dict[str, str] = {
    "1:1": "square format",
    "3:4": "portrait format",
    "4:3": "landscape format",
    "9:16": "tall portrait format",
    "16:9": "wide landscape format",
}

ID_LETTERS = string.digits + string.ascii_lowercase
ID_TAIL, MOST_ID_LETTERS = 9, 64


@dataclass(frozen=True)
class Wish:
    """One picture as a client asked for it, checked. metadata: as sent, but a provider is an alias or `none`."""

    type: str
    prompt: str
    priority: str = "normal"
    project_id: str | None = None
    page_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, checked: Mapping[str, Any], default_priority: str | None = None) -> Wish:
        """Take what `serializers.Submit` let through; null counts as absent."""
        return cls(
            type=checked["type"],
            prompt=checked["prompt"],
            priority=checked.get("priority") or default_priority or "normal",
            project_id=checked.get("projectId"),
            page_id=checked.get("pageId"),
            metadata=checked.get("metadata") or {},
        )

    @property
    def price_key(self) -> str:
        return f"visual_{self.type.replace('-', '_')}"

    @property
    def ratio(self) -> str | None:
        """Its aspect ratio as `3:4`; None when it names none."""
        return RATIOS.get(self.metadata.get("aspectRatio") or "")

    @property
    def attempts(self) -> int:
        return self.metadata.get("maxAttempts") or DEFAULT_ATTEMPTS

    @property
    def preferred(self) -> str | None:
        """The alias of the provider it would rather have; None for no preference."""
        named: str = self.metadata.get("provider") or NO_PREFERENCE
        return None if named == NO_PREFERENCE else named


def plan_one(wish: Wish, owner_id: UUID, quotes: Mapping[str, Quote]) -> Plan:
    """Plan a single submit. Raises OperationUnavailable when no provider is there for it."""
    return Plan(
        door=DOOR,
        owner_id=owner_id,
        items=(plan_item(wish, quotes[wish.price_key]),),
        description=f"Visual generation: {wish.type}",
        group=wish.project_id or "",
    )


def plan_batch(
    wishes: Sequence[Wish], owner_id: UUID, quotes: Mapping[str, Quote], *, max_concurrent: int | None = None
) -> Plan:
    """Plan a batch as one request. max_concurrent: most of its members in progress at a time, None is no cap.

    Raises OperationUnavailable when no provider is there for one of them.
    """
    projects = {wish.project_id for wish in wishes}
    items = tuple(
        plan_item(wish, quotes[wish.price_key], bundle=None if max_concurrent is None else index)
        for index, wish in enumerate(wishes)
    )
    return Plan(
        door=DOOR,
        owner_id=owner_id,
        items=items,
        description=f"Visual generation: batch of {len(wishes)}",
        public_id=new_id("batch"),
        group=(projects.pop() or "") if len(projects) == 1 else "",
        max_open_bundles=max_concurrent,
    )


def plan_item(wish: Wish, quote: Quote, *, bundle: int | None = None) -> ItemPlan:
    candidates = tuple(Candidate(alias, model) for alias, model in provider_order(wish.preferred))
    if not candidates:
        raise OperationUnavailable(wish.price_key)
    return ItemPlan(
        public_id=new_id("vga"),
        steps=(_generate(wish, candidates), THUMBNAIL),
        prompt=wish.prompt,
        params={
            "type": wish.type,
            "projectId": wish.project_id,
            "pageId": wish.page_id,
            "metadata": dict(wish.metadata),
        },
        priority=wish.priority,
        price_key=quote.key,
        price=quote.credits,
        cost_usd=str(quote.cost_usd or 0),
        bundle=bundle,
        cancel_refund=cast(CancelRefund, settings.VISUAL_RUNNING_CANCEL_REFUND),
    )


def _generate(wish: Wish, candidates: tuple[Candidate, ...]) -> StepPlan:
    inputs = {"prompt": enhanced_prompt(wish), "aspect_ratio": wish.ratio or "1:1"}
    if leave_out := LEAVE_OUT.get(wish.type):
        inputs["negative_prompt"] = leave_out
    return StepPlan(
        name="generate",
        operation=OPERATION,
        inputs=inputs,
        candidates=candidates,
        timeout_s=settings.VISUAL_CALL_TIMEOUT_S,
        retry=RetryPolicy(
            max_starts=wish.attempts,
            base_s=settings.VISUAL_RETRY_BASE_S,
            cap_s=settings.VISUAL_RETRY_CAP_S,
            text_rule=True,
        ),
        share=95,
    )


THUMBNAIL = StepPlan(name="thumbnail", operation="thumbnail", share=5, required=False)


def enhanced_prompt(wish: Wish) -> str:
    """The prompt that a provider gets: the caller's text, then the type's ingredients, style and ratio."""
    ingredients = [INGREDIENTS[wish.type]]
    if style := (wish.metadata.get("imageStyle") or "").strip():
        ingredients.append(f"{style} style")
    if wish.ratio:
        ingredients.append(RATIO_PHRASES[wish.ratio])
    joint = " " if wish.prompt[-1] in ".!?…,;:" else ", "
    return wish.prompt + joint + ", ".join(ingredients)


def provider_order(preferred: str | None) -> list[tuple[str, str]]:
    """(alias, model key) of the providers to try: the preferred one, then our order, without those not available."""
    order: Iterable[str] = settings.VISUAL_PROVIDER_ORDER
    return registry.candidates(OPERATION, [preferred, *order] if preferred else order)


def new_id(prefix: str) -> str:
    """A fresh public id: prefix, epoch in ms, nine letters that nobody can guess."""
    number, tail = secrets.randbelow(len(ID_LETTERS) ** ID_TAIL), ""
    for _ in range(ID_TAIL):
        number, letter = divmod(number, len(ID_LETTERS))
        tail += ID_LETTERS[letter]
    return f"{prefix}_{time.time_ns() // 1_000_000}_{tail}"


def is_id(text: str) -> bool:
    """Could this be an id of ours? What could not is not looked up: the database refuses some of it."""
    return text.isascii() and text.replace("_", "").isalnum() and len(text) <= MOST_ID_LETTERS
