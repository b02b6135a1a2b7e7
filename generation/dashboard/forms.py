"""The form of the visual-generation door: fields from the door's own tables, faults from the door's own check."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django import forms
from rest_framework.exceptions import ValidationError

from config.api.errors import ApiError
from credits.models import Price
from generation.dashboard import wares
from generation.dashboard.shelf import Sheet
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
RATIOS = {"square": "Square", "portrait": "Portrait", "landscape": "Landscape", "wide": "Wide", "9:16": "Tall"}
PRIORITIES = {"low": "Low", "normal": "Normal", "high": "High", "urgent": "Urgent"}
STYLES = ("cute", "detailed", "cartoon", "realistic", "whimsical")
MOST_ATTEMPTS = plan.MOST_ATTEMPTS
# Path of a fault in the contract's body -> field of this form
FIELDS = {
    "metadata.imageStyle": "style",
    "metadata.aspectRatio": "ratio",
    "metadata.maxAttempts": "attempts",
    "metadata.provider": "provider",
    "projectId": "project",
    "pageId": "page",
}

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
    provider = forms.CharField(required=False)
    attempts = forms.CharField(required=False)
    project = forms.CharField(required=False)
    page = forms.CharField(required=False)
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
        given = self.data
        metadata = {
            "imageStyle": given.get("style", ""),
            "aspectRatio": given.get("ratio") or "square",
            "maxAttempts": whole(given.get("attempts")),
            "provider": given.get("provider", ""),
        }
        named = {"projectId": given.get("project", "").strip(), "pageId": given.get("page", "").strip()}
        return {
            **{key: value for key, value in named.items() if value},
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


def earlier(sheet: Sheet) -> dict[str, str]:
    """The values of an earlier request of one's own, to send it again or change it."""
    if not sheet.cards or sheet.request.door != plan.DOOR:
        return {}
    item = sheet.cards[0].item
    metadata = item.params.get("metadata") or {}
    return {
        "type": item.params.get("type", ""),
        "prompt": item.prompt,
        "style": metadata.get("imageStyle", ""),
        "ratio": _ratio_of(metadata.get("aspectRatio")),
        "priority": item.priority,
        "provider": plan.Wish("", "", metadata=metadata).preferred or "",
        "attempts": metadata.get("maxAttempts") or "",
        "project": item.params.get("projectId") or "",
        "page": item.params.get("pageId") or "",
    }


def _ratio_of(named: str | None) -> str:
    """This form's word for a ratio; a client may have named it in numbers."""
    same = [word for word in RATIOS if plan.RATIOS[word] == plan.RATIOS.get(named or "")]
    return same[0] if same else "square"


def providers() -> list[tuple[str, str]]:
    """Whom one may prefer: alias and name, in our own order."""
    return [(alias, wares.provider_name(alias)) for alias, _ in plan.provider_order(None)]


def whole(text: str | None) -> Any:
    """A number as the API takes it; anything else is left for its check to refuse."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else text


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


def in_words(refusal: ApiError) -> str:
    """What a refusal means at a form. Whoever goes back and changes it meets the key of the order that was sent."""
    if refusal.code == "IDEMPOTENCY_KEY_REUSED":
        return "This form was sent once, and has been changed since. Send it again to order this as well."
    return refusal.message
