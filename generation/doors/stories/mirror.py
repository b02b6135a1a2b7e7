"""A run's side files, written from its rows: status.json, and at the end generation_report.json.

Whoever writes first notes which versions of the files lie there, then reads the rows, and replaces exactly those
versions: the store refuses everybody who was overtaken, and they read again. So the files are replaced whole, by one
writer at a time, and never go back, whoever dies or stalls on the way. No connection is held while the store writes.

The end is told after its files are stored: the event from which the closing message is spelled is written last,
once for each round.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.functions import Greatest

from generation import events, storage
from generation.doors.stories import places, runs
from generation.doors.stories.present import status_document
from generation.doors.stories.report import report_document
from generation.doors.stories.runs import Run
from generation.models import EventKind, Request, StorySession

MOST_STATUS_BYTES = 4 * 1024 * 1024
MOST_REPORT_BYTES = 16 * 1024 * 1024
# Of many writers at once each round lets one through.
MOST_ROUNDS = 100


def mirror(request_id: UUID) -> str:
    """Write the files of a run as its rows are now; say what came of it. Raises StorageError."""
    for _ in range(MOST_ROUNDS):
        files = _files_of(request_id)
        if files is None:
            return "the session has gone on"
        status = _found(files.status, MOST_STATUS_BYTES)
        report = _found(files.report, MOST_REPORT_BYTES) if files.is_over else NOTHING
        run = runs.read(request_id)
        if run is None:
            return "the session has gone on"
        if run.is_over and not files.is_over:
            continue  # it ended meanwhile: what lies there of its report was not looked at before its rows
        _release_connection()
        try:
            if run.is_over:
                _write_report(run, files.report, report)
            storage.replace_if(files.status, _json(status_document(run)), status.version)
        except storage.FileChanged:
            continue
        _note(run)
        return "written"
    raise storage.StorageError("others write all the time")


@dataclass(frozen=True)
class Files:
    """The keys that a run writes, and whether it was over when they were asked for."""

    status: str
    report: str
    is_over: bool


@dataclass(frozen=True)
class Found:
    """What lies under a key, and which version of it; no version where nothing does."""

    data: bytes = b""
    version: str | None = None


NOTHING = Found()


def is_current(session: StorySession) -> bool:
    """Say whether the end of a session's run is written. Its request must have ended."""
    return session.request is None or session.mirrored_round == session.request.round


def _files_of(request_id: UUID) -> Files | None:
    """Where the current run of some session writes; None when no session has this run any more."""
    session = StorySession.objects.filter(request_id=request_id)
    row = session.values_list("request__params", "request__status").first()
    _release_connection()
    if row is None:
        return None
    directory, title = row[0]["directory"], row[0]["template_title"]
    return Files(places.status_key(directory), places.report_key(directory, title), row[1] not in runs.OPEN)


def _found(key: str, most_bytes: int) -> Found:
    try:
        return Found(*storage.read_small(key, most_bytes))
    except storage.KeyMissing:
        return NOTHING


def _write_report(run: Run, key: str, found: Found) -> None:
    """Write the report of a run that is over; an earlier run's is kept as a copy first. Raises StorageError."""
    report = report_document(run)
    if found.version is not None:
        stamp = _stamp(found.data)
        if stamp == report["generation_timestamp"]:
            return  # ours, written before its status could be
        copy_key = places.report_copy_key(run.directory, run.template_title, _compact(stamp))
        with suppress(storage.FileChanged):  # kept by somebody who came before us
            storage.replace_if(copy_key, found.data, None)
    storage.replace_if(key, _json(report), found.version)


def _stamp(report: bytes) -> str:
    """When a stored report was made; empty when it does not say."""
    try:
        stamp = json.loads(report)["generation_timestamp"]
        return str(stamp) if datetime.fromisoformat(str(stamp)) else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _compact(stamp: str) -> str:
    at = datetime.fromisoformat(stamp) if stamp else datetime.now(UTC)
    return f"{at:%Y%m%d_%H%M%S}"


def _note(run: Run) -> None:
    """Write down how far the files are; of an end that is stored now, tell. Once for each round."""
    request = run.request
    if not run.is_over:
        Request.objects.filter(pk=request.pk).update(mirrored_seq=Greatest("mirrored_seq", request.seq))
        return
    with events.change(request.pk) as change:
        told = (
            StorySession.objects.filter(pk=run.session.pk, request_id=request.pk)
            .exclude(mirrored_round=request.round)
            .update(mirrored_round=request.round)
        )
        if told and change.round == request.round:
            change.record(EventKind.MIRRORED, round=request.round)
        Request.objects.filter(pk=request.pk).update(mirrored_seq=Greatest("mirrored_seq", request.seq))


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def _release_connection() -> None:
    """Nobody holds a connection while a store is asked; inside a transaction it cannot be given back."""
    if not connection.in_atomic_block:
        connection.close()
