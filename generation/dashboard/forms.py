"""The forms of the visual-generation door, for one picture and for many at once.

Fields come from the door's own tables, faults from the door's own check.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from rest_framework.exceptions import ValidationError

from config.api.errors import ApiError
from credits.models import Price
from credits.pricing import Quote
from generation.dashboard import wares
from generation.dashboard.sheets import FAILED, Sheet
from generation.doors.visuals import plan, serializers
from generation.doors.visuals.plan import Wish
from generation.plan import Plan

# What people call the contract's words.
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

assert set(PRIORITIES) == set(serializers.PRIORITIES)


class VisualForm(forms.Form):
    """Fields check nothing themselves: the body they make goes through the same check as the API's.

    form_key: makes a double click one request. `wishes` are there once the form is valid.
    """

    title: ClassVar[str] = wares.VISUAL.title
    place: ClassVar[str] = wares.VISUAL.place

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
    wishes: list[Wish]

    def clean(self) -> dict[str, Any]:
        try:
            self.wishes = [serializers.read_submit(self.body)]
        except ValidationError as faults:
            self.refuse(faults_of(faults.detail))
        return self.cleaned_data

    def refuse(self, faults: Iterable[tuple[str, str]]) -> None:
        """Show each fault, by its path in the body, at its field."""
        for path, text in faults:
            field = FIELDS.get(path, path)
            self.add_error(field if field in self.fields else None, text)

    def plan(self, owner_id: UUID, quotes: Mapping[str, Quote]) -> Plan:
        return plan.plan_one(self.wishes[0], owner_id, quotes)

    @property
    def count(self) -> int:
        """How many pictures it asks for."""
        return 1

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


class BatchForm(VisualForm):
    """A picture for each line that is written, alike in all else. Empty lines are none."""

    title, place = wares.VISUALS.title, wares.VISUALS.place

    prompt = page = None  # type: ignore[assignment]  # a form's way to leave a field of its parent out
    prompts = forms.CharField(required=False, strip=False)
    together = forms.CharField(required=False)

    def clean(self) -> dict[str, Any]:
        most = serializers.MOST_REQUESTS
        if not self.lines:
            self.add_error("prompts", "Write a line for each picture.")
        elif self.count > most:
            self.add_error("prompts", f"These are {self.count} lines; {most} are the most at once.")
        try:
            self.wishes, _ = serializers.read_batch(self._body_of([text for _, text in self.lines][:most] or [_ANY]))
        except ValidationError as faults:
            self.refuse(self._told_by_line(faults.detail))
        return self.cleaned_data

    @property
    def lines(self) -> list[tuple[int, str]]:
        """What is written, by its line's number."""
        numbered = enumerate(str(self["prompts"].value() or "").splitlines(), start=1)
        return [(number, text.strip()) for number, text in numbered if text.strip()]

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def body(self) -> dict[str, Any]:
        """The API's own body of a batch for these values."""
        return self._body_of([text for _, text in self.lines])

    def _body_of(self, prompts: list[str]) -> dict[str, Any]:
        alike = super().body
        options = {"maxConcurrent": whole(self.data.get("together")) or None}
        return {"requests": [{**alike, "prompt": prompt} for prompt in prompts], "batchOptions": options}

    def _told_by_line(self, detail: Any) -> Iterator[tuple[str, str]]:
        """Each fault once: a line's own with its number, and what is wrong with all of them by its field."""
        lines: dict[str, list[str]] = {}
        alike: dict[tuple[str, str], None] = {}
        numbers = [number for number, _ in self.lines] or [0]
        for index, entry in detail.get("requests", {}).items():
            for path, text in faults_of(entry):
                if path == "prompt":
                    lines.setdefault(text, []).append(str(numbers[index]))
                else:
                    alike[path, text] = None
        for text, told in lines.items():
            yield "prompts", f"Line{'s' if len(told) > 1 else ''} {', '.join(told)}: {text}"
        yield from alike
        yield from (("together", text) for _, text in faults_of(detail.get("batchOptions", {})))

    def plan(self, owner_id: UUID, quotes: Mapping[str, Quote]) -> Plan:
        return plan.plan_batch(self.wishes, owner_id, quotes, max_concurrent=whole(self.data.get("together")) or None)


# Stands for what is not written yet, so that all else is looked at too.
_ANY = "." * 10


def fresh(values: dict[str, str] | None = None, kind: type[VisualForm] = VisualForm) -> VisualForm:
    """An empty form, or one that begins with another request's values."""
    return kind(initial={"form_key": uuid.uuid4(), **(values or {})})


def earlier(sheet: Sheet, chosen: str = "", only_failed: bool = False) -> dict[str, Any]:
    """The values of an earlier request of one's own, to send it again or change it.

    chosen: which one of a batch a form of one begins with. only_failed: leave out of a batch what came out well.
    """
    if not sheet.cards or sheet.request.door != plan.DOOR:
        return {}
    cards = [card for card in sheet.cards if card.state == FAILED] if only_failed else []
    items = [card.item for card in cards or sheet.cards]
    item = next((one for one in items if one.public_id == chosen), items[0])
    metadata = item.params.get("metadata") or {}
    return {
        "type": item.params.get("type", ""),
        "prompt": item.prompt,
        "prompts": "\n".join(" ".join(one.prompt.split()) for one in items),
        "together": sheet.request.max_open_bundles or "",
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
    keys = {Wish(type=name, prompt="").price_key: name for name in wares.TYPES}
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
