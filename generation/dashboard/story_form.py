"""The form of the story-images door, and its sending: the door's own reader, options, uploads and start."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request as ApiRequest
from rest_framework.response import Response

from config.api import idempotency
from config.models import User
from credits.models import Price
from generation.dashboard.orders import Call, NotNow
from generation.doors.stories import places, serializers, starting, uploads
from generation.doors.stories.plan import PRICE_KEY
from generation.doors.stories.segments import MOST_BYTES, Fault, Outline, parse

PATH = "/app/stories/new"
AROUND = 2  # lines shown before and after one at fault
MOST_EXCERPTS = 30
# What may be chosen for each number of the door.
CHOICES = {name: range(1, most + 1) for name, most in serializers.MOST.items()}
NO_STORY = "Paste a story, or choose a file."
# Shows how a story is written, and may be drawn as it is.
EXAMPLE = """\
Template: How Tides Work

**Segment 1: The beach that vanished (0-8 seconds)**
- Narration text:
  ```
  Why does the beach that you played on this morning vanish under water by noon?
  ```
- Visual guidance: A sandcastle on a wide beach, the sea far away

**Segment 2: The pull of the Moon (8-22 seconds)**
- Narration text:
  ```
  The Moon pulls on the Earth. Rock barely moves, but the oceans can flow.
  ```
- Visual guidance: Moonlight on the open sea, hills at the horizon
"""


class StoryForm(forms.Form):
    """form_key: makes a double click one run. `outline` is there once a story was given, with its faults."""

    session_id = forms.CharField(required=False)
    text = forms.CharField(required=False, strip=False)
    file = forms.FileField(required=False, allow_empty_file=True)
    diagram = forms.FileField(required=False, allow_empty_file=True)
    num_images = forms.IntegerField(required=False)
    max_passes = forms.IntegerField(required=False)
    max_verification_passes = forms.IntegerField(required=False)
    fast_mode = forms.BooleanField(required=False)
    form_key = forms.UUIDField(required=False)

    outline: Outline | None = None
    source = b""
    options: dict[str, Any]

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if not serializers.is_session_id(given.get("session_id") or ""):
            self.add_error("session_id", "1 to 128 letters, digits, dots, dashes or underscores.")
        self.source = _read(given.get("file"), MOST_BYTES) or (given.get("text") or "").encode()
        if not self.source.strip():
            self.add_error("text", NO_STORY)
        elif len(self.source) > MOST_BYTES:
            self.add_error("text", "The story is larger than 1 MB.")
        else:
            self.outline = parse(self.source)
            if count := len(self.outline.faults):
                self.add_error("text", f"{count} place{'s need' if count > 1 else ' needs'} mending, marked below.")
        try:
            self.options = serializers.read_options({name: given.get(name) for name in (*CHOICES, "fast_mode")})
        except ValidationError as faults:
            for name in faults.detail:
                self.add_error(str(name), "Choose one of these.")
        return given

    @property
    def body(self) -> dict[str, Any]:
        """What makes this sending another than the next."""
        return {"session_id": self.cleaned_data["session_id"], "options": self.options}

    def again(self) -> StoryForm:
        """The same values and faults under a fresh key; a file that was chosen is shown as text."""
        text = self.source[:MOST_BYTES].decode(errors="replace")
        self.data = {**self.data.dict(), "text": text, "form_key": str(uuid.uuid4())}  # type: ignore[attr-defined]
        return self


def fresh(**values: Any) -> StoryForm:
    """An empty form, or one that begins with an earlier story's values."""
    session_id = f"story-{timezone.now():%Y%m%d}-{uuid.uuid4().hex[:6]}"
    defaults = serializers.Options().as_json()
    form = StoryForm(initial={"session_id": session_id, "form_key": uuid.uuid4(), **defaults, **values})
    if text := values.get("text"):
        form.source = text.encode()
        form.outline = parse(form.source)
    return form


def _read(file: UploadedFile | None, most_bytes: int) -> bytes:
    """An uploaded file up to one byte more than is taken; empty without one."""
    return file.read(most_bytes + 1) if file else b""


# --- What the form shows of a story --------------------------------------------------------------


@dataclass(frozen=True)
class Excerpt:
    """The lines around some faults: (number, text, what is wrong with it)."""

    lines: list[tuple[int, str, list[str]]]


def excerpts(source: bytes, outline: Outline) -> list[Excerpt]:
    """The places of a story where something is wrong, each with its surroundings; neighbours are shown as one."""
    lines = source.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found: dict[int, list[str]] = {}
    for fault in outline.faults:
        found.setdefault(fault.line, []).append(_said(fault))
    return [
        Excerpt([(number, lines[number - 1][:300], found.get(number, [])) for number in block])
        for block in _blocks(sorted(found), len(lines))
    ][:MOST_EXCERPTS]


def _blocks(at_fault: list[int], last: int) -> Iterator[range]:
    begin = end = 0
    for line in at_fault:
        if end and line - AROUND > end + 1:
            yield range(begin, end + 1)
            end = 0
        begin = begin if end else max(1, line - AROUND)
        end = min(last, line + AROUND)
    if end:
        yield range(begin, end + 1)


def _said(fault: Fault) -> str:
    return fault.message


def price() -> int | None:
    """Credits for one picture; None when stories are not on offer. One query."""
    row = Price.objects.filter(operation_key=PRICE_KEY, provider="", model="", is_active=True).first()
    return row.credits_cost if row else None


# --- Sending -------------------------------------------------------------------------------------


def send(user: User, form: StoryForm) -> str:
    """Store what a valid form brings and start it; return the session's id, on a repeat too.

    Raises NotNow without enough credits, ApiError, OperationUnavailable without a price or a provider.
    """
    session_id, key = form.cleaned_data["session_id"], str(form.cleaned_data["form_key"] or uuid.uuid4())
    call = cast(ApiRequest, Call(user, form.body, {"Idempotency-Key": key}, path=PATH))
    if idempotency.answered(call) is not None:
        return session_id
    kept = uploads.keep(user, session_id, places.SEGMENTS, form.source)
    if diagram := _read(form.cleaned_data.get("diagram"), uploads.KINDS[places.DIAGRAM].most_bytes()):
        uploads.keep(user, session_id, places.DIAGRAM, diagram)
    place = places.named(kept["s3_path"], user.storage_id, session_id)
    story = starting.prepare(session_id, place, form.options)
    starting.make_way(session_id, user.pk)
    begun: list[starting.Begun] = []

    def produce() -> Response:
        begun.append(starting.begin(story, user.pk))
        return Response({"session_id": session_id})

    with transaction.atomic():
        idempotency.await_turn(call)
        answer = idempotency.answer_once(call, produce)
    if answer.status_code == 402:
        raise NotNow(str(answer.data["detail"]))
    if "Idempotency-Replayed" not in answer.headers:
        starting.announce(begun[-1], also_undo=lambda: idempotency.forget(call))
    return session_id
