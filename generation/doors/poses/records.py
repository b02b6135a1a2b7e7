"""How the pose-generator door spells what lies beside generations: library, projects, avatars, wishes for poses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count, Q

from generation import storage
from generation.doors.poses import plan
from generation.doors.poses.present import iso
from generation.models import Avatar, ItemStatus, LibraryPose, PoseCategory, PoseProject, PoseWish, Request

ATTRIBUTES = ("gender", "ageRange", "ethnicity", "bodyType", "hairStyle", "hairColor", "eyeColor", "skinTone", "style")
# The contract's name -> ours.
PERSONA = {
    "personaName": "name",
    "personaAge": "age",
    "personaPersonality": "personality",
    "personaBackground": "background",
}


# --- Library -------------------------------------------------------------------------------------


def present_category(category: PoseCategory, pose_count: int) -> dict[str, Any]:
    return {
        "id": str(category.pk),
        "name": category.name,
        "displayName": category.display_name,
        "slug": category.slug,
        "description": category.description,
        "parentId": str(category.parent_id) if category.parent_id else None,
        "icon": category.icon,
        "displayOrder": category.display_order,
        "color": category.color,
        "poseCount": pose_count,
        "isActive": category.is_active,
        "createdAt": iso(category.created_at),
        "updatedAt": iso(category.updated_at),
    }


def pose_counts() -> dict[UUID, int]:
    """Category -> its public poses, those of its children included. One query."""
    public = Count("poses", filter=Q(poses__is_public=True))
    counts: dict[UUID, int] = {}
    for pk, parent_id, many in PoseCategory.objects.annotate(public=public).values_list("pk", "parent_id", "public"):
        counts[pk] = counts.get(pk, 0) + many
        if parent_id:
            counts[parent_id] = counts.get(parent_id, 0) + many
    return counts


def present_categories() -> dict[str, Any]:
    """The tree: roots with their children. Two queries."""
    counts = pose_counts()
    children: dict[UUID | None, list[dict[str, Any]]] = {}
    for row in PoseCategory.objects.filter(is_active=True):
        children.setdefault(row.parent_id, []).append(present_category(row, counts[row.pk]))
    roots = [{**root, "children": children.get(UUID(root["id"]), [])} for root in children.get(None, [])]
    return {"categories": roots, "totalCategories": len(roots)}


def present_pose(pose: LibraryPose, counts: Mapping[UUID, int], base_url: str) -> dict[str, Any]:
    """Build a pose of the library; its category must be loaded with it. counts: of `pose_counts`."""

    def link(key: str) -> str | None:
        return storage.link(key, base_url) if key else None

    return {
        "id": str(pose.pk),
        "name": pose.name,
        "description": pose.description,
        "categoryId": str(pose.category_id),
        "category": present_category(pose.category, counts[pose.category_id]),
        "previewImageUrl": link(pose.preview_key),
        "referenceImageUrl": link(pose.preview_key),
        "controlnetImageUrl": link(pose.map_key),
        "thumbnailUrl": link(pose.thumbnail_key),
        "difficulty": pose.difficulty,
        "genderSuitability": pose.gender_suitability,
        "tags": pose.tags,
        "sourceType": pose.source_type,
        "sourceCredit": pose.source_credit or None,
        "licenseType": pose.license_type,
        "usageCount": pose.usage_count,
        "favoriteCount": pose.favorite_count,
        "ratingAvg": float(pose.rating_avg),
        "popularityScore": pose.popularity,
        "isPublic": pose.is_public,
        "isFeatured": pose.is_featured,
        "isPremium": pose.is_premium,
        "createdAt": iso(pose.created_at),
        "updatedAt": iso(pose.updated_at),
    }


# --- Projects ------------------------------------------------------------------------------------


def present_project(project: PoseProject) -> dict[str, Any]:
    return present_projects([project])[0]


def present_projects(projects: Sequence[PoseProject]) -> list[dict[str, Any]]:
    """Build project objects with their totals. One query for all of them."""
    totals = _totals(projects)
    return [_project(project, *totals.get(str(project.pk), (0, 0))) for project in projects]


def _totals(projects: Iterable[PoseProject]) -> dict[str, tuple[int, int]]:
    """Project -> its generations, and the poses that were made in them."""
    mine = {str(project.pk): project.owner_id for project in projects}
    rows = (
        Request.objects.filter(door=plan.DOOR, owner_id__in=set(mine.values()), group__in=mine)
        .values("group")
        .annotate(
            generations=Count("pk", distinct=True),
            poses=Count("items", filter=Q(items__status=ItemStatus.SUCCEEDED)),
        )
        .order_by()
    )
    return {row["group"]: (row["generations"], row["poses"]) for row in rows}


def _project(project: PoseProject, generations: int, poses: int) -> dict[str, Any]:
    return {
        "id": str(project.pk),
        "userId": str(project.owner_id),
        "projectName": project.name,
        "description": project.description,
        "avatarImageUrl": project.avatar_image_url,
        "avatarSource": project.avatar_source,
        "avatarId": str(project.avatar_id) if project.avatar_id else None,
        "totalGenerations": generations,
        "totalPosesGenerated": poses,
        "status": project.status,
        "createdAt": iso(project.created_at),
        "updatedAt": iso(project.updated_at),
    }


# --- Avatars and wishes --------------------------------------------------------------------------


def present_avatar(avatar: Avatar) -> dict[str, Any]:
    return {
        "id": str(avatar.pk),
        "userId": str(avatar.owner_id),
        "name": avatar.name,
        "baseImageUrl": avatar.base_image_url or None,
        "thumbnailUrl": avatar.thumbnail_url or None,
        **{name: avatar.attributes.get(name) for name in ATTRIBUTES},
        **{told: avatar.persona.get(name) for told, name in PERSONA.items()},
        "sourceType": avatar.source_type,
        "generationPrompt": avatar.generation_prompt or None,
        "seedUsed": avatar.seed_used,
        "usageCount": avatar.usage_count,
        "lastUsedAt": iso(avatar.last_used_at),
        "createdAt": iso(avatar.created_at),
        "updatedAt": iso(avatar.updated_at),
    }


def present_wish(wish: PoseWish) -> dict[str, Any]:
    return {
        "id": str(wish.pk),
        "userId": str(wish.owner_id),
        "poseName": wish.pose_name,
        "description": wish.description,
        "referenceImageUrl": wish.reference_image_url,
        "categoryId": str(wish.category_id) if wish.category_id else None,
        "useCase": wish.use_case,
        "votesCount": wish.votes_count,
        "status": wish.status,
        "adminNotes": wish.admin_notes,
        "completedPoseId": str(wish.completed_pose_id) if wish.completed_pose_id else None,
        "createdAt": iso(wish.created_at),
        "updatedAt": iso(wish.updated_at),
    }
