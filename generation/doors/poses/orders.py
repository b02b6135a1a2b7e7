"""From a checked body to what is stored: whose poses, project, avatar and background picture it means.

What was fetched for a request that comes to nothing is removed again. A project's row is the lock between new work in
it and its removal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from rest_framework.exceptions import ErrorDetail, ValidationError

from config.api.errors import ApiError
from credits import ledger, pricing
from generation import engine, inputs
from generation.doors.poses import plan, present, prompts, serializers
from generation.doors.poses.base import missing, uuid_of
from generation.doors.poses.chain import BACKGROUND_PRICE, UPLOAD, Background
from generation.models import (
    Asset,
    Avatar,
    Item,
    ItemStatus,
    LibraryPose,
    PoseProject,
    PoseSelection,
    Request,
)

# --- Looking up what a body names ----------------------------------------------------------------


def wish_of(checked: Mapping[str, Any], owner_id: UUID) -> plan.Wish:
    """Look up what a body names; its background's picture is still to be fetched.

    Raises ApiError 404 or 400, ValidationError.
    """
    project = find_project(checked["projectId"], owner_id)
    if project.status == "archived":
        raise ApiError(400, "PROJECT_ARCHIVED", "This project is archived.")
    avatar = find_avatar(checked["avatarId"], owner_id) if "avatarId" in checked else project.avatar
    known = avatar.attributes if avatar else {}
    told = {name: known[name] for name in prompts.ATTRIBUTES if known.get(name)}
    serializers.refuse_banned(*told.values())
    is_gallery = checked["generationType"] == plan.GALLERY
    return plan.Wish(
        owner_id=owner_id,
        project_id=project.pk,
        type=checked["generationType"],
        poses=_poses_of(checked["selectedPoseIds"]) if is_gallery else (),
        text=checked.get("textPrompt", ""),
        count=serializers.count_of(checked),
        batch_size=checked.get("batchSize", plan.DEFAULT_COUNT),
        background=serializers.background_of(checked) if checked.get("useBackgroundChanger") else None,
        exports=serializers.export_names(checked),
        avatar_id=avatar.pk if avatar else None,
        attributes=told,
    )


def _poses_of(sent: list[str]) -> tuple[plan.LibraryPose, ...]:
    """The chosen poses in the order sent, each once. Raises ValidationError that names each unknown one's place."""
    ids = [uuid_of(one) for one in sent]
    rows = {pose.pk: pose for pose in LibraryPose.objects.filter(pk__in=ids, is_public=True)}
    faults: dict[Any, Any] = {
        place: [ErrorDetail("No pose of the library has this id.", code="unknown")]
        for place, one in enumerate(ids)
        if one not in rows
    }
    if faults:
        raise ValidationError({"selectedPoseIds": faults})
    found = (rows[one] for one in dict.fromkeys(ids))
    return tuple(
        plan.LibraryPose(pose.pk, pose.name, pose.description, pose.keypoints, _control(pose)) for pose in found
    )


def _control(pose: LibraryPose) -> str:
    """The picture that steers the making of a pose; empty where none is drawn."""
    return pose.map_key if settings.POSE_CONTROL_PICTURE == "map" else pose.preview_key


def find_avatar(sent: str, owner_id: UUID, *, lock: bool = False) -> Avatar:
    """One's own avatar. lock: to be changed in this transaction. Raises ApiError 404."""
    avatars = Avatar.objects.select_for_update() if lock else Avatar.objects
    found = avatars.filter(pk=uuid_of(sent), owner_id=owner_id).first()
    if found is None:
        raise missing("AVATAR_NOT_FOUND", "Avatar not found")
    return found


def find_project(sent: str, owner_id: UUID, *, lock: bool = False) -> PoseProject:
    """One's own project. lock: to be changed in this transaction. Raises ApiError 404."""
    projects = PoseProject.objects.select_for_update() if lock else PoseProject.objects.select_related("avatar")
    found = projects.filter(pk=uuid_of(sent), owner_id=owner_id, deleted_at=None).first()
    if found is None:
        raise _no_project()
    return found


def find_generation(sent: str, owner_id: UUID) -> Request:
    """One's own generation. Raises ApiError 404."""
    found = present.generations(owner_id).filter(pk=uuid_of(sent)).first()
    if found is None:
        raise missing("GENERATION_NOT_FOUND", "Generation not found")
    return found


def find_pose(sent: str, owner_id: UUID) -> Item:
    """One's own pose. Raises ApiError 404."""
    mine = Item.objects.filter(owner_id=owner_id, door=plan.DOOR, request__erased_at=None).select_related("request")
    item = mine.filter(public_id=str(uuid_of(sent))).first()
    if item is None or present.is_change(item):
        raise missing("POSE_NOT_FOUND", "Pose not found")
    return item


def find_finished(sent: str, owner_id: UUID) -> Item:
    """One's own pose, finished. Raises ApiError 404 or 400."""
    item = find_pose(sent, owner_id)
    if item.status != ItemStatus.SUCCEEDED:
        raise ApiError(400, "INVALID_STATE", "This pose is not finished.")
    return item


def _no_project() -> ApiError:
    return missing("PROJECT_NOT_FOUND", "Project not found")


# --- Storing -------------------------------------------------------------------------------------


@contextmanager
def pictured(background: Background, owner_id: UUID, base_url: str) -> Iterator[tuple[Background, list[Asset]]]:
    """Fetch the picture of an uploaded background; others come as they are. Yields it with assets that lack a row yet.

    Unless these have got one in the end, their files are removed again. Raises as `inputs.picture`.
    """
    if background.mode != UPLOAD:
        yield background, []
        return
    found = inputs.picture(background.image_url, "backgroundImageUrl", owner_id, base_url)
    fetched = [found.asset] if found.is_new else []
    try:
        yield replace(background, image_key=found.asset.key), fetched
    finally:
        if fetched and not Asset.objects.filter(pk=found.asset.pk).exists():
            inputs.discard(fetched)


def submit(wish: plan.Wish, fetched: list[Asset]) -> Request:
    """Charge and store a generation and what it says of library and avatar. Must run inside a transaction.

    Raises InsufficientCredits, QuotaExhausted, OperationUnavailable, ApiError 404.
    """
    _work_in(wish.project_id)
    uses_quota = ledger.has_unlimited(wish.owner_id)
    order = engine.submit(plan.plan_generation(wish, pricing.quotes(wish.price_keys), uses_quota=uses_quota))
    _keep(fetched, order)
    if wish.poses:
        ids = [pose.id for pose in wish.poses]
        PoseSelection.objects.bulk_create(PoseSelection(request=order, pose_id=pose_id) for pose_id in ids)
        # In one order, or two generations of the same poses would wait for each other.
        locked = LibraryPose.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
        LibraryPose.objects.filter(pk__in=list(locked.values_list("pk", flat=True))).update(
            usage_count=F("usage_count") + 1
        )
    if wish.avatar_id:
        Avatar.objects.filter(pk=wish.avatar_id).update(usage_count=F("usage_count") + 1, last_used_at=timezone.now())
    return order


def submit_change(item: Item, shown: Item, background: Background, fetched: list[Asset]) -> Request:
    """Charge and store another background for a finished pose. Must run inside a transaction.

    shown: the item whose picture it shows; the exports of this are made anew. Raises InsufficientCredits,
    OperationUnavailable, ApiError 404, and 409 while another change has not ended.
    """
    _work_in(UUID(item.request.group))
    original, wanted = present.key_of(item, "generate"), present.export_names(shown)
    quote, is_unlimited = pricing.quote(BACKGROUND_PRICE), ledger.has_unlimited(item.owner_id)
    planned = plan.plan_change(item, original, background, wanted, quote, is_unlimited=is_unlimited)
    try:
        with transaction.atomic():
            order = engine.submit(planned)
    except IntegrityError as error:
        if "one_open_background_per_pose" not in str(error):
            raise
        text = "The background of this pose is being changed already."
        raise ApiError(409, "CHANGE_IN_PROGRESS", text) from error
    _keep(fetched, order)
    return order


def _work_in(project_id: UUID) -> None:
    """Let a project know of new work in it, before its removal or after. Raises ApiError 404."""
    if not PoseProject.objects.filter(pk=project_id, deleted_at=None).update(updated_at=timezone.now()):
        raise _no_project()


def _keep(fetched: list[Asset], order: Request) -> None:
    for asset in fetched:
        asset.request = order
        asset.save(force_insert=True)


def delete_project(project: PoseProject) -> bool:
    """Remove a project, and erase what was made in it. False: some of it has not ended."""
    with transaction.atomic():
        PoseProject.objects.select_for_update().get(pk=project.pk)
        mine = Request.objects.filter(owner_id=project.owner_id, door=plan.DOOR)
        poses = Item.objects.filter(request__in=mine.filter(group=str(project.pk))).values_list("public_id", flat=True)
        groups = [str(project.pk), *(f"{plan.CHANGE_GROUP}{pose_id}" for pose_id in poses)]
        if not engine.erase(mine.filter(group__in=groups)):
            return False
        PoseProject.objects.filter(pk=project.pk).update(deleted_at=timezone.now())
    return True
