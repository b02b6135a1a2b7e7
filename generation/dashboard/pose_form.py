"""The forms of the pose-generator door: fields for the door's own body, faults from the door's own check."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from config.api.errors import ApiError
from config.models import User
from generation import inputs, storage
from generation.dashboard.forms import faults_of, whole
from generation.doors.poses import chain, orders, plan, serializers
from generation.steps import File
from providers.spool import Spool, TooBig

DEFAULT_PROJECT = "My poses"
BACKGROUNDS = {
    "": ("As it comes", "The picture's own surroundings"),
    chain.AI_GENERATE: ("Drawn for it", "Say what it shows"),
    chain.SOLID_COLOR: ("One colour", "Clean edges on a plain ground"),
    chain.UPLOAD: ("A picture of yours", "PNG, JPEG or WebP"),
}
PEOPLE = {
    "gender": ("Gender", ("female", "male", "non-binary")),
    "ageRange": ("Age", ("child", "teenager", "young adult", "adult", "middle-aged", "elderly")),
    "ethnicity": ("Ethnicity", ()),
    "style": ("Style", ("casual", "formal", "sporty", "traditional", "streetwear")),
}
# Path of a fault in the contract's body -> field of this form
FIELDS = {
    "selectedPoseIds": "poses",
    "textPrompt": "text",
    "batchSize": "each",
    "variationCount": "many",
    "backgroundMode": "background",
    "backgroundPrompt": "background_prompt",
    "backgroundColor": "background_color",
    "backgroundImageUrl": "background_file",
    "exportFormats": "exports",
    "avatarId": "avatar",
    "projectId": "project",
}
# What lacks, in words for this page
MISSING = {
    "textPrompt": "Say who they are and what they do.",
    "backgroundMode": "Choose one of these.",
    "backgroundPrompt": "Say what is behind.",
    "backgroundColor": "Choose a colour.",
    "backgroundImageUrl": "Choose a picture.",
}


class BackgroundForm(forms.Form):
    """What lies behind a figure. A picture that was brought is kept at once, and named by its link from then on."""

    background = forms.CharField(required=False)
    background_prompt = forms.CharField(required=False)
    background_color = forms.CharField(required=False, initial="#f4f0ea")
    background_url = forms.CharField(required=False)
    background_file = forms.FileField(required=False, allow_empty_file=True)
    form_key = forms.UUIDField()

    owner: User
    base_url = ""

    @property
    def background_body(self) -> dict[str, Any]:
        given = self.data
        return {
            "backgroundMode": given.get("background") or None,
            "backgroundPrompt": given.get("background_prompt", ""),
            "backgroundColor": given.get("background_color", "").upper(),
            "backgroundImageUrl": given.get("background_url", ""),
        }

    def keep_file(self) -> None:
        """Keep the picture that came with the form as its owner's, and put its link into the form."""
        sent = self.cleaned_data.get("background_file")
        if not sent or self.data.get("background") != chain.UPLOAD:
            return
        try:
            asset = inputs.store(_checked(sent), self.owner.pk)
        except ApiError as refusal:
            self.add_error("background_file", refusal.message)
            return
        asset.save(force_insert=True)
        self.put(background_url=storage.link(asset.key, self.base_url))

    def put(self, **values: str) -> None:
        data = cast(QueryDict, self.data).copy()
        for name, value in values.items():
            data[name] = value
        self.data = data

    def again(self) -> None:
        """The same values and faults under a fresh key: what was refused may be sent once more."""
        self.put(form_key=str(uuid.uuid4()))

    def refuse(self, refusal: ValidationError | ApiError) -> None:
        """Show a refusal of the door's at the fields it speaks of."""
        if isinstance(refusal, ApiError):
            field = FIELDS.get(refusal.errors[0].field) if refusal.errors else None
            self.add_error(field if field in self.fields else None, refusal.message)
            return
        for path, text in faults_of(refusal.detail):
            place = path.partition(".")[0]
            field = FIELDS.get(place)
            is_missing = text.startswith(("Required", "This field is required"))
            self.add_error(field if field in self.fields else None, MISSING.get(place, text) if is_missing else text)


class ChangeForm(BackgroundForm):
    """Another background for a finished pose. `checked` is there once the form is valid."""

    checked: dict[str, Any]

    def clean(self) -> dict[str, Any]:
        self.keep_file()
        if not self.errors:
            try:
                self.checked = serializers.read_background(self.background_body)
            except (ValidationError, ApiError) as refusal:
                self.refuse(refusal)
        return self.cleaned_data


class PoseForm(BackgroundForm):
    """Poses to make. form_key: makes a double click one generation. `checked` is there once the form is valid."""

    type = forms.CharField(required=False, initial=plan.GALLERY)
    poses = forms.Field(required=False)
    text = forms.CharField(required=False)
    each = forms.CharField(required=False, initial="1")
    many = forms.CharField(required=False, initial="4")
    project = forms.CharField(required=False)
    project_name = forms.CharField(required=False, max_length=100)
    avatar = forms.CharField(required=False)
    avatar_name = forms.CharField(required=False, max_length=100)
    exports = forms.Field(required=False)

    checked: dict[str, Any]

    def clean(self) -> dict[str, Any]:
        self.keep_file()
        if self.errors:
            return self.cleaned_data
        try:
            self.checked = serializers.read_generate(self.body)
        except (ValidationError, ApiError) as refusal:
            self.refuse(refusal)
        return self.cleaned_data

    @property
    def chosen(self) -> list[str]:
        """Ids of poses, each once, in the order they were sent."""
        return list(dict.fromkeys(self._list("poses")))

    @property
    def wanted_exports(self) -> list[str]:
        return self._list("exports")

    def _list(self, name: str) -> list[str]:
        if self.is_bound:
            return cast(QueryDict, self.data).getlist(name)
        return list(self.get_initial_for_field(self.fields[name], name) or [])

    @property
    def body(self) -> dict[str, Any]:
        """The API's own body for these values; a project of the default name is found or made when it is sent."""
        given = self.data
        is_gallery = given.get("type") == plan.GALLERY
        body: dict[str, Any] = {
            "projectId": given.get("project") or DEFAULT_PROJECT,
            "generationType": given.get("type", ""),
            "textPrompt": given.get("text", ""),
            "useBackgroundChanger": bool(given.get("background")),
            "exportFormats": self.wanted_exports,
            **(self.background_body if given.get("background") else {}),
        }
        if given.get("avatar") not in (None, "", "new"):
            body["avatarId"] = given["avatar"]
        if is_gallery:
            return {**body, "selectedPoseIds": self.chosen, "batchSize": whole(given.get("each"))}
        return {**body, "variationCount": whole(given.get("many"))}

    @property
    def person(self) -> dict[str, str]:
        """What a newly described avatar is like."""
        return {name: value for name in PEOPLE if (value := self.data.get(name, "").strip()[:100])}


def fresh(kind: type[BackgroundForm] = PoseForm, **values: Any) -> Any:
    """An empty form, or one that begins with an earlier generation's values."""
    return kind(initial={"form_key": uuid.uuid4(), **values})


def earlier(generation_id: str, owner_id: UUID) -> dict[str, Any]:
    """The values of an earlier generation of one's own, to make it again or to change it; none of another's."""
    try:
        found = orders.find_generation(generation_id, owner_id)
    except ApiError:
        return {}
    asked, count = found.params, found.items.count()
    chosen = [str(pk) for pk in found.pose_selections.order_by("pk").values_list("pose", flat=True)]
    return {
        "type": asked["generationType"],
        "poses": chosen,
        "text": asked["textPrompt"] or "",
        "each": asked["batchSize"],
        "many": count if asked["generationType"] == plan.TEXT else PoseForm.base_fields["many"].initial,
        "project": found.group,
        "avatar": asked["avatarId"] or "",
        "background": asked["backgroundMode"] or "",
        "background_prompt": asked["backgroundPrompt"] or "",
        "background_color": asked["backgroundColor"] or "#f4f0ea",
        "background_url": asked["backgroundImageUrl"] or "",
        "exports": asked["exportFormats"],
    }


def _checked(sent: UploadedFile) -> File:
    """Look at a picture by its bytes. Raises ApiError."""
    most: int = settings.MAX_IMAGE_BYTES
    with closing(Spool(most)) as spool:
        try:
            for chunk in sent.chunks():
                spool.write(chunk)
        except TooBig:
            raise inputs.too_large("background_file", "A picture", most) from None
        return inputs.decoded(spool, "background_file")
