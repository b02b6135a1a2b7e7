"""The pose library and what customers keep beside it: categories, poses, avatars, projects, wishes for poses."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from generation.models.request import Request


class Kept(models.Model):
    """A row with an opaque id and its times."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class PoseCategory(Kept):
    """Two levels: roots, and children that hold the poses."""

    name = models.CharField(max_length=60, unique=True)
    display_name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=60, unique=True)
    description = models.CharField(max_length=300, blank=True, default="")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    icon = models.CharField(max_length=40, blank=True, default="")
    display_order = models.PositiveSmallIntegerField(default=0)
    color = models.CharField(max_length=9, blank=True, default="")
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["display_order", "name"]
        verbose_name_plural = "pose categories"

    def __str__(self) -> str:
        return self.display_name


class Difficulty(models.TextChoices):
    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"


class Suitability(models.TextChoices):
    MALE = "male"
    FEMALE = "female"
    UNISEX = "unisex"


class PoseSource(models.TextChoices):
    CURATED = "curated"
    USER_CONTRIBUTED = "user_contributed"
    AI_GENERATED = "ai_generated"


class LibraryPose(Kept):
    """One pose: 18 keypoints in COCO order (see `generation.posemap`) and the pictures drawn from them.

    map_key: the control picture; preview_key: what people choose by; both are storage keys.
    """

    category = models.ForeignKey(PoseCategory, on_delete=models.PROTECT, related_name="poses")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True, default="")
    keypoints = models.JSONField(help_text="18 points, [x, y] in shares of the frame or null")
    map_key = models.CharField(max_length=300, blank=True, default="")
    preview_key = models.CharField(max_length=300, blank=True, default="")
    thumbnail_key = models.CharField(max_length=300, blank=True, default="")
    difficulty = models.CharField(max_length=12, choices=Difficulty.choices, default=Difficulty.BEGINNER)
    gender_suitability = models.CharField(max_length=6, choices=Suitability.choices, default=Suitability.UNISEX)
    tags = models.JSONField(default=list, blank=True)
    source_type = models.CharField(max_length=16, choices=PoseSource.choices, default=PoseSource.CURATED)
    source_credit = models.CharField(max_length=200, blank=True, default="")
    license_type = models.CharField(max_length=40, default="platform")
    usage_count = models.PositiveIntegerField(default=0)
    favorite_count = models.PositiveIntegerField(default=0)
    rating_avg = models.DecimalField(max_digits=3, decimal_places=2, default=0)
    is_public = models.BooleanField(default=True)
    is_featured = models.BooleanField(default=False)
    is_premium = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["category", "name"], name="one_pose_of_a_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def popularity(self) -> int:
        return self.usage_count + self.favorite_count


class AvatarSource(models.TextChoices):
    UPLOADED = "uploaded"
    TEXT_TO_IMAGE = "text_to_image"
    FROM_PRESET = "from_preset"
    FROM_REFERENCE = "from_reference"


class Avatar(Kept):
    """The person whom a customer's poses show. attributes: gender, ageRange, ethnicity, bodyType, hairStyle …"""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    base_image_url = models.CharField(max_length=2000, blank=True, default="")
    thumbnail_url = models.CharField(max_length=2000, blank=True, default="")
    attributes = models.JSONField(default=dict, blank=True)
    persona = models.JSONField(default=dict, blank=True, help_text="name, age, personality, background")
    source_type = models.CharField(max_length=16, choices=AvatarSource.choices, default=AvatarSource.UPLOADED)
    generation_prompt = models.TextField(blank=True, default="")
    seed_used = models.PositiveIntegerField(null=True, blank=True)
    usage_count = models.PositiveIntegerField(default=0)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-updated_at"]
        indexes = [models.Index(fields=["owner", "-updated_at"], name="avatar_of_owner")]

    def __str__(self) -> str:
        return self.name


class ProjectStatus(models.TextChoices):
    ACTIVE = "active"
    ARCHIVED = "archived"


class PoseProject(Kept):
    """What a customer groups generations by. A request of it carries the project's id as its group."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True, null=True)
    avatar_image_url = models.CharField(max_length=2000, blank=True, null=True)
    avatar_source = models.CharField(max_length=16)
    avatar = models.ForeignKey(Avatar, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    status = models.CharField(max_length=10, choices=ProjectStatus.choices, default=ProjectStatus.ACTIVE)
    # Its requests stay, because the ledger speaks of them; their files go.
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-updated_at"]
        indexes = [
            models.Index(fields=["owner", "-updated_at"], name="project_of_owner", condition=Q(deleted_at__isnull=True))
        ]

    def __str__(self) -> str:
        return self.name


class PoseSelection(models.Model):
    """Which library poses a generation was asked for."""

    id = models.BigAutoField(primary_key=True)
    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="pose_selections")
    pose = models.ForeignKey(LibraryPose, on_delete=models.PROTECT, related_name="selections")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "pose"], name="a_pose_is_selected_once")]

    def __str__(self) -> str:
        return f"{self.pose_id} for {self.request_id}"


class WishStatus(models.TextChoices):
    PENDING = "pending"
    APPROVED = "approved"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    REJECTED = "rejected"


class PoseWish(Kept):
    """A pose that a customer would like to see in the library; staff answer it."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    pose_name = models.CharField(max_length=100)
    description = models.CharField(max_length=1000)
    reference_image_url = models.CharField(max_length=2000, blank=True, null=True)
    category = models.ForeignKey(PoseCategory, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    use_case = models.CharField(max_length=200, blank=True, null=True)
    votes_count = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=12, choices=WishStatus.choices, default=WishStatus.PENDING)
    admin_notes = models.TextField(blank=True, null=True)
    completed_pose = models.ForeignKey(LibraryPose, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "pose wishes"
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="completed") | Q(completed_pose__isnull=False), name="a_completed_wish_has_its_pose"
            )
        ]
        indexes = [models.Index(fields=["owner", "-created_at"], name="wish_of_owner")]

    def __str__(self) -> str:
        return self.pose_name
