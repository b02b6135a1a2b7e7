"""The form of the visual-generation door: fields from the door's own tables, faults from the door's own check."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django import forms
from rest_framework.exceptions import ValidationError

from credits.models import Price
from generation.doors.visuals import plan, serializers
from generation.doors.visuals.plan import Wish

# What people call the contract's words.
TYPES = {
    "coloring-page": ("Colouring page", "Clear outlines to colour in"),
    "cover": ("Cover", "With room for a title"),
    "illustration": ("Illustration", "Detailed and polished"),
    "character-reference": ("Character sheet", "One figure from several sides"),
    "background": ("Background", "A scene to lay things over"),
}
RATIOS = {"square": "Square", "portrait": "Portrait", "landscape": "Landscape", "wide": "Wide"}
PRIORITIES = {"low": "Low", "normal": "Normal", "high": "High", "urgent": "Urgent"}
STYLES = ("cute", "detailed", "cartoon", "realistic", "whimsical")
# Path of a fault in the contract's body -> field of this form
FIELDS = {"metadata.imageStyle": "style", "metadata.aspectRatio": "ratio"}

assert set(TYPES) == set(plan.INGREDIENTS)
assert set(PRIORITIES) == set(serializers.PRIORITIES)


class VisualForm(forms.Form):
    """Fields check nothing themselves: the body they make goes through the same check as the API's.

    form_key: makes a double click one request. `wish` is there once the form is valid.
    """

    type = forms.CharField(required=False, initial="illustration")
    prompt = forms.CharField(required=False, strip=False)
    style = forms.CharField(required=False)
    ratio = forms.CharField(required=False, initial="square")
    priority = forms.CharField(required=False, initial="normal")
    form_key = forms.UUIDField()
    wish: Wish

    def clean(self) -> dict[str, Any]:
        try:
            self.wish = serializers.read_submit(self.body)
        except ValidationError as faults:
            for path, text in faults_of(faults.detail):
                field = FIELDS.get(path, path)
                self.add_error(field if field in self.fields else None, text)
        return self.cleaned_data

    @property
    def body(self) -> dict[str, Any]:
        """The API's own body for these values."""
        metadata = {"imageStyle": self.data.get("style", ""), "aspectRatio": self.data.get("ratio") or "square"}
        return {
            "type": self.data.get("type", ""),
            "prompt": self.data.get("prompt", ""),
            "priority": self.data.get("priority") or "normal",
            "metadata": {key: value for key, value in metadata.items() if value},
        }

    def again(self) -> VisualForm:
        """The same values and faults under a fresh key: what was refused may be sent once more."""
        self.data = {**self.data.dict(), "form_key": str(uuid.uuid4())}  # type: ignore[attr-defined]
        return self


def fresh(values: dict[str, str] | None = None) -> VisualForm:
    """An empty form, or one that begins with another request's values."""
    return VisualForm(initial={"form_key": uuid.uuid4(), **(values or {})})


def prices() -> dict[str, int]:
    """Type -> credits for one picture; a type without a price is not on offer. One query."""
    keys = {Wish(type=name, prompt="").price_key: name for name in TYPES}
    rows = Price.objects.filter(operation_key__in=keys, provider="", model="", is_active=True)
    return {keys[row.operation_key]: row.credits_cost for row in rows}


def faults_of(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Walk DRF's nested faults as (path, text)."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from faults_of(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(detail, list):
        for inner in detail:
            yield from faults_of(inner, path)
    else:
        yield path, str(detail)
