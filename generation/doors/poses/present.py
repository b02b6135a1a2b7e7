"""How the pose-generator door spells generations and poses: its objects and its words for states.

A pose is an item of a generation; a later background change is a request of its own, whose newest success
is shown in the pose. Nothing here names a provider.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from generation import exports, storage
from generation.doors.poses import chain, plan
from generation.doors.poses.tallies import ENDED_BADLY, Tally, tallies
from generation.models import Item, ItemStatus, Request, RequestStatus

PENDING, PROCESSING, COMPLETED, FAILED, PARTIAL = "pending", "processing", "completed", "failed", "partial"
_WORDS = {
    RequestStatus.QUEUED: PENDING,
    RequestStatus.RUNNING: PROCESSING,
    RequestStatus.COMPLETED: COMPLETED,
    RequestStatus.FAILED: FAILED,
    RequestStatus.CANCELLED: FAILED,
}
_LACKS_SOME = Exists(Item.objects.filter(request=OuterRef("pk"), status__in=ENDED_BADLY))
# `partial` is never written, but a client that filters by it hears of those that failed in part.
STATES: Mapping[str, Q] = {
    PENDING: Q(status=RequestStatus.QUEUED),
    PROCESSING: Q(status=RequestStatus.RUNNING),
    COMPLETED: Q(status=RequestStatus.COMPLETED),
    FAILED: Q(status__in=[RequestStatus.FAILED, RequestStatus.CANCELLED]),
    PARTIAL: Q(_LACKS_SOME, status=RequestStatus.COMPLETED),
}
# The steps that leave the picture of a pose, the last one first.
PICTURES = ("seam", "compose", "generate")

GAVE_UP, NOTHING_MADE = "PROVIDER_MAX_RETRIES_EXCEEDED", "No pose could be generated."
CODES = {
    "CONTENT_REJECTED": "INAPPROPRIATE_PROMPT",
    "INVALID_INPUT": "PROVIDER_BAD_REQUEST",
    "PROVIDER_AUTH": "PROVIDER_AUTH_ERROR",
    "PROVIDER_CREDIT": "PROVIDER_AUTH_ERROR",
    "STORAGE_ERROR": "STORAGE_ERROR",
    "TIMEOUT": "TIMEOUT",
}
_MESSAGES = {
    "INAPPROPRIATE_PROMPT": "The content filter refused this pose.",
    "PROVIDER_BAD_REQUEST": "The input could not be processed.",
    "PROVIDER_AUTH_ERROR": "The generation service is not available at present.",
    GAVE_UP: "The generation service failed several times.",
    "STORAGE_ERROR": "The result could not be stored.",
    "TIMEOUT": "The generation took too long.",
}


# --- Words ---------------------------------------------------------------------------------------


def word_of(request: Request) -> str:
    return _WORDS[RequestStatus(request.status)]


def code_of(item: Item) -> str:
    """The contract's word for why a pose failed."""
    return CODES.get(item.error_code, GAVE_UP)


def message_of(item: Item) -> str:
    if item.status == ItemStatus.CANCELLED:
        return "The generation was cancelled."
    return _MESSAGES[code_of(item)]


def iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def _seconds(took: timedelta | None) -> float | None:
    return round(took.total_seconds(), 1) if took is not None else None


# --- Generations ---------------------------------------------------------------------------------


def generations(owner_id: UUID) -> QuerySet[Request]:
    """A person's generations, newest first; those of removed projects are gone."""
    mine = Request.objects.filter(owner_id=owner_id, door=plan.DOOR, erased_at=None)
    return mine.exclude(group__startswith=plan.CHANGE_GROUP).order_by("-created_at", "-pk")


def present_generations(requests: Sequence[Request]) -> list[dict[str, Any]]:
    counts = tallies(request.pk for request in requests)
    return [present_generation(request, counts[request.pk]) for request in requests]


def present_generation(request: Request, tally: Tally) -> dict[str, Any]:
    asked = request.params
    attributes = asked["avatarAttributes"]
    word = word_of(request)
    took = request.finished_at - request.started_at if request.finished_at and request.started_at else None
    return {
        "id": str(request.pk),
        "projectId": request.group,
        "userId": str(request.owner_id),
        "generationType": asked["generationType"],
        "textPrompt": asked["textPrompt"],
        "generatedPoseStructure": None,
        "avatarId": asked["avatarId"],
        "avatarAttributes": json.dumps(attributes) if attributes else None,
        "batchSize": asked["batchSize"],
        "totalExpectedPoses": tally.total,
        "useBackgroundChanger": asked["useBackgroundChanger"],
        "backgroundMode": asked["backgroundMode"],
        "backgroundPrompt": asked["backgroundPrompt"],
        "backgroundColor": asked["backgroundColor"],
        "backgroundImageUrl": asked["backgroundImageUrl"],
        "exportFormats": asked["exportFormats"],
        "status": word,
        "progress": tally.percentage,
        "posesCompleted": tally.done,
        "posesFailed": tally.failed,
        "creditCharged": tally.charged,
        "creditRefunded": tally.refunded,
        "queueJobId": f"gen-{request.pk}",  # a label that clients know; no job carries it
        "errorMessage": NOTHING_MADE if word == FAILED else None,
        "createdAt": iso(request.created_at),
        "startedAt": iso(request.started_at),
        "completedAt": iso(request.finished_at),
        "avgGenerationTime": round(tally.pose_s, 1) if tally.pose_s is not None else None,
        "totalProcessingTime": _seconds(took),
        "recoveryAttempts": tally.losses,
        "lastRecoveryAt": iso(tally.recovered_at),
    }


def present_progress(request: Request, tally: Tally) -> dict[str, Any]:
    word = word_of(request)
    left = tally.total - tally.processed
    can_say = word == PROCESSING and tally.done > 0
    return {
        "percentage": tally.percentage,
        "posesCompleted": tally.done,
        "posesFailed": tally.failed,
        "posesTotal": tally.total,
        "currentStatus": word,
        "estimatedTimeRemaining": left * settings.POSE_SECONDS_PER_POSE if can_say else None,
    }


def submitted(request: Request) -> dict[str, Any]:
    poses = len(request.new_items)
    return {
        "generationId": str(request.pk),
        "status": PENDING,
        "totalPosesExpected": poses,
        "creditCharged": sum(item.charged for item in request.new_items),
        "estimatedCompletionTime": poses * settings.POSE_SECONDS_PER_POSE,
        "message": f"{poses} pose{'s are' if poses > 1 else ' is'} in the queue.",
    }


def present_results(request: Request, tally: Tally, items: Sequence[Item], base_url: str) -> dict[str, Any]:
    done = [item for item in items if item.status == ItemStatus.SUCCEEDED]
    return {
        "results": present_poses(done, base_url),
        "generation": {
            "id": str(request.pk),
            "status": word_of(request),
            "totalPoses": tally.total,
            "successCount": tally.done,
            "failedCount": tally.failed,
            "creditCharged": tally.charged,
            "creditRefunded": tally.refunded,
        },
    }


# --- Poses ---------------------------------------------------------------------------------------


def newest_changes(items: Iterable[Item]) -> dict[str, Item]:
    """The newest succeeded background change of each pose, by its id. One query."""
    groups = {f"{plan.CHANGE_GROUP}{item.public_id}": item.owner_id for item in items}
    changes = Item.objects.filter(
        request__owner_id__in=set(groups.values()),
        request__group__in=groups,
        door=plan.DOOR,
        status=ItemStatus.SUCCEEDED,
    ).order_by("finished_at")
    return {str(item.params["poseId"]): item for item in changes}


def shown_of(item: Item) -> Item:
    """Whose picture a pose shows: the newest change's, else its own. One query."""
    return newest_changes([item]).get(item.public_id) or item


def present_poses(items: Sequence[Item], base_url: str) -> list[dict[str, Any]]:
    changes = newest_changes(items)
    return [present_pose(item, changes.get(item.public_id) or item, base_url) for item in items]


def present_pose(item: Item, shown: Item, base_url: str) -> dict[str, Any]:
    """Build a pose object. shown: the item whose picture it shows, itself or its newest background change."""
    is_done = item.status == ItemStatus.SUCCEEDED

    def link(key: str) -> str | None:
        return storage.link(key, base_url) if is_done and key else None

    is_changed = is_done and bool(key_of(shown, "compose"))
    took = item.finished_at - item.first_started_at if is_done and item.finished_at and item.first_started_at else None
    return {
        "id": item.public_id,
        "generationId": str(item.request_id),
        "poseLibraryId": item.params["poseLibraryId"],
        "outputImageUrl": link(output_key(shown)),
        "thumbnailUrl": link(key_of(shown, "thumbnail")),
        "originalImageUrl": link(key_of(item, "generate")),
        "exportFormats": {name: link(key) for name, key in export_keys(shown).items()} if is_done else {},
        "backgroundChanged": is_changed,
        "backgroundPrompt": shown.params["backgroundPrompt"] if is_changed else None,
        "promptUsed": item.params["promptUsed"],
        "seedUsed": item.params["seed"],
        "controlnetWeight": chain.CONTROL,
        "metadata": {
            "textOnly": item.params["textOnly"],
            "enlargedExports": _enlarged(shown) if is_done else [],
        },
        "generationTime": _seconds(took),
        "aiConfidenceScore": None,
        "isFavorite": False,
        "downloadCount": 0,
        "status": COMPLETED if is_done else FAILED if item.is_final else PROCESSING,
        "errorMessage": message_of(item) if item.status in ENDED_BADLY else None,
        "variationKey": item.params["variationKey"],
        "createdAt": iso(item.created_at),
    }


def key_of(item: Item, step: str) -> str:
    """Where a step's one file lies; empty when it left none."""
    return str((item.results.get(step) or {}).get("key") or "")


def output_key(item: Item) -> str:
    """The last picture that was made: with the seam repaired, composed, or as it was generated."""
    return next((key for step in PICTURES if (key := key_of(item, step))), "")


def export_keys(item: Item) -> dict[str, str]:
    """Name as the client sent it -> where the export lies."""
    files: Mapping[str, Mapping[str, Any]] = (item.results.get("exports") or {}).get("files") or {}
    return {name: str(file["key"]) for name, file in files.items()}


def export_names(item: Item) -> list[str]:
    """The exports that an item shows, and those that it should and could not make."""
    planned = [name for step in item.steps if step["name"] == "exports" for name in step["inputs"]["formats"]]
    return list(dict.fromkeys([*planned, *export_keys(item)]))


def _enlarged(shown: Item) -> list[str]:
    """The exports for which the picture was too small and was scaled up."""
    made: Mapping[str, Any] = next((left for step in PICTURES if (left := shown.results.get(step))), {})
    return [name for name in export_keys(shown) if exports.is_enlarged(name, (made["width"], made["height"]))]


def changed(shown: Item, order: Request, balance: int, base_url: str) -> dict[str, Any]:
    """Answer the order of a background change; the picture is still the one that is shown now."""
    (item,) = order.new_items
    return {
        "poseId": item.params["poseId"],
        "outputImageUrl": storage.link(output_key(shown), base_url),
        "creditCharged": item.charged,
        "creditBalance": balance,
    }


# --- Live ----------------------------------------------------------------------------------------


def is_change(item: Item) -> bool:
    """Is this the change of a pose's background, rather than a pose?"""
    return "poseId" in item.params


def present_item(item: Item, base_url: str) -> dict[str, Any]:
    """Build what an item is to its owner: a pose object, or how the change of a pose's background stands."""
    if not is_change(item):
        return present_pose(item, shown_of(item), base_url)
    is_done = item.status == ItemStatus.SUCCEEDED
    return {
        "poseId": item.params["poseId"],
        "generationId": item.params["generationId"],
        "status": COMPLETED if is_done else FAILED if item.is_final else PROCESSING,
        "imageUrl": storage.link(output_key(item), base_url) if is_done else None,
        "thumbnailUrl": storage.link(key, base_url) if is_done and (key := key_of(item, "thumbnail")) else None,
        "errorMessage": message_of(item) if item.status in ENDED_BADLY else None,
        "creditRefunded": item.refunded,
    }


def present_event(item: Item, event_kind: str | None, seq: int, base_url: str) -> dict[str, Any]:
    """Build the `data` of an update: the item's object, what happened last (None: a snapshot) and `seq`."""
    return {**present_item(item, base_url), "event": event_kind or "snapshot", "seq": seq}
