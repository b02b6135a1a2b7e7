"""The JSON that the pose-generator door answers about what lies beside generations, for OpenAPI: library, projects,
avatars, wishes, figures and health.

A test holds it and what is answered together.
"""

from __future__ import annotations

from rest_framework import serializers

from generation.doors.poses.answers import Answer, Generation, Pagination, Project, document, wholes
from generation.doors.poses.records import ATTRIBUTES, PERSONA
from generation.models.library import AvatarSource, Difficulty, PoseSource, Suitability, WishStatus

HEALTH = ["healthy", "degraded", "unhealthy"]
AVATAR_SOURCES, POSE_SOURCES, WISH_STATUSES = AvatarSource.values, PoseSource.values, WishStatus.values


class Done(Answer):
    success = serializers.BooleanField()
    message = serializers.CharField()


# --- Library -------------------------------------------------------------------------------------


class Category(Answer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    displayName = serializers.CharField()
    slug = serializers.CharField()
    description = serializers.CharField()
    parentId = serializers.UUIDField(allow_null=True)
    icon = serializers.CharField()
    displayOrder = serializers.IntegerField()
    color = serializers.CharField()
    poseCount = serializers.IntegerField()
    isActive = serializers.BooleanField()
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


class CategoryWithChildren(Category):
    children = serializers.ListField(child=Category())


class Categories(Answer):
    categories = CategoryWithChildren(many=True)
    totalCategories = serializers.IntegerField(help_text="Number of roots")


class LibraryPose(Answer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    categoryId = serializers.UUIDField()
    category = Category()
    previewImageUrl = serializers.URLField(allow_null=True)
    referenceImageUrl = serializers.URLField(allow_null=True)
    controlnetImageUrl = serializers.URLField(allow_null=True)
    thumbnailUrl = serializers.URLField(allow_null=True)
    difficulty = serializers.ChoiceField(Difficulty.values)
    genderSuitability = serializers.ChoiceField(Suitability.values)
    tags = serializers.ListField(child=serializers.CharField())
    sourceType = serializers.ChoiceField(POSE_SOURCES)
    sourceCredit = serializers.CharField(allow_null=True)
    licenseType = serializers.CharField()
    usageCount = serializers.IntegerField()
    favoriteCount = serializers.IntegerField()
    ratingAvg = serializers.FloatField()
    popularityScore = serializers.IntegerField()
    isPublic = serializers.BooleanField()
    isFeatured = serializers.BooleanField()
    isPremium = serializers.BooleanField()
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


Library = document("Library", poses=LibraryPose(many=True), pagination=Pagination())
OneLibraryPose = document("OneLibraryPose", pose=LibraryPose())


# --- Projects, avatars, wishes -------------------------------------------------------------------


Projects = document("Projects", projects=Project(many=True), pagination=Pagination())
OneProject = document("OneProject", project=Project())


class ProjectWithGenerations(Project):
    generations = Generation(many=True)


OneProjectWithGenerations = document("OneProjectWithGenerations", project=ProjectWithGenerations())


class Avatar(Answer):
    id = serializers.UUIDField()
    userId = serializers.UUIDField()
    name = serializers.CharField()
    baseImageUrl = serializers.CharField(allow_null=True)
    thumbnailUrl = serializers.CharField(allow_null=True)
    sourceType = serializers.ChoiceField(AVATAR_SOURCES)
    generationPrompt = serializers.CharField(allow_null=True)
    seedUsed = serializers.IntegerField(allow_null=True)
    usageCount = serializers.IntegerField()
    lastUsedAt = serializers.DateTimeField(allow_null=True)
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()

    def get_fields(self) -> dict[str, serializers.Field]:
        texts: dict[str, serializers.Field] = {
            name: serializers.CharField(allow_null=True) for name in (*ATTRIBUTES, *PERSONA)
        }
        return {**super().get_fields(), **texts}


Avatars = document("Avatars", avatars=Avatar(many=True))
OneAvatar = document("OneAvatar", avatar=Avatar())


class Wish(Answer):
    id = serializers.UUIDField()
    userId = serializers.UUIDField()
    poseName = serializers.CharField()
    description = serializers.CharField()
    referenceImageUrl = serializers.CharField(allow_null=True)
    categoryId = serializers.UUIDField(allow_null=True)
    useCase = serializers.CharField(allow_null=True)
    votesCount = serializers.IntegerField()
    status = serializers.ChoiceField(WISH_STATUSES)
    adminNotes = serializers.CharField(allow_null=True)
    completedPoseId = serializers.UUIDField(allow_null=True)
    createdAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField()


Wishes = document("Wishes", requests=Wish(many=True), pagination=Pagination())
WishAnswer = document("WishAnswer", request=Wish(), message=serializers.CharField())


# --- Figures and staff ---------------------------------------------------------------------------


class CreditUsage(Answer):
    totalSpent = serializers.IntegerField(help_text="Net of refunds")
    last30Days = serializers.IntegerField()
    averagePerGeneration = serializers.FloatField()


class UsedPose(Answer):
    poseId = serializers.UUIDField()
    poseName = serializers.CharField()
    usageCount = serializers.IntegerField()
    previewUrl = serializers.URLField(allow_null=True)


class PoseStats(Answer):
    totalPosesGenerated = serializers.IntegerField()
    totalProjects = serializers.IntegerField()
    recentGenerations = serializers.IntegerField(help_text="Of the last seven days")
    creditUsage = CreditUsage()
    topUsedPoses = UsedPose(many=True)


class Unlimited(Answer):
    active = serializers.BooleanField()
    dailyQuota = serializers.IntegerField()
    used = serializers.IntegerField()
    remaining = serializers.IntegerField()
    resetAt = serializers.DateTimeField(allow_null=True)
    expiresAt = serializers.DateTimeField(allow_null=True)


PoseCredits = document("PoseCredits", balance=serializers.IntegerField(), unlimited=Unlimited())


PoseMetrics = document(
    "PoseMetrics",
    **wholes("totalGenerations", "activeGenerations", "completedGenerations", "failedGenerations"),
    avgGenerationTime=serializers.FloatField(help_text="Seconds"),
    avgPosesPerGeneration=serializers.FloatField(),
    successRate=serializers.FloatField(help_text="Percent"),
    **wholes("queueDepth", "queueWaiting", "queueActive", "queueFailed"),
    **wholes("totalPosesGenerated", "totalCreditsSpent", "totalCreditsRefunded"),
    startTime=serializers.DateTimeField(),
    endTime=serializers.DateTimeField(),
)


class TopUser(Answer):
    userId = serializers.UUIDField()
    userName = serializers.CharField()
    userEmail = serializers.CharField(allow_null=True)
    generationCount = serializers.IntegerField()
    totalPoses = serializers.IntegerField()
    successRate = serializers.FloatField()


TopUsers = document("TopUsers", users=TopUser(many=True))


class PopularPose(Answer):
    poseId = serializers.UUIDField()
    name = serializers.CharField()
    usageCount = serializers.IntegerField()
    category = serializers.CharField()


PopularPoses = document("PopularPoses", poses=PopularPose(many=True))


class ErrorCount(Answer):
    errorType = serializers.CharField()
    count = serializers.IntegerField()
    lastOccurred = serializers.DateTimeField()


Errors = document("Errors", errors=ErrorCount(many=True))


Recovery = document(
    "Recovery",
    **wholes("stalledGenerations", "queuedGenerations", "processingGenerations"),
    lastRecoveryRun=serializers.DateTimeField(allow_null=True),
)


Recovered = document("Recovered", success=serializers.BooleanField(), **wholes("recovered", "failed"))
OneWish = document("OneWish", request=Wish())


WishList = document("WishList", requests=Wish(many=True))
WishStats = document("WishStats", **wholes("total", *WISH_STATUSES))


class HealthCheck(Answer):
    status = serializers.CharField()
    counts = serializers.DictField(child=serializers.IntegerField(), required=False)


class HealthChecks(Answer):
    database = HealthCheck()
    redis = HealthCheck()
    queue = HealthCheck()
    controlNet = HealthCheck()


class PoseHealth(Answer):
    status = serializers.ChoiceField(HEALTH)
    timestamp = serializers.DateTimeField()
    app = serializers.CharField()
    version = serializers.CharField()
    checks = HealthChecks()
    phase = serializers.CharField()
