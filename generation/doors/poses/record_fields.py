"""The JSON that the pose-generator door takes for projects, avatars and wishes for poses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from config.api.fields import Choice, Text, Whole
from generation.doors.poses.records import ATTRIBUTES, PERSONA
from generation.doors.poses.serializers import LONGEST_ID, Wanted, WebAddress, required
from generation.models.library import AvatarSource, Difficulty, ProjectStatus, Suitability

SOURCES = ["AVATAR_CREATOR", "UPLOAD"]


class _Body(serializers.Serializer[Any]):
    default_error_messages = {"invalid": "Must be an object."}


class LibraryQuery(_Body):
    category = Text(required=False, allow_blank=True, help_text="Id, slug or name; a parent includes its children")
    search = Text(
        required=False, allow_blank=True, min_length=2, max_length=100, help_text="Part of a name, or a whole tag"
    )
    difficulty = Choice(Difficulty.values, required=False)
    genderSuitability = Choice(Suitability.values, required=False)
    featured = Choice(["true", "false"], required=False)


class NewProject(Wanted):
    projectName = Text(min_length=3, max_length=100)
    description = Text(required=False, allow_null=True, allow_blank=True, max_length=500)
    avatarImageUrl = WebAddress()
    avatarSource = Choice(SOURCES)
    avatarId = Text(required=False, allow_null=True, allow_blank=True, max_length=LONGEST_ID)

    def missing(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        if sent.get("avatarSource") == "AVATAR_CREATOR" and "avatarId" not in sent:
            return {"avatarId": [required("Required with an avatar of the creator.")]}
        return {}


class ProjectChange(_Body):
    projectName = Text(required=False, min_length=3, max_length=100)
    description = Text(required=False, allow_null=True, allow_blank=True, max_length=500)
    status = Choice(ProjectStatus.values, required=False)


class AvatarChange(_Body):
    name = Text(required=False, min_length=1, max_length=100)
    baseImageUrl = WebAddress(required=False)
    thumbnailUrl = WebAddress(required=False, allow_null=True, allow_blank=True)
    sourceType = Choice(AvatarSource.values, required=False)
    generationPrompt = Text(required=False, allow_null=True, allow_blank=True, max_length=2000)
    seedUsed = Whole(0, 2**31 - 1, required=False, allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        texts = {name: _optional(100) for name in ATTRIBUTES} | {name: _optional(1000) for name in PERSONA}
        return {**super().get_fields(), **texts}


class NewAvatar(AvatarChange):
    name = Text(min_length=1, max_length=100)
    baseImageUrl = WebAddress()


def _optional(longest: int) -> Text:
    return Text(required=False, allow_null=True, allow_blank=True, max_length=longest)


class NewWish(_Body):
    poseName = Text(min_length=3, max_length=100)
    description = Text(min_length=10, max_length=1000)
    categoryId = Text(required=False, allow_null=True, allow_blank=True, max_length=LONGEST_ID)
    useCase = Text(required=False, allow_null=True, allow_blank=True, max_length=200)
    referenceImageUrl = WebAddress(required=False, allow_null=True, allow_blank=True)


class StaffNotes(_Body):
    adminNotes = Text(max_length=2000)


class WishVerdict(_Body):
    adminNotes = Text(required=False, allow_null=True, allow_blank=True, max_length=2000)


class WishCompleted(WishVerdict):
    completedPoseId = Text(max_length=LONGEST_ID)


def read(fields: type[serializers.Serializer[Any]], body: Any) -> dict[str, Any]:
    """Check a body. Raises ValidationError with every fault."""
    checked: dict[str, Any] = fields().run_validation(body)
    return checked
