"""One run of a story as its rows say: segments, pictures, what they took and cost. Read in one view of the rows.

Costs, tries and times come from the attempts, so that what a crash repeated is counted too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from uuid import UUID

from django.db import connection, transaction

from generation.doors.stories.serializers import Options
from generation.models import Attempt, Item, ItemStatus, Outcome, Request, RequestStatus, StorySession

GENERATE, VERIFY = "generate", "verify"
OPEN = (RequestStatus.QUEUED, RequestStatus.RUNNING)
# Attempts that were calls which came to an end; the others waited for room, were passed on or never went out.
CALLED = (Outcome.MADE, Outcome.ADOPTED, Outcome.FAILED, Outcome.LOST, Outcome.LATE)
# What a document needs of an attempt.
READ = (
    *("item", "round", "step", "pass_no", "model", "operation", "outcome", "said"),
    *("cost_usd", "started_at", "ended_at"),
)
# The desk's codes that the contract knows by the same word.
SAME_CODES = ("CONTENT_REJECTED", "STORAGE_ERROR")
KEY_CODES = ("PROVIDER_AUTH",)


@dataclass(frozen=True)
class Image:
    """One picture. attempts: all of its item, oldest first, of all rounds."""

    number: int
    item: Item
    attempts: Sequence[Attempt]

    @property
    def round(self) -> int:
        """The latest round in which it was worked at: one that succeeded is not made again."""
        return max((attempt.round for attempt in self.attempts), default=0)

    @property
    def is_over(self) -> bool:
        return self.item.is_final

    @property
    def is_stored(self) -> bool:
        return self.item.status == ItemStatus.SUCCEEDED

    @property
    def key(self) -> str:
        return str(self.item.params["key"])

    @property
    def cost_usd(self) -> Decimal:
        return costs_usd(self.attempts)

    @property
    def took(self) -> timedelta:
        return took(self.item.first_started_at, self.item.finished_at)

    def calls(self, step: str) -> list[Attempt]:
        """The calls of this round's step that came to an end."""
        return [
            attempt
            for attempt in self.attempts
            if attempt.round == self.round
            and attempt.outcome in CALLED
            and attempt.operation != "adopt"
            and self.item.steps[attempt.step]["name"] == step
        ]

    @property
    def passes(self) -> int:
        """How many times it was drawn or failed to be."""
        return 1 + max((one.pass_no for one in self.attempts if one.round == self.round), default=0)

    @property
    def error_code(self) -> str:
        """The contract's code for why it failed."""
        code, step = self.item.error_code, self.item.step_name
        if self.item.status == ItemStatus.CANCELLED:
            return "CANCELLED"
        if code in SAME_CODES:
            return code
        if code in KEY_CODES:
            return "SECRETS_UNAVAILABLE"
        if code == "CHECK_FAILED":
            return "IMAGE_VERIFICATION_FAILED"
        if step == VERIFY:
            return "VERIFICATION_UNAVAILABLE"
        return "IMAGE_GENERATION_FAILED" if step == GENERATE and code != "UNKNOWN_ERROR" else "INTERNAL_ERROR"


@dataclass(frozen=True)
class SegmentRun:
    number: int
    title: str
    duration_s: int
    images: Sequence[Image]

    @property
    def is_over(self) -> bool:
        return all(image.is_over for image in self.images)

    @property
    def succeeded(self) -> bool:
        return all(image.is_stored for image in self.images)

    @property
    def stored(self) -> list[Image]:
        return [image for image in self.images if image.is_stored]

    @property
    def cost_usd(self) -> Decimal:
        return sum((image.cost_usd for image in self.images), Decimal(0))

    @property
    def took(self) -> timedelta:
        """From the first start of one of its pictures to the end of the last."""
        began = [image.item.first_started_at for image in self.images if image.item.first_started_at]
        ended = [image.item.finished_at for image in self.images if image.item.finished_at]
        return took(min(began, default=None), max(ended, default=None))


@dataclass(frozen=True)
class Run:
    """segments: sorted by number."""

    session: StorySession
    request: Request
    segments: Sequence[SegmentRun]

    @property
    def directory(self) -> str:
        return str(self.request.params["directory"])

    @property
    def template_title(self) -> str:
        return str(self.request.params["template_title"])

    @property
    def options(self) -> Options:
        return Options(**self.request.params["options"])

    @property
    def is_over(self) -> bool:
        return self.request.status not in OPEN

    @property
    def was_broken_off(self) -> bool:
        return self.request.status == RequestStatus.CANCELLED

    @cached_property
    def ended(self) -> list[SegmentRun]:
        return [segment for segment in self.segments if segment.is_over]

    @property
    def succeeded(self) -> list[SegmentRun]:
        return [segment for segment in self.ended if segment.succeeded]

    @property
    def failed(self) -> list[SegmentRun]:
        return [segment for segment in self.ended if not segment.succeeded]

    @property
    def images(self) -> list[Image]:
        return [image for segment in self.segments for image in segment.images]

    @property
    def stored(self) -> list[Image]:
        return [image for image in self.images if image.is_stored]

    @property
    def cost_usd(self) -> Decimal:
        return sum((segment.cost_usd for segment in self.segments), Decimal(0))

    @property
    def took(self) -> timedelta:
        return took(self.request.created_at, self.request.finished_at)


def cost_usd(call: Attempt) -> Decimal:
    """What the contract says that a call cost: without an answer nothing. The desk's books count it as spent."""
    return Decimal(0) if call.outcome == Outcome.LOST else call.cost_usd


def costs_usd(calls: Iterable[Attempt]) -> Decimal:
    return sum(map(cost_usd, calls), Decimal(0))


def took(began: datetime | None, ended: datetime | None) -> timedelta:
    return max(ended - began, timedelta(0)) if began and ended else timedelta(0)


def read(request_id: UUID) -> Run | None:
    """Read the run that a session now has of this request; None when its session has gone on to another one."""
    with one_view():
        session = StorySession.objects.select_related("request").filter(request_id=request_id).first()
        return None if session is None else of(session)


def of_session(session_id: str, owner_id: UUID) -> Run | None:
    """Read a person's session; None when there is none, or when it has not been started yet."""
    with one_view():
        found = StorySession.objects.select_related("request").filter(session_id=session_id, owner_id=owner_id).first()
        return of(found) if found and found.request_id else None


def of(session: StorySession) -> Run:
    """Read the rows of a session's run. Two queries; `one_view` around it makes them belong together."""
    request = session.request
    if request is None:
        raise LookupError("this session has no run")
    items = list(Item.objects.filter(request=request).order_by("index"))
    attempts: dict[int, list[Attempt]] = {}
    for attempt in Attempt.objects.filter(item__in=items).only(*READ).order_by("pk"):
        attempts.setdefault(attempt.item_id, []).append(attempt)
    images: dict[int, list[Image]] = {}
    for item in items:
        image = Image(item.params["image"], item, attempts.get(item.pk, []))
        images.setdefault(item.params["segment"], []).append(image)
    segments = [
        SegmentRun(one["number"], one["title"], one["duration"], images[one["number"]])
        for one in request.params["segments"]
    ]
    return Run(session, request, segments)


@contextmanager
def one_view() -> Iterator[None]:
    """Read inside with one view of the rows, where no transaction is open yet."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
