"""The routes of the pose-generator door about the library and what a person keeps: projects, avatars, wishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.api.errors import ApiError
from config.api.schema import problems
from generation.doors.poses import orders, paging, present, record_fields, records
from generation.doors.poses import record_answers as answers
from generation.doors.poses.base import (
    PoseView,
    base_url,
    missing,
    of_status,
    own_id,
    status_parameter,
    unknown,
    uuid_of,
)
from generation.models import Avatar, LibraryPose, PoseCategory, PoseProject, PoseWish
from generation.models.library import ProjectStatus, WishStatus

LIBRARY_LIMIT = 24
NEWEST_GENERATIONS = 10


class LibraryView(PoseView):
    @extend_schema(
        operation_id="pose_library",
        parameters=[*paging.parameters(LIBRARY_LIMIT), record_fields.LibraryQuery],
        responses=answers.Library,
    )
    def get(self, request: Request) -> Response:
        """The poses to choose from, the most used first."""
        sent = {name: value for name, value in request.query_params.items() if value}
        found = library(record_fields.read(record_fields.LibraryQuery, sent))
        rows, pagination = paging.page(request, LIBRARY_LIMIT).cut(found)
        counts = records.pose_counts()
        poses = [records.present_pose(pose, counts, base_url(request)) for pose in rows]
        return Response({"poses": poses, "pagination": pagination})


def library(asked: Mapping[str, str]) -> QuerySet[LibraryPose]:
    """The public poses that a query asks for, the most used first."""
    found = LibraryPose.objects.filter(is_public=True).select_related("category")
    if category := asked.get("category"):
        found = found.filter(_in_category(category))
    if search := asked.get("search"):
        found = found.filter(Q(name__icontains=search) | Q(tags__contains=[search.lower()]))
    if difficulty := asked.get("difficulty"):
        found = found.filter(difficulty=difficulty)
    if suits := asked.get("genderSuitability"):
        found = found.filter(gender_suitability=suits)
    if featured := asked.get("featured"):
        found = found.filter(is_featured=featured == "true")
    return found.order_by((F("usage_count") + F("favorite_count")).desc(), "name", "pk")


def _in_category(word: str) -> Q:
    named = PoseCategory.objects.filter(Q(pk=uuid_of(word)) | Q(slug=word.lower()) | Q(name=word.lower()))
    return Q(category__in=named) | Q(category__parent__in=named)


class LibraryPoseView(PoseView):
    @extend_schema(operation_id="pose_library_pose", responses=answers.OneLibraryPose)
    def get(self, request: Request, pose_id: str) -> Response:
        """One pose of the library."""
        mine = LibraryPose.objects.filter(is_public=True).select_related("category")
        pose = mine.filter(pk=uuid_of(pose_id)).first()
        if pose is None:
            raise missing("POSE_NOT_FOUND", "Pose not found")
        return Response({"pose": records.present_pose(pose, records.pose_counts(), base_url(request))})


class CategoriesView(PoseView):
    @extend_schema(operation_id="pose_categories", responses=answers.Categories)
    def get(self, request: Request) -> Response:
        """The categories as a tree."""
        return Response(records.present_categories())


# --- Projects ------------------------------------------------------------------------------------


class ProjectsView(PoseView):
    @extend_schema(
        operation_id="pose_projects",
        parameters=[*paging.parameters(), status_parameter(ProjectStatus.values)],
        responses=answers.Projects,
    )
    def get(self, request: Request) -> Response:
        """One's own projects, the latest changed first."""
        found = PoseProject.objects.filter(owner_id=own_id(request), deleted_at=None).order_by("-updated_at", "-pk")
        rows, pagination = paging.page(request).cut(of_status(found, request, ProjectStatus.values))
        return Response({"projects": records.present_projects(rows), "pagination": pagination})

    @extend_schema(
        operation_id="pose_project_create",
        request=record_fields.NewProject,
        responses={201: answers.OneProject, **problems(_404="AVATAR_NOT_FOUND.")},
    )
    def post(self, request: Request) -> Response:
        """Make a project: what generations are grouped by."""
        checked = record_fields.read(record_fields.NewProject, request.data)
        avatar = orders.find_avatar(checked["avatarId"], own_id(request)) if checked.get("avatarId") else None
        project = PoseProject.objects.create(
            owner_id=own_id(request),
            name=checked["projectName"],
            description=checked.get("description") or None,
            avatar_image_url=checked["avatarImageUrl"],
            avatar_source=checked["avatarSource"],
            avatar=avatar,
        )
        return Response({"project": records.present_project(project)}, status=201)


class ProjectView(PoseView):
    @extend_schema(operation_id="pose_project", responses=answers.OneProjectWithGenerations)
    def get(self, request: Request, project_id: str) -> Response:
        """A project with its ten newest generations."""
        project = orders.find_project(project_id, own_id(request))
        newest = list(present.generations(own_id(request)).filter(group=str(project.pk))[:NEWEST_GENERATIONS])
        document = {**records.present_project(project), "generations": present.present_generations(newest)}
        return Response({"project": document})

    @extend_schema(
        operation_id="pose_project_update", request=record_fields.ProjectChange, responses=answers.OneProject
    )
    def put(self, request: Request, project_id: str) -> Response:
        """Rename, describe, archive or reopen a project."""
        checked = record_fields.read(record_fields.ProjectChange, request.data)
        with transaction.atomic():
            project = orders.find_project(project_id, own_id(request), lock=True)
            project.name = checked.get("projectName", project.name)
            project.status = checked.get("status", project.status)
            if "description" in checked:
                project.description = checked["description"] or None
            project.save()
        return Response({"project": records.present_project(project)})

    @extend_schema(
        operation_id="pose_project_delete",
        responses={
            200: answers.Done,
            **problems(_400="PROJECT_HAS_ACTIVE_GENERATIONS: some of its work has not ended."),
        },
    )
    def delete(self, request: Request, project_id: str) -> Response:
        """Remove a project with its generations, poses and files."""
        project = orders.find_project(project_id, own_id(request))
        if not orders.delete_project(project):
            raise ApiError(400, "PROJECT_HAS_ACTIVE_GENERATIONS", "This project has generations that have not ended.")
        return Response({"success": True, "message": "Project deleted"})


# --- Avatars -------------------------------------------------------------------------------------


class AvatarsView(PoseView):
    @extend_schema(operation_id="avatars", responses=answers.Avatars)
    def get(self, request: Request) -> Response:
        """One's own avatars."""
        mine = Avatar.objects.filter(owner_id=own_id(request))
        return Response({"avatars": [records.present_avatar(avatar) for avatar in mine]})

    @extend_schema(operation_id="avatar_create", request=record_fields.NewAvatar, responses={201: answers.OneAvatar})
    def post(self, request: Request) -> Response:
        """Make an avatar: the person whom poses show."""
        checked = record_fields.read(record_fields.NewAvatar, request.data)
        avatar = Avatar(owner_id=own_id(request))
        _fill(avatar, checked)
        avatar.save()
        return Response({"avatar": records.present_avatar(avatar)}, status=201)


class AvatarView(PoseView):
    @extend_schema(operation_id="avatar", responses=answers.OneAvatar)
    def get(self, request: Request, avatar_id: str) -> Response:
        """One avatar."""
        return Response({"avatar": records.present_avatar(orders.find_avatar(avatar_id, own_id(request)))})

    @extend_schema(operation_id="avatar_update", request=record_fields.AvatarChange, responses=answers.OneAvatar)
    def put(self, request: Request, avatar_id: str) -> Response:
        """Change what is sent of an avatar."""
        checked = record_fields.read(record_fields.AvatarChange, request.data)
        with transaction.atomic():
            avatar = orders.find_avatar(avatar_id, own_id(request), lock=True)
            _fill(avatar, checked)
            avatar.save()
        return Response({"avatar": records.present_avatar(avatar)})

    @extend_schema(operation_id="avatar_delete", responses={200: answers.Done})
    def delete(self, request: Request, avatar_id: str) -> Response:
        """Remove an avatar; projects that used it keep their picture."""
        orders.find_avatar(avatar_id, own_id(request)).delete()
        return Response({"success": True, "message": "Avatar deleted"})


_AVATAR_COLUMNS = {
    "name": "name",
    "baseImageUrl": "base_image_url",
    "thumbnailUrl": "thumbnail_url",
    "sourceType": "source_type",
    "generationPrompt": "generation_prompt",
    "seedUsed": "seed_used",
}


def _fill(avatar: Avatar, checked: dict[str, Any]) -> None:
    """Take over what was sent; null empties a field."""
    for name, value in checked.items():
        if name in _AVATAR_COLUMNS:
            setattr(avatar, _AVATAR_COLUMNS[name], value if value is not None or name == "seedUsed" else "")
        elif name in records.ATTRIBUTES:
            avatar.attributes = {**avatar.attributes, name: value or None}
        elif name in records.PERSONA:
            avatar.persona = {**avatar.persona, records.PERSONA[name]: value or None}


# --- Wishes for poses ----------------------------------------------------------------------------


class WishesView(PoseView):
    @extend_schema(
        operation_id="pose_wishes",
        parameters=[*paging.parameters(), status_parameter(WishStatus.values)],
        responses=answers.Wishes,
    )
    def get(self, request: Request) -> Response:
        """The poses that one has wished for."""
        found = PoseWish.objects.filter(owner_id=own_id(request)).order_by("-created_at", "-pk")
        rows, pagination = paging.page(request).cut(of_status(found, request, WishStatus.values))
        return Response({"requests": [records.present_wish(row) for row in rows], "pagination": pagination})

    @extend_schema(operation_id="pose_wish_create", request=record_fields.NewWish, responses={201: answers.WishAnswer})
    def post(self, request: Request) -> Response:
        """Wish for a pose that the library lacks."""
        checked = record_fields.read(record_fields.NewWish, request.data)
        category = None
        if sent := checked.get("categoryId"):
            category = PoseCategory.objects.filter(pk=uuid_of(sent)).first()
            if category is None:
                raise unknown("categoryId", "No category has this id.")
        wish = PoseWish.objects.create(
            owner_id=own_id(request),
            pose_name=checked["poseName"],
            description=checked["description"],
            category=category,
            use_case=checked.get("useCase") or None,
            reference_image_url=checked.get("referenceImageUrl") or None,
        )
        answer = {"request": records.present_wish(wish), "message": "Thank you, we will look at it."}
        return Response(answer, status=201)
