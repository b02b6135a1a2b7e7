"""What the story-images door wants made: one item for each picture, its steps, and the run's own record.

Steps, passes, pauses and models follow the story-images contract, section 8:

    generate     main model (or the fast one), after two failures in a row the fallback; each failure is a pass
    thumbnail    for people's pages, while the picture lies decoded; drawn anew with it
    verify       every picture is looked at; one with text in it, or of which nothing could be said, is drawn anew
    publish      the picture, once clean, under its final key; an earlier run's gives way

Nothing is stored or charged here, and no query is made: prices come as quotes, the rest from settings.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings

from credits.errors import OperationUnavailable
from credits.pricing import Quote
from generation.doors.stories import places, prompts
from generation.doors.stories.places import Place
from generation.doors.stories.segments import Caution, Outline, Segment
from generation.doors.stories.serializers import Options
from generation.plan import Candidate, ItemPlan, Plan, RetryPolicy, StepPlan
from providers import registry

DOOR = "stories"
PRICE_KEY = "story_image"
DRAW, VERIFY = "text-to-image", "verify-image"
DRAWER, VERIFIER = "provider_e", "provider_h"
QUALITY, FAST, FALLBACK = "main", "fast", "fallback"
RATE_LIMITED = "RATE_LIMITED"
SIZE = {"aspect_ratio": "16:9", "width": 1792, "height": 1024, "output_format": "png"}
# How much of a picture is words when it is drawn after the diagram; the rest is the diagram.
WORDS_BESIDE_DIAGRAM = 0.9


@dataclass(frozen=True)
class Story:
    """Everything that a run is planned from, checked."""

    session_id: str
    place: Place
    outline: Outline
    options: Options
    warnings: Sequence[Caution]
    has_diagram: bool

    @property
    def images(self) -> int:
        return len(self.outline.segments) * self.options.num_images


def plan(story: Story, owner_id: UUID, quote: Quote) -> Plan:
    """Plan a run. Raises OperationUnavailable when nobody is there to draw or to check."""
    models = (FAST, FALLBACK) if story.options.fast_mode else (QUALITY, FALLBACK)
    drawers = tuple(Candidate(DRAWER, model) for model in models)
    if not (registry.candidates(DRAW, [DRAWER]) and registry.candidates(VERIFY, [VERIFIER])):
        raise OperationUnavailable(PRICE_KEY)
    return Plan(
        door=DOOR,
        owner_id=owner_id,
        items=tuple(
            _item(story, quote, drawers, bundle, segment, number, prompt)
            for bundle, segment in enumerate(story.outline.segments)
            for number, prompt in enumerate(
                prompts.prompts(segment, story.options.num_images, has_diagram=story.has_diagram), start=1
            )
        ),
        description=f"Story images: {story.outline.template_title}",
        group=story.session_id,
        params=_record(story),
        max_open_bundles=settings.STORY_MAX_PARALLEL_SEGMENTS,
        mirrored=True,
    )


def _record(story: Story) -> dict[str, Any]:
    """What the run's documents are written from, beside its items."""
    return {
        "directory": story.place.directory,
        "template_title": story.outline.template_title,
        "options": story.options.as_json(),
        "warnings": [{"code": one.code, "message": one.message} for one in story.warnings],
        "segments": [
            {"number": one.number, "title": one.title, "duration": one.duration_s} for one in story.outline.segments
        ],
    }


def _item(
    story: Story,
    quote: Quote,
    drawers: tuple[Candidate, ...],
    bundle: int,
    segment: Segment,
    number: int,
    prompt: str,
) -> ItemPlan:
    key = places.image_key(story.place.directory, story.outline.template_title, segment, number)
    return ItemPlan(
        public_id=f"story_{secrets.token_hex(12)}",
        steps=(_generate(story, drawers, prompt), THUMBNAIL, _verify(story.options), _publish(key)),
        prompt=segment.visual_guidance,
        params={"segment": segment.number, "image": number, "key": key},
        price_key=quote.key,
        price=quote.credits,
        cost_usd=str(quote.cost_usd or 0),
        bundle=bundle,
        cancel_refund="always",  # a picture that was not delivered is not paid for
    )


def _generate(story: Story, drawers: tuple[Candidate, ...], prompt: str) -> StepPlan:
    inputs: dict[str, Any] = {"prompt": prompt, "negative_prompt": prompts.NEGATIVE, **SIZE}
    if story.has_diagram:
        inputs |= {"optional_images": [story.place.diagram], "strength": WORDS_BESIDE_DIAGRAM}
    return StepPlan(
        name="generate",
        operation=DRAW,
        inputs=inputs,
        candidates=drawers,
        passes=story.options.max_passes,
        park_s=settings.STORY_PARK_S,
        retry=_policy(max_starts=1, next_candidate_after=settings.STORY_FALLBACK_AFTER),
        share=70,
        failure_ends_pass=True,
        rate_limit_starts=settings.STORY_RATE_LIMIT_STARTS,
    )


def _verify(options: Options) -> StepPlan:
    return StepPlan(
        name="verify",
        operation=VERIFY,
        inputs={"images": ["step:generate"]},
        candidates=(Candidate(VERIFIER),),
        checks=("no-text",),
        again_from="generate",
        passes=options.max_passes,
        retry=_policy(max_starts=options.max_verification_passes),
        share=20,
        failure_ends_pass=True,
        rate_limit_starts=settings.STORY_RATE_LIMIT_STARTS,
        asks_again=settings.STORY_REASK_ON_TEXT,
    )


def _policy(**more: Any) -> RetryPolicy:
    return RetryPolicy(
        base_s=settings.STORY_RETRY_BASE_S,
        cap_s=settings.STORY_RETRY_CAP_S,
        by_code={RATE_LIMITED: settings.STORY_RATE_LIMIT_BASE_S},
        cap_by_code={RATE_LIMITED: settings.STORY_RATE_LIMIT_CAP_S},
        weight_after_error=None,
        **more,
    )


def _publish(key: str) -> StepPlan:
    return StepPlan(
        name="publish",
        operation="publish",
        inputs={"from": "generate", "to": key, "as": "png", "overwrite": True},
        retry=_policy(max_starts=3),
        share=5,
    )


THUMBNAIL = StepPlan(name="thumbnail", operation="thumbnail", share=5, required=False)
