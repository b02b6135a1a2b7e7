"""The JSON that the pose-generator door answers about generations, for OpenAPI. `present` builds it as plain dicts.

A test holds the two together: every answer it sees must have exactly these fields.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from generation.doors.poses import chain, plan
from generation.models.library import ProjectStatus

STATUSES = ["pending", "processing", "completed", "failed"]
POSE_STATUSES = ["completed", "failed", "processing"]
PROJECT_STATUSES = ProjectStatus.values


class Answer(serializers.Serializer[Any]):
    pass


def document(name: str, **fields: serializers.Field) -> type[Answer]:
    """An answer of a few fields that nothing else is made of."""
    return type(name, (Answer,), fields)


def wholes(*names: str) -> dict[str, serializers.Field]:
    """Whole numbers that need no word of explanation."""
    return {name: serializers.IntegerField() for name in names}


Pagination = document(
    "Pagination", **wholes("page", "limit", "total", "totalPages"), hasMore=serializers.BooleanField()
)


# --- Generations ---------------------------------------------------------------------------------


class PosesSubmitted(Answer):
    generationId = serializers.UUIDField()
    status = serializers.ChoiceField(STATUSES)
    totalPosesExpected = serializers.IntegerField()
    creditCharged = serializers.IntegerField()
    estimatedCompletionTime = serializers.IntegerField(help_text="Seconds")
    message = serializers.CharField()


class Generation(Answer):
    id = serializers.UUIDField()
    projectId = serializers.CharField()
    userId = serializers.UUIDField()
    generationType = serializers.ChoiceField([plan.GALLERY, plan.TEXT])
    textPrompt = serializers.CharField(allow_null=True)
    generatedPoseStructure = serializers.JSONField(allow_null=True)
    avatarId = serializers.CharField(allow_null=True)
    avatarAttributes = serializers.CharField(allow_null=True, help_text="JSON text: gender, ageRange, ethnicity, style")
    batchSize = serializers.IntegerField()
    totalExpectedPoses = serializers.IntegerField()
    useBackgroundChanger = serializers.BooleanField()
    backgroundMode = serializers.ChoiceField(list(chain.MODES), allow_null=True)
    backgroundPrompt = serializers.CharField(allow_null=True)
    backgroundColor = serializers.CharField(allow_null=True)
    backgroundImageUrl = serializers.CharField(allow_null=True)
    exportFormats = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(STATUSES)
    progress = serializers.IntegerField(help_text="Percent of poses that are finished")
    posesCompleted = serializers.IntegerField()
    posesFailed = serializers.IntegerField()
    creditCharged = serializers.IntegerField()
    creditRefunded = serializers.IntegerField()
    queueJobId = serializers.CharField(allow_null=True)
    errorMessage = serializers.CharField(allow_null=True)
    createdAt = serializers.DateTimeField()
    startedAt = serializers.DateTimeField(allow_null=True)
    completedAt = serializers.DateTimeField(allow_null=True)
    avgGenerationTime = serializers.FloatField(allow_null=True, help_text="Seconds a pose")
    totalProcessingTime = serializers.FloatField(allow_null=True, help_text="Seconds")
    recoveryAttempts = serializers.IntegerField()
    lastRecoveryAt = serializers.DateTimeField(allow_null=True)


class PoseMetadata(Answer):
    textOnly = serializers.BooleanField(help_text="Made from words: there was no map for it")
    enlargedExports = serializers.ListField(
        child=serializers.CharField(), help_text="Exports larger than the picture, which was scaled up for them"
    )


class Pose(Answer):
    id = serializers.UUIDField()
    generationId = serializers.UUIDField()
    poseLibraryId = serializers.CharField(allow_null=True)
    outputImageUrl = serializers.URLField(allow_null=True)
    thumbnailUrl = serializers.URLField(allow_null=True)
    originalImageUrl = serializers.URLField(allow_null=True)
    exportFormats = serializers.DictField(child=serializers.URLField())
    backgroundChanged = serializers.BooleanField()
    backgroundPrompt = serializers.CharField(allow_null=True)
    promptUsed = serializers.CharField()
    seedUsed = serializers.IntegerField()
    controlnetWeight = serializers.FloatField(help_text="Of the pose's map, where there is one: see `metadata`")
    metadata = PoseMetadata()
    generationTime = serializers.FloatField(allow_null=True, help_text="Seconds")
    aiConfidenceScore = serializers.FloatField(allow_null=True)
    isFavorite = serializers.BooleanField()
    downloadCount = serializers.IntegerField()
    status = serializers.ChoiceField(POSE_STATUSES)
    errorMessage = serializers.CharField(allow_null=True)
    variationKey = serializers.CharField()
    createdAt = serializers.DateTimeField()


class Project(Answer):
    id = serializers.UUIDField()
    userId = serializers.UUIDField()
    projectName = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    avatarImageUrl = serializers.CharField(allow_null=True)
    avatarSource = serializers.CharField()
    avatarId = serializers.CharField(allow_null=True)
    totalGenerations = serializers.IntegerField()
    totalPosesGenerated = serializers.IntegerField()
    status = serializers.ChoiceField(PROJECT_STATUSES)
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class GenerationWithPoses(Generation):
    poses = Pose(many=True)
    project = Project()


PoseProgress = document(
    "PoseProgress",
    **wholes("percentage", "posesCompleted", "posesFailed", "posesTotal"),
    currentStatus=serializers.ChoiceField(STATUSES),
    estimatedTimeRemaining=serializers.IntegerField(allow_null=True, help_text="Seconds"),
)


ResultSummary = document(
    "ResultSummary",
    id=serializers.UUIDField(),
    status=serializers.ChoiceField(STATUSES),
    **wholes("totalPoses", "successCount", "failedCount", "creditCharged", "creditRefunded"),
)


OneGeneration = document("OneGeneration", generation=GenerationWithPoses(), progress=PoseProgress())
Generations = document("Generations", generations=Generation(many=True), pagination=Pagination())
Poses = document("Poses", poses=Pose(many=True))
PoseResults = document("PoseResults", results=Pose(many=True), generation=ResultSummary())


class ChangeSubmitted(Answer):
    poseId = serializers.UUIDField()
    outputImageUrl = serializers.URLField(help_text="As it is until the change is done")
    creditCharged = serializers.IntegerField()
    creditBalance = serializers.IntegerField()


class MadeExport(Answer):
    success = serializers.BooleanField()
    exportUrl = serializers.URLField()
    format = serializers.CharField()
