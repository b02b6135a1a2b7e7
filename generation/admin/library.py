"""The pose library for staff: poses and categories to look after, avatars to read, wishes to answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from django import forms
from django.contrib import admin
from django.forms.models import ModelChoiceIterator
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from config.staff import Choice, Line, Order, Outcome, ReadOnlyAdmin, ReasonForm, Verb, VerbAdmin, note
from generation import storage
from generation.doors.poses import wishes
from generation.models import Avatar, LibraryPose, PoseCategory, PoseWish
from generation.models.library import WishStatus

ANSWER = "generation.change_posewish"
NEWEST = 10


class CaredFor(ReadOnlyAdmin):
    """Rows that come with the house: staff set what is about showing them; none is added or removed here."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        told = {name: f"{form.initial.get(name)} → {form.cleaned_data[name]}"[:300] for name in form.changed_data}
        note(request, "set", f"{self.opts.model_name}:{obj.pk}", **told)


class Words(forms.CharField):
    """A list of words, written with commas between them."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        words = value if isinstance(value, list) else (value or "").split(",")
        return [word for word in (str(one).strip() for one in words) if word]

    def run_validators(self, value: Any) -> None:
        super().run_validators(self.prepare_value(value))


class PoseForm(forms.ModelForm):
    tags = Words(required=False, max_length=500, widget=Line, help_text="Words, with commas between them.")


@admin.register(LibraryPose)
class LibraryPoseAdmin(CaredFor):
    form = PoseForm
    empty_words = "manage.py load_poses brings the library along."
    list_display = (
        *("picture_small", "name", "category", "difficulty", "gender_suitability", "usage_count", "favorite_count"),
        *("is_public", "is_featured", "is_premium"),
    )
    list_display_links = ("picture_small", "name")
    list_filter = ("category", "difficulty", "gender_suitability", "is_public", "is_featured", "is_premium")
    list_select_related = ("category",)
    search_fields = ("name",)
    search_help_text = "A part of a pose's name"
    ordering = ("name",)
    fields = (
        "pictures",
        ("name", "category"),
        "description",
        ("difficulty", "gender_suitability"),
        "tags",
        ("is_public", "is_featured", "is_premium"),
        ("usage_count", "favorite_count", "rating_avg"),
        ("source_type", "source_credit", "license_type"),
    )
    readonly_fields = (
        *("pictures", "name", "category", "usage_count", "favorite_count", "rating_avg"),
        *("source_type", "source_credit", "license_type"),
    )

    @display(description="Pose")
    def picture_small(self, row: LibraryPose) -> SafeString | str:
        return _image(row.thumbnail_key or row.preview_key, "console-thumbnail", row.name)

    @display(description="Pictures")
    def pictures(self, row: LibraryPose) -> SafeString:
        return format_html(
            '<span class="console-line">{}{}</span>',
            _image(row.preview_key, "console-pose", f"{row.name}, as people see it"),
            _image(row.map_key, "console-pose", f"{row.name}, as providers see it"),
        )


def _image(key: str, css_class: str, words: str) -> SafeString | str:
    if not key:
        return "–"
    return format_html('<img src="{}" class="{}" alt="{}" loading="lazy">', storage.link(key, "/"), css_class, words)


@admin.register(PoseCategory)
class PoseCategoryAdmin(CaredFor):
    empty_words = "manage.py load_poses brings the library along."
    list_display = ("display_name", "name", "parent", "display_order", "is_active")
    list_filter = ("is_active",)
    list_select_related = ("parent",)
    ordering = ("display_order", "name")
    fields = (("name", "parent"), "display_name", "description", ("icon", "color"), ("display_order", "is_active"))
    readonly_fields = ("name", "parent")


@admin.register(Avatar)
class AvatarAdmin(ReadOnlyAdmin):
    """Customers' own. Addresses of pictures are shown as text: they may lie anywhere, and nothing is fetched."""

    list_display = ("name", "owner", "source_type", "usage_count", "last_used_at", "updated_at")
    list_filter = ("source_type",)
    list_select_related = ("owner",)
    search_fields = ("=owner__username", "=name")
    search_help_text = "A customer's or an avatar's name, in full"
    ordering = ("-updated_at",)
    fields = (
        *("owner", "name", "source_type", "attributes", "persona", "generation_prompt", "seed_used"),
        *("picture_at", "thumbnail_at", "usage_count", "last_used_at", "created_at", "updated_at"),
    )
    readonly_fields = ("picture_at", "thumbnail_at")

    @display(description="Picture at")
    def picture_at(self, row: Avatar) -> str:
        return row.base_image_url or "–"

    @display(description="Thumbnail at")
    def thumbnail_at(self, row: Avatar) -> str:
        return row.thumbnail_url or "–"


# --- Wishes ----------------------------------------------------------------------------------------


class NotesForm(ReasonForm):
    """The reason is what who wished reads."""

    read_by = "Whoever wished for it reads this."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = "Notes"


class _NewestFirst(ModelChoiceIterator):
    """What a wish came to has mostly just been added: the newest stand above all others, which go by category."""

    def __iter__(self) -> Iterator[Any]:
        poses = list(self.queryset.select_related("category").order_by("category__display_order", "category", "name"))
        yield "", "Choose a pose"
        yield "Added last", [self.choice(pose) for pose in sorted(poses, key=_age)[:NEWEST]]
        for category, among in groupby(poses, key=lambda pose: pose.category):
            yield category.display_name, [self.choice(pose) for pose in among]


def _age(pose: LibraryPose) -> float:
    return -pose.created_at.timestamp()


class PoseChoice(forms.ModelChoiceField):
    iterator = _NewestFirst


class CompleteForm(NotesForm):
    pose = PoseChoice(
        LibraryPose.objects.filter(is_public=True),
        widget=Choice,
        help_text="What came of it; customers have to be able to see it",
    )
    field_order = ("pose", "reason")

    def clean_pose(self) -> str:
        return str(self.cleaned_data["pose"].pk)


def _answer(status: str) -> Any:
    def answer(wish: PoseWish, order: Order) -> Outcome:
        found = wishes.locked(wish.pk)
        if found is None or found.status not in wishes.OPEN:
            return Outcome(missed=1)
        pose = LibraryPose.objects.get(pk=order.values["pose"]) if "pose" in order.values else None
        wishes.answer(found, status, notes=order.reason, pose=pose)
        return Outcome(done=1)

    return answer


def _is_open(wish: PoseWish) -> bool:
    return wish.status in wishes.OPEN


@admin.register(PoseWish)
class PoseWishAdmin(VerbAdmin):
    empty_words = "When a customer wishes for a pose, it waits here for an answer."
    verbs = (
        Verb(
            *("approve", "Approve", "thumb_up", "Say that this pose will be made?", ANSWER),
            _answer(WishStatus.APPROVED),
            *("approved", "was answered before"),
            form=NotesForm,
            applies=lambda wish: wish.status == WishStatus.PENDING,
        ),
        Verb(
            *("begin", "Begin", "brush", "Say that somebody is at it?", ANSWER),
            _answer(WishStatus.IN_PROGRESS),
            *("begun", "was answered before"),
            form=NotesForm,
            applies=lambda wish: wish.status in (WishStatus.PENDING, WishStatus.APPROVED),
        ),
        Verb(
            *("complete", "Complete", "done_all", "Say which pose of the library came of it?", ANSWER),
            _answer(WishStatus.COMPLETED),
            *("completed", "was answered before"),
            form=CompleteForm,
            applies=_is_open,
            is_for_many=False,
        ),
        Verb(
            *("reject", "Reject", "thumb_down", "Say no, and why?", ANSWER),
            _answer(WishStatus.REJECTED),
            *("rejected", "was answered before"),
            form=NotesForm,
            applies=_is_open,
            is_dangerous=True,
        ),
    )
    list_display = ("pose_name", "state", "owner", "category", "votes_count", "created_at")
    list_filter = ("status", "category")
    list_select_related = ("owner", "category")
    search_fields = ("pose_name", "=owner__username")
    search_help_text = "A part of a wish, or a customer's name in full"
    ordering = ("-created_at",)
    fields = (
        *("owner", "pose_name", "state", "description", "use_case", "category", "reference", "votes_count"),
        *("admin_notes", "completed_pose", "created_at", "updated_at"),
    )
    readonly_fields = ("state", "reference")

    @display(
        description="State",
        label={
            "pending": "warning",
            "approved": "info",
            "in progress": "info",
            "completed": "success",
            "rejected": "danger",
        },
    )
    def state(self, row: PoseWish) -> str:
        return row.status.replace("_", " ")

    @display(description="Reference picture at")
    def reference(self, row: PoseWish) -> str:
        """As text: a stranger's link is not for staff to click unawares."""
        return row.reference_image_url or "–"
