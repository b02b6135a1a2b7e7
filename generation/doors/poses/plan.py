"""What the pose-generator door wants made: from a checked wish to a Plan.

An item is one pose, or one change of a pose's background; its steps are in `chain`. Pure but for the registry's and
the settings' tables: prices come as quotes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings

from credits.pricing import Quote
from generation import posemap
from generation.doors.poses import chain, prompts
from generation.doors.poses.chain import BACKGROUND_PRICE, PART, POSE_PRICE, Background, Place
from generation.models import Item
from generation.plan import ItemPlan, Plan

DOOR = "poses"
GALLERY, TEXT = "GALLERY_REFERENCE", "TEXT_DESCRIPTION"
# The group of a request that changes one pose's background; a generation's group is its project.
CHANGE_GROUP = "pose:"
MOST_POSES, MOST_SELECTED, DEFAULT_COUNT = 500, 200, 4
MOST_SEED = 999_999


@dataclass(frozen=True)
class LibraryPose:
    """What a plan needs of a pose of the library. control_key: "" where nothing is drawn: then words must do."""

    id: UUID
    name: str
    description: str
    keypoints: Sequence[Any]
    control_key: str

    @property
    def figure(self) -> list[float] | None:
        """Where the figure stands in the picture: left, top, right, bottom in shares; None when that is unknown."""
        try:
            box = posemap.box(self.keypoints)
        except ValueError:
            return None
        return [box.left, box.top, box.right, box.bottom]


@dataclass(frozen=True)
class Wish:
    """One generation as it was asked for. poses: in the order chosen, empty in text mode.

    count: variations of each pose, or of the text. exports: names as the client sent them.
    attributes: gender, ageRange, ethnicity, style of the avatar, what of it is known.
    """

    owner_id: UUID
    project_id: UUID
    type: str
    poses: tuple[LibraryPose, ...] = ()
    text: str = ""
    count: int = DEFAULT_COUNT
    batch_size: int = DEFAULT_COUNT
    background: Background | None = None
    exports: tuple[str, ...] = ()
    avatar_id: UUID | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.count * (len(self.poses) or 1)

    @property
    def price_keys(self) -> list[str]:
        return [POSE_PRICE, BACKGROUND_PRICE] if self.background else [POSE_PRICE]


def plan_generation(wish: Wish, quotes: Mapping[str, Quote], *, uses_quota: bool) -> Plan:
    """Plan a generation. uses_quota: the unlimited tier pays. Raises OperationUnavailable."""
    generation_id = uuid4()
    variations: list[tuple[LibraryPose | None, int]] = [
        (pose, number) for pose in wish.poses or (None,) for number in range(1, wish.count + 1)
    ]
    return Plan(
        id=generation_id,
        door=DOOR,
        owner_id=wish.owner_id,
        group=str(wish.project_id),
        description=f"Pose generation: {wish.total} pose{'s' if wish.total > 1 else ''}",
        params=_params(wish),
        items=tuple(
            _plan_pose(wish, pose, number, generation_id, quotes, uses_quota=uses_quota) for pose, number in variations
        ),
    )


def _params(wish: Wish) -> dict[str, Any]:
    """What the generation object repeats of the wish."""
    behind = wish.background
    return {
        "generationType": wish.type,
        "textPrompt": wish.text or None,
        "avatarId": str(wish.avatar_id) if wish.avatar_id else None,
        "avatarAttributes": dict(wish.attributes) or None,
        "batchSize": wish.batch_size,
        "useBackgroundChanger": behind is not None,
        "backgroundMode": behind.mode if behind else None,
        "backgroundPrompt": (behind.prompt or None) if behind else None,
        "backgroundColor": (behind.color or None) if behind else None,
        "backgroundImageUrl": (behind.image_url or None) if behind else None,
        "exportFormats": list(wish.exports),
    }


def _plan_pose(
    wish: Wish,
    pose: LibraryPose | None,
    number: int,
    generation_id: UUID,
    quotes: Mapping[str, Quote],
    *,
    uses_quota: bool,
) -> ItemPlan:
    pose_id, seed = str(uuid4()), random.randint(0, MOST_SEED)
    name, description = (pose.name, pose.description) if pose else ("", "")
    prompt = prompts.of_pose(wish.text, name, description, wish.attributes)
    figure = pose.figure if pose else None
    behind = chain.before(wish.background, "step:generate", PART) if wish.background else ()
    prices = {key: 0 if uses_quota else quotes[key].credits for key in wish.price_keys}
    return ItemPlan(
        public_id=pose_id,
        steps=(
            chain.generate(prompt, seed, pose.control_key if pose else ""),
            *behind,
            *chain.finish(behind, Place(generation_id, pose_id), wish.exports, figure),
        ),
        prompt=wish.text or name,
        params={
            "poseLibraryId": str(pose.id) if pose else None,
            "variationKey": f"{pose.id if pose else 'text'}-v{number}",
            "promptUsed": prompt,
            "seed": seed,
            "textOnly": not (pose and pose.control_key),
            "backgroundPrompt": wish.background.told if wish.background else None,
            "figure": figure,
        },
        price_key=POSE_PRICE,
        price=sum(prices.values()),
        cost_usd=str(sum(quotes[key].cost_usd or 0 for key in wish.price_keys)),
        uses_quota=uses_quota,
        keep_codes=_kept(),
        parts={PART: prices[BACKGROUND_PRICE]} if behind else {},
    )


def plan_change(
    pose: Item,
    original_key: str,
    background: Background,
    exports: Sequence[str],
    quote: Quote,
    *,
    is_unlimited: bool = False,
) -> Plan:
    """Plan another background for a finished pose. The change is all there is to pay for, so its failure is the item's.

    is_unlimited: of somebody in the unlimited tier, who pays for it and goes first. Raises OperationUnavailable.
    """
    change_id, pose_id = uuid4(), pose.public_id
    behind = chain.before(background, original_key)
    place = Place(pose.request_id, f"{pose_id}_bg_{change_id}")
    return Plan(
        id=change_id,
        door=DOOR,
        owner_id=pose.owner_id,
        group=f"{CHANGE_GROUP}{pose_id}",
        description="Pose background change",
        params={"poseId": pose_id, "backgroundMode": background.mode},
        items=(
            ItemPlan(
                public_id=str(change_id),
                steps=(*behind, *chain.finish(behind, place, exports, pose.params["figure"], is_change=True)),
                prompt=background.prompt,
                priority="high" if is_unlimited else "normal",
                params={
                    "poseId": pose_id,
                    "generationId": str(pose.request_id),
                    "backgroundPrompt": background.told,
                },
                price_key=BACKGROUND_PRICE,
                price=quote.credits,
                cost_usd=str(quote.cost_usd or 0),
                keep_codes=_kept(),
            ),
        ),
    )


def _kept() -> tuple[str, ...]:
    """What the door does not refund: a prompt that the content filter refused."""
    return () if settings.POSE_REFUND_FILTERED else ("CONTENT_REJECTED",)
