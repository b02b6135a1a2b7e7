"""Fields as strict as JSON itself, for every door: a number is no text, and text that looks like a number is none.

Each fault names its rule. Texts are trimmed before they are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers


class Text(serializers.CharField):
    """A string; a number is none. Trimmed before it is counted."""

    default_error_messages = {
        "invalid": "Must be text.",
        "blank": "Must not be empty.",
        "null": "This field is required.",
        "max_length": "Must be at most {max_length} characters long.",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """One of a few words or numbers. also: further spellings that are taken and not told, each with its word."""

    default_error_messages = {"null": "This field is required."}

    def __init__(self, choices: Sequence[Any], *, also: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        kwargs["error_messages"] = {"invalid_choice": f"Must be one of: {', '.join(map(str, choices))}."}
        self.also = dict(also or {})
        super().__init__(choices, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if data == "":
            self.fail("required" if self.required else "invalid_choice")
        if isinstance(data, str) and data in self.also:
            return self.also[data]
        if not isinstance(data, str | int) or isinstance(data, bool):
            self.fail("invalid_choice")
        chosen = super().to_internal_value(data)
        if type(chosen) is not type(data):
            self.fail("invalid_choice")
        return chosen


class Whole(serializers.IntegerField):
    """A whole number; text that looks like one is none."""

    def __init__(self, low: int, high: int, *, step: int = 1, **kwargs: Any) -> None:
        rule = f"Must be a whole number from {low} to {high}"
        rule += f", a multiple of {step}." if step > 1 else "."
        kwargs["error_messages"] = dict.fromkeys(("invalid", "min_value", "max_value"), rule)
        self.step = step
        super().__init__(min_value=low, max_value=high, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float) or data != int(data) or data % self.step:
            self.fail("invalid")
        return int(data)


class Number(serializers.FloatField):
    """A number from low to high; text that looks like one is none."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        rule = f"Must be a number from {low:g} to {high:g}."
        kwargs["error_messages"] = dict.fromkeys(("invalid", "min_value", "max_value"), rule)
        super().__init__(min_value=low, max_value=high, **kwargs)

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            return float(data)
        except OverflowError:  # JSON's whole numbers have no end
            self.fail("invalid")


class Flag(serializers.BooleanField):
    """true or false; words and numbers that might mean one of them are neither."""

    default_error_messages = {"invalid": "Must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class Size(serializers.CharField):
    """Width and height in pixels, as in 1024x768."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        rule = f"Must be a width and a height from {low} to {high}, as in 1024x768."
        kwargs["error_messages"] = {"invalid": rule}
        self.low, self.high = low, high
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", data) if isinstance(data, str) else None
        if found is None or not all(self.low <= int(side) <= self.high for side in found.groups()):
            self.fail("invalid")
        return str(data)
