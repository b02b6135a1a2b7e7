"""The JSON that the pose-generator door takes for generations, checked field by field. What it answers is in `answers`.

Every fault is found at once. Null and empty text count as absent. What needs the database (poses, avatar, project)
is looked up by `orders`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework import serializers

from config.api.errors import ApiError
from config.api.fields import Choice, Flag, Text, Whole
from generation import exports
from generation.doors.poses import chain, plan, words

MOST_EXPORTS = 10
LONGEST_ID = 64
LONGEST_URL = 2000
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


class WebAddress(Text):
    """An http or https link."""

    default_error_messages = {"not_web": "Must be an http or https link."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST_URL, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        link = super().to_internal_value(data)
        if not re.fullmatch(r"https?://[^\s/?#]+\S*", link, re.IGNORECASE):
            self.fail("not_web")
        return link


class Colour(Text):
    default_error_messages = {"not_colour": "Must be a colour as in #1A2B3C."}

    def to_internal_value(self, data: Any) -> str:
        colour = super().to_internal_value(data)
        if not _COLOUR.fullmatch(colour):
            self.fail("not_colour")
        return colour


class ExportName(Text):
    default_error_messages = {"unknown": f"Must be one of: {', '.join(exports.names())}."}

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if exports.preset_of(name) is None:
            self.fail("unknown")
        return name


class Names(serializers.ListField):
    """Each name counts once."""

    default_error_messages = {
        "not_a_list": "Must be a list.",
        "max_length": "Must hold at most {max_length} entries.",
    }

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


FIELD_OF_MODE = {
    chain.AI_GENERATE: "backgroundPrompt",
    chain.SOLID_COLOR: "backgroundColor",
    chain.UPLOAD: "backgroundImageUrl",
}


class Wanted(serializers.Serializer[Any]):
    """A body whose fields may call for others."""

    default_error_messages = {"invalid": "Must be an object."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Check each field, and what those that are right call for: all faults are told together."""
        if not isinstance(data, Mapping):
            self.fail("invalid")
        checked: dict[str, Any] = {}
        faults: dict[str, Any] = {}
        for name, field in self.fields.items():
            try:
                value = field.run_validation(field.get_value(data))
            except serializers.ValidationError as error:
                faults[name] = error.detail
            except serializers.SkipField:
                continue
            else:
                if value not in (None, ""):
                    checked[name] = value
        if faults := {**self.missing(checked), **faults}:
            raise serializers.ValidationError(faults)
        return checked

    def missing(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that those sent call for, each with its fault."""
        return {}


class BackgroundFields(Wanted):
    """The fields of a new background; each mode needs its own one."""

    backgroundMode = Choice(list(chain.MODES), required=False, allow_null=True)
    backgroundPrompt = Text(required=False, allow_null=True, allow_blank=True, max_length=300)
    backgroundColor = Colour(required=False, allow_null=True, allow_blank=True, help_text="As in #1A2B3C")
    backgroundImageUrl = WebAddress(required=False, allow_null=True, allow_blank=True)

    def missing(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        if "backgroundMode" not in sent:
            return {"backgroundMode": [required("This field is required for a new background.")]}
        field = FIELD_OF_MODE[sent["backgroundMode"]]
        return {} if field in sent else {field: [required(f"Required by the mode {sent['backgroundMode']}.")]}


def required(text: str) -> serializers.ErrorDetail:
    return serializers.ErrorDetail(text, code="required")


class Generate(BackgroundFields):
    """Poses to make. Unknown fields are ignored."""

    projectId = Text(max_length=LONGEST_ID)
    generationType = Choice([plan.GALLERY, plan.TEXT])
    selectedPoseIds = Names(
        child=Text(max_length=LONGEST_ID), required=False, allow_null=True, max_length=plan.MOST_SELECTED
    )
    batchSize = Whole(1, 10, required=False, allow_null=True, help_text="Variations of each pose. Default: 4")
    textPrompt = Text(required=False, allow_null=True, allow_blank=True, max_length=500)
    variationCount = Whole(1, 20, required=False, allow_null=True, help_text="Text mode: how many poses")
    useBackgroundChanger = Flag(required=False, allow_null=True)
    exportFormats = Names(child=ExportName(), required=False, allow_null=True, max_length=MOST_EXPORTS)
    outputFormats = Names(
        child=ExportName(), required=False, allow_null=True, max_length=MOST_EXPORTS, help_text="Old name of the same"
    )
    avatarId = Text(required=False, allow_null=True, allow_blank=True, max_length=LONGEST_ID)

    def missing(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        faults = super().missing(sent) if sent.get("useBackgroundChanger") else {}
        kind, chosen = sent.get("generationType"), sent.get("selectedPoseIds", ())
        if kind == plan.GALLERY and not chosen:
            faults["selectedPoseIds"] = [required("Choose at least one pose.")]
        elif kind == plan.GALLERY and len(chosen) * count_of(sent) > plan.MOST_POSES:
            text = f"Poses times variations must be at most {plan.MOST_POSES}."
            faults["batchSize"] = [serializers.ErrorDetail(text, code="too_many")]
        elif kind == plan.TEXT and "textPrompt" not in sent:
            faults["textPrompt"] = [required("This field is required in text mode.")]
        if len(export_names(sent)) > MOST_EXPORTS:
            text = f"Must hold at most {MOST_EXPORTS} entries, both fields together."
            faults["exportFormats"] = [serializers.ErrorDetail(text, code="max_length")]
        return faults


def count_of(sent: Mapping[str, Any]) -> int:
    """Variations: of each pose in gallery mode, in all in text mode."""
    count = sent.get("batchSize", plan.DEFAULT_COUNT)
    return int(sent.get("variationCount", count) if sent["generationType"] == plan.TEXT else count)


def export_names(sent: Mapping[str, Any]) -> tuple[str, ...]:
    """What both fields ask for, each name once."""
    return tuple(dict.fromkeys([*sent.get("exportFormats", ()), *sent.get("outputFormats", ())]))


_generate, _background = Generate(), BackgroundFields()


def read_generate(body: Any) -> dict[str, Any]:
    """Check the body of a generation; without what counts as absent.

    Raises ValidationError with every fault, ApiError for banned words.
    """
    checked: dict[str, Any] = _generate.run_validation(body)
    refuse_banned(checked.get("textPrompt"), checked.get("backgroundPrompt"))
    return checked


def read_background(body: Any) -> dict[str, Any]:
    """Check the body of a background change. Raises as `read_generate`."""
    checked: dict[str, Any] = _background.run_validation(body)
    refuse_banned(checked.get("backgroundPrompt"))
    return checked


def background_of(checked: Mapping[str, Any]) -> chain.Background:
    """The background that was asked for; its picture is still to be fetched. Fields of other modes are dropped."""
    mode = checked["backgroundMode"]
    word = {chain.AI_GENERATE: "prompt", chain.SOLID_COLOR: "color", chain.UPLOAD: "image_url"}[mode]
    return chain.Background(mode, **{word: checked[FIELD_OF_MODE[mode]]})


def refuse_banned(*texts: str | None) -> None:
    """Raises ApiError when a text holds a word that is not drawn here."""
    if any(words.is_banned(text or "", settings.POSE_BANNED_WORDS) for text in texts):
        raise ApiError(400, "INAPPROPRIATE_PROMPT", "This prompt asks for something that is not made here.")


class WantedExport(serializers.Serializer[Any]):
    default_error_messages = {"invalid": "Must be an object."}

    format = ExportName()


def read_export(body: Any) -> str:
    """The `format` of a body. Raises ValidationError with the list of names."""
    checked: dict[str, str] = WantedExport().run_validation(body)
    return checked["format"]
