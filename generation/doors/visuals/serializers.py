"""The JSON that the visual-generation door takes, checked field by field. What it answers is in `answers`.

Bodies are checked by `read_submit` and `read_batch`, whose fields are built once per process. Every fault
is found at once, with its path. Null counts as absent everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from config.api.fields import Choice, Text, Whole
from config.api.parsers import is_storable
from generation.doors.visuals import plan
from generation.doors.visuals.plan import Wish
from generation.plan import WEIGHTS
from providers import registry

TYPES = list(plan.INGREDIENTS)
PRIORITIES = ["low", "normal", "high", "urgent"]
MOST_REQUESTS = 100
METADATA_BYTES = 16 * 1024
# The source system knew these, and nobody here goes by them.
KNOWN_ELSEWHERE = ("google-imagen", "google-imagen2", "google-vertex")

assert set(PRIORITIES) == set(WEIGHTS)


# --- What comes in -------------------------------------------------------------------------------


class Prompt(Text):
    default_error_messages = dict.fromkeys(("min_length", "max_length"), "Must be 10 to 1000 characters long.")


class Attempts(Whole):
    """0 means the default, as null does."""

    def run_validation(self, data: Any = serializers.empty) -> int | None:
        is_zero = data == 0 and not isinstance(data, bool)
        checked: int | None = super().run_validation(None if is_zero else data)
        return checked


class ProviderName(Text):
    """A provider's alias or name, in any case; leaves as its alias, or `none` for no preference."""

    default_error_messages = {
        "unknown": "No provider goes by this name.",
        "not_configured": "This provider is not configured here.",
    }

    def to_internal_value(self, data: Any) -> str:
        word = super().to_internal_value(data).lower()
        if word in ("", plan.NO_PREFERENCE):
            return plan.NO_PREFERENCE
        alias = registry.alias_of(word)
        if alias is None and word not in KNOWN_ELSEWHERE:
            self.fail("unknown")
        if alias is None or not registry.candidates(plan.OPERATION, [alias]):
            self.fail("not_configured")
        return alias


class Metadata(serializers.Serializer[Any]):
    """At most 16 KiB as JSON. Further keys are stored as they are."""

    default_error_messages = {
        "invalid": "Must be an object.",
        "unstorable": "Must not hold NUL, or half of a surrogate pair.",
        "too_large": f"Must be at most {METADATA_BYTES} bytes as JSON.",
    }

    imageStyle = Text(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=100,
        help_text="Free text, such as cute, detailed, cartoon, realistic, whimsical",
    )
    aspectRatio = Choice(
        list(plan.RATIOS),
        required=False,
        allow_null=True,
        help_text="square (1:1, the default), portrait (3:4), landscape (4:3), wide (16:9), or a ratio itself",
    )
    maxAttempts = Attempts(
        1,
        plan.MOST_ATTEMPTS,
        required=False,
        allow_null=True,
        help_text=f"Most starts. Null or 0: {plan.DEFAULT_ATTEMPTS}",
    )
    provider = ProviderName(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=100,
        help_text="The preferred provider, by alias or name. `none`: our own order",
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, Mapping) and _json_bytes(data) > METADATA_BYTES:
            self.fail("too_large")
        checked = super().to_internal_value(data)
        others = {key: value for key, value in data.items() if key not in self.fields}
        if others and not is_storable(others):
            self.fail("unstorable")
        return {**others, **{key: value for key, value in checked.items() if value is not None}}


def _json_bytes(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass"))


class Submit(serializers.Serializer[Any]):
    """One picture to make. Unknown fields are ignored."""

    default_error_messages = {"invalid": "Must be an object."}

    type = Choice(TYPES)
    prompt = Prompt(min_length=10, max_length=1000, help_text="10 to 1000 characters, trimmed")
    priority = Choice(PRIORITIES, required=False, allow_null=True, help_text="Default: normal")
    projectId = Text(required=False, allow_null=True, allow_blank=True, max_length=255, trim_whitespace=False)
    pageId = Text(required=False, allow_null=True, allow_blank=True, max_length=255, trim_whitespace=False)
    metadata = Metadata(required=False, allow_null=True)


class BatchOptions(serializers.Serializer[Any]):
    default_error_messages = {"invalid": "Must be an object."}

    priority = Choice(PRIORITIES, required=False, allow_null=True, help_text="For entries without their own")
    maxConcurrent = Whole(
        1, MOST_REQUESTS, required=False, allow_null=True, help_text="Most members in progress at a time. Null: no cap"
    )


_COUNT_RULE = f"Must hold 1 to {MOST_REQUESTS} requests."


class Batch(serializers.Serializer[Any]):
    requests = Submit(
        many=True,
        allow_empty=False,
        max_length=MOST_REQUESTS,  # type: ignore[call-arg]  # of the list that many=True makes
        error_messages={"empty": _COUNT_RULE, "max_length": _COUNT_RULE, "not_a_list": "Must be a list."},
    )
    batchOptions = BatchOptions(required=False, allow_null=True)


# Validation keeps nothing in a serializer, so one of each serves all threads.
_submit, _batch = Submit(), Batch()


def read_submit(body: Any) -> Wish:
    """Check the body of a submit. Raises ValidationError with every fault."""
    return Wish.of(_submit.run_validation(body))


def read_batch(body: Any) -> tuple[list[Wish], int | None]:
    """Check the body of a batch: its wishes in order, and maxConcurrent. Raises ValidationError with every fault."""
    checked = _batch.run_validation(body)
    options = checked.get("batchOptions") or {}
    return [Wish.of(entry, options.get("priority")) for entry in checked["requests"]], options.get("maxConcurrent")
