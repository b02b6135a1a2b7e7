"""How a story begins, in the order of its contract: read the files, look for the keys, take the session, pay, tell.

    prepare    reads segments.md and config.json, looks for a diagram and for our keys; writes nothing
    begin      one transaction: the session is this person's and free, the plan is charged and stored
    announce   the first status.json; when it cannot be written, everything is taken back

Used by the API and by the dashboard. What goes wrong comes out as an ApiError with the contract's code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from config.api.errors import ApiError, FieldFault
from credits import pricing
from generation import engine, storage
from generation.doors.stories import mirror, places
from generation.doors.stories.places import Place
from generation.doors.stories.plan import DRAWER, PRICE_KEY, VERIFIER, Story, plan
from generation.doors.stories.runs import OPEN
from generation.doors.stories.segments import MOST_BYTES, Caution, Outline, parse
from generation.doors.stories.serializers import effective, read_config
from generation.engine import closing
from generation.models import Item, ItemStatus, Request, StorySession
from providers import registry, secrets

log = logging.getLogger(__name__)

CONFIG_BYTES = 64 * 1024
RETRY_AFTER_S = 5
# Should the process die between the commit and the first status.json, a worker writes it then.
ANNOUNCED_WITHIN = timedelta(seconds=30)


@dataclass(frozen=True)
class LineFault(FieldFault):
    """A fault of a file, with its line."""

    line: int = 1

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "line": self.line}


# --- Prepare -------------------------------------------------------------------------------------


def prepare(session_id: str, place: Place, options: Mapping[str, Any]) -> Story:
    """Read everything that a run is planned from. Asks the store, and holds no connection meanwhile.

    options: those that the caller named. Raises ApiError.
    """
    if not connection.in_atomic_block:
        connection.close()
    with store_errors():
        read = checked(_segments(place))
        outline = replace(read, template_title=places.beside_files(read.template_title, place))
        config, warnings = _config(place)
        chosen, lowered = effective(options, config)
        has_diagram, missing = _diagram(place)
    look_for_keys()
    return Story(session_id, place, outline, chosen, [*outline.warnings, *warnings, *lowered, *missing], has_diagram)


def _segments(place: Place) -> bytes:
    try:
        return storage.read_small(place.source, MOST_BYTES)[0]
    except storage.KeyMissing:
        raise ApiError(404, "SEGMENTS_NOT_FOUND", "There is no file at s3_path.") from None
    except storage.FileTooLarge:
        raise too_large(MOST_BYTES) from None


def checked(data: bytes) -> Outline:
    """Read a segments.md. Raises ApiError 413, or 400 INVALID_SEGMENTS_MD with every fault."""
    if len(data) > MOST_BYTES:
        raise too_large(MOST_BYTES)
    outline = parse(data)
    if outline.faults:
        count = len(outline.faults)
        raise ApiError(
            400,
            "INVALID_SEGMENTS_MD",
            f"segments.md has {count} fault{'s' if count > 1 else ''}.",
            errors=[LineFault(one.field, one.message, one.code, one.line) for one in outline.faults],
        )
    return outline


def _config(place: Place) -> tuple[dict[str, Any], list[Caution]]:
    """What config.json says, if there is one; it is never fatal, but a store that is away is."""
    try:
        return read_config(storage.read_small(place.config, CONFIG_BYTES)[0])
    except storage.KeyMissing:
        return {}, []
    except (storage.FileTooLarge, storage.StoreRefuses):
        return {}, [Caution("CONFIG_IGNORED", "config.json cannot be read; it was ignored.")]


def _diagram(place: Place) -> tuple[bool, list[Caution]]:
    """Look whether there is a diagram; it is read when the first picture is drawn after it."""
    try:
        if storage.has(place.diagram):
            return True, []
        return False, [Caution("DIAGRAM_MISSING", "There is no diagram.png; the pictures follow no style of yours.")]
    except storage.StoreRefuses:
        return False, [Caution("DIAGRAM_UNREADABLE", "diagram.png cannot be read; it was left out.")]


def look_for_keys() -> None:
    """Refuse when the keys of those who draw and check cannot be had, before anything is charged. Raises ApiError."""
    try:
        for alias in (DRAWER, VERIFIER):
            secrets.key(registry.real_name(alias))
    except secrets.MissingKey as error:
        log.error("a story cannot be drawn: %s", error)
        raise ApiError(500, "SECRETS_UNAVAILABLE", "The keys of the service cannot be read at present.") from error


@contextmanager
def store_errors() -> Iterator[None]:
    """Tell apart what the store says: it refuses us, or it cannot be used now."""
    try:
        yield
    except storage.StoreRefuses:
        raise ApiError(403, "STORAGE_ACCESS_DENIED", "The storage does not let us read or write there.") from None
    except storage.StorageError as error:
        raise away() from error


def away() -> ApiError:
    return ApiError(
        503,
        "STORAGE_UNAVAILABLE",
        "The storage cannot be used at present.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def too_large(most_bytes: int) -> ApiError:
    return ApiError(413, "INPUT_TOO_LARGE", f"The file is larger than {most_bytes} bytes.")


# --- Begin ---------------------------------------------------------------------------------------


def owned(session_id: str, owner_id: UUID, directory: str) -> StorySession:
    """A person's session, made on first use. Raises ApiError 404 when the name is another person's."""
    session, _ = StorySession.objects.get_or_create(
        session_id=session_id, defaults={"owner_id": owner_id, "directory": directory}
    )
    if session.owner_id != owner_id:
        raise places.not_found()
    return session


def make_way(session_id: str, owner_id: UUID) -> None:
    """Write down the end of a run whose files are not as far yet, so that the next one can begin. Raises ApiError."""
    session = StorySession.objects.select_related("request").filter(session_id=session_id, owner_id=owner_id).first()
    if session and session.request and session.request.status not in OPEN and not mirror.is_current(session):
        with store_errors():
            mirror.mirror(session.request.pk)


@dataclass(frozen=True)
class Begun:
    """A run that was stored and paid for, and the one that its session had before."""

    order: Request
    before: Request | None


def begin(story: Story, owner_id: UUID) -> Begun:
    """Take the session, pay and store, in the caller's transaction.

    Raises ApiError 404, or 409 SESSION_IN_PROGRESS; OperationUnavailable; InsufficientCredits.
    """
    session = owned(story.session_id, owner_id, story.place.directory)
    session = StorySession.objects.select_for_update().get(pk=session.pk)
    before = session.request
    if before and (before.status in OPEN or not mirror.is_current(session)):
        raise _in_progress()
    planned = plan(story, owner_id, pricing.quote(PRICE_KEY))
    try:
        order = engine.submit(planned)
    except IntegrityError as error:
        raise _in_progress() from error
    StorySession.objects.filter(pk=session.pk).update(
        request=order, directory=story.place.directory, mirrored_round=None
    )
    closing.mirror_later(order.pk, 1, order.created_at + ANNOUNCED_WITHIN)
    return Begun(order, before)


def _in_progress() -> ApiError:
    return ApiError(409, "SESSION_IN_PROGRESS", "This session is still being worked at.")


# --- Announce ------------------------------------------------------------------------------------


def announce(begun: Begun, also_undo: Callable[[], None] = lambda: None) -> None:
    """Write the first status.json, after the commit. When it cannot be written, the run is taken back as if it had
    never been: cancelled, refunded, and its session belongs to the run before again. Raises ApiError.

    also_undo: what else says that it began; undone in the same transaction, or a repeat would be told that it did.
    """
    try:
        with store_errors():
            mirror.mirror(begun.order.pk)
    except ApiError:
        if not _is_announced(begun.order.pk):
            _take_back(begun, also_undo)
            raise


def _is_announced(order_id: UUID) -> bool:
    """A worker may have come first: then nothing is wrong."""
    return Request.objects.filter(pk=order_id, mirrored_seq__gt=0).exists()


def _take_back(begun: Begun, also_undo: Callable[[], None]) -> None:
    order, before = begun.order, begun.before
    with transaction.atomic():
        also_undo()
        engine.cancel(order.pk)
        for item in Item.objects.filter(request=order, status=ItemStatus.SUCCEEDED).order_by("pk"):
            engine.refund(item.pk, item.charged, reason="not started", actor="", form_key=f"taken-back:{order.pk}")
        back = {"request": before, "mirrored_round": before.round if before else None}
        if before:
            back["directory"] = before.params["directory"]
        StorySession.objects.filter(request=order).update(**back)
        if before:  # the store may have written, and not have been able to say so
            closing.mirror_later(before.pk, before.seq + 1, timezone.now())
