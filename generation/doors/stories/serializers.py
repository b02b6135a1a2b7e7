"""The JSON that the story-images door takes: the body of a start, and config.json. What it answers is in `answers`.

A value in the request's options beats one in config.json, which beats the default. A value above its range is
lowered with a warning; anything else that is wrong is refused in a body, and left out with a warning in a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rest_framework import serializers

from config.api.fields import Flag, Text
from generation.doors.stories.segments import Caution

SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


@dataclass(frozen=True)
class Options:
    """What a run goes by."""

    num_images: int = 2
    max_passes: int = 5
    max_verification_passes: int = 3
    fast_mode: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


# Above these a number is lowered.
MOST = {"num_images": 3, "max_passes": 10, "max_verification_passes": 5}


class Count(serializers.IntegerField):
    """A whole number of at least 1; what is above `most` is lowered later. A boolean is no number."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        rule = "Must be a whole number of at least 1."
        described = f"1 to {MOST[name]}, above that lowered with a warning. Default: {getattr(Options, name)}"
        super().__init__(
            min_value=1,
            help_text=described,
            error_messages=dict.fromkeys(("invalid", "min_value", "max_string_length"), rule),
            **kwargs,
        )

    def to_internal_value(self, data: Any) -> int:
        is_whole = isinstance(data, int) or (isinstance(data, float) and data.is_integer())
        if isinstance(data, bool) or not is_whole:
            self.fail("invalid")
        return int(data)


class StoryRunOptions(serializers.Serializer[Any]):
    """Unknown keys are ignored; null counts as absent."""

    default_error_messages = {"invalid": "Must be an object."}

    num_images = Count("num_images", required=False, allow_null=True)
    max_passes = Count("max_passes", required=False, allow_null=True)
    max_verification_passes = Count("max_verification_passes", required=False, allow_null=True)
    fast_mode = Flag(
        required=False, allow_null=True, help_text="A faster model; pictures are checked all the same. Default: false"
    )


class SessionId(Text):
    default_error_messages = {"invalid_id": "Must be 1 to 128 letters, digits, dots, dashes or underscores."}

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if not is_session_id(name):
            self.fail("invalid_id")
        return name


class S3Path(Text):
    """A path of any characters: `places.named` says what is wrong with it, by a code of its own."""

    def run_validators(self, value: Any) -> None:
        return


class StoryStart(serializers.Serializer[Any]):
    """A story to draw: where its segments.md lies, and how."""

    session_id = SessionId(trim_whitespace=False, help_text="1 to 128 of A-Z a-z 0-9 . _ -")
    s3_path = S3Path(
        trim_whitespace=False,
        help_text="users/{user_id}/{session_id}/…/{name}.md, or s3://{bucket}/ and the same; an upload answers it",
    )
    options = StoryRunOptions(required=False, allow_null=True)


# Validation keeps nothing in a serializer, so one of each serves all threads.
_start, _options = StoryStart(), StoryRunOptions()


def is_session_id(name: str) -> bool:
    return bool(SESSION_ID.fullmatch(name)) and name not in (".", "..")


def read_start(body: Any) -> tuple[str, str, dict[str, Any]]:
    """Check the body of a start: session id, path, the options that it names. Raises ValidationError."""
    checked = _start.run_validation(body)
    return checked["session_id"], checked["s3_path"], _given(checked.get("options") or {})


def read_options(body: Any) -> dict[str, Any]:
    """Check options alone. Raises ValidationError."""
    return _given(_options.run_validation(body))


def read_config(data: bytes) -> tuple[dict[str, Any], list[Caution]]:
    """Read config.json: the values that can be used, and a warning for each part that cannot."""
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {}, [_ignored("config.json is not valid JSON")]
    if not isinstance(found, dict):
        return {}, [_ignored("config.json is not an object")]
    values, warnings = {}, []
    for name, field in _options.fields.items():
        if found.get(name) is None:
            continue
        try:
            values[name] = field.run_validation(found[name])
        except serializers.ValidationError as fault:
            warnings.append(_ignored(f"{name} in config.json: {' '.join(map(str, fault.detail))}"))
    return values, warnings


def effective(options: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Options, list[Caution]]:
    """What a run goes by: the request's options before config.json before the defaults, lowered into their ranges."""
    chosen, warnings = {**config, **options}, []
    for name, most in MOST.items():
        if chosen.get(name, 0) > most:
            warnings.append(Caution("OPTION_LOWERED", f"{name} is at most {most}; more was asked for."))
            chosen[name] = most
    return Options(**chosen), warnings


def _given(checked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in checked.items() if value is not None}


def _ignored(text: str) -> Caution:
    return Caution("CONFIG_IGNORED", f"{text.rstrip('.')}; it was ignored.")
