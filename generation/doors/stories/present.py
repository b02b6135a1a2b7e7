"""How the story-images door spells a run: status.json, the answer of GET, and the closing message. Pure.

Links are the one thing that is not in the stored file: they are made at each read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from generation import storage
from generation.doors.stories import places
from generation.doors.stories.runs import Image, Run, SegmentRun
from generation.doors.stories.segments import Caution, Outline
from generation.models import Item

IN_PROGRESS, COMPLETED, FAILED = "in_progress", "completed", "failed"
END = "story_image_complete"

_MESSAGES = {
    "IMAGE_GENERATION_FAILED": "No picture was made",
    "IMAGE_VERIFICATION_FAILED": "Every picture had text or marks in it",
    "VERIFICATION_UNAVAILABLE": "The pictures could not be checked",
    "CONTENT_REJECTED": "The content filter refused the words of this picture",
    "STORAGE_ERROR": "The picture could not be stored",
    "SECRETS_UNAVAILABLE": "The keys of the service could not be read",
    "CANCELLED": "It was cancelled",
    "INTERNAL_ERROR": "Something went wrong on our side",
}
BROKEN_OFF = {"code": "CANCELLED", "message": "The run was cancelled before it ended."}


# --- Numbers and times ---------------------------------------------------------------------------


def iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def usd(amount: Decimal) -> float:
    """Computed as decimals, told as a number with at most 6 decimals."""
    return float(round(amount, 6))


def seconds(span: timedelta) -> float:
    return round(span.total_seconds(), 1)


# --- The run -------------------------------------------------------------------------------------


def status_of(run: Run) -> str:
    if not run.is_over:
        return IN_PROGRESS
    return COMPLETED if run.succeeded else FAILED


def status_document(run: Run, link: Callable[[str], str] | None = None) -> dict[str, Any]:
    """Spell status.json; with `link`, which makes a link of a key, the answer of GET."""
    document: dict[str, Any] = {
        "session_id": run.session.session_id,
        "status": status_of(run),
        "template_title": run.template_title,
        "started_at": iso(run.request.created_at),
        "segments_total": len(run.segments),
        "segments_completed": len(run.ended),
        "segments_succeeded": len(run.succeeded),
        "segments_failed": len(run.failed),
        "options": run.options.as_json(),
        "warnings": warnings_of(run),
        "generation_report_s3_path": _report_path(run),
    }
    if run.ended or run.is_over:
        document["segment_results"] = [_segment_result(segment, link) for segment in run.ended]
    if run.is_over:
        document |= {
            "completed_at": iso(run.request.finished_at),
            "total_images_generated": len(run.stored),
            "total_cost_usd": usd(run.cost_usd),
            "total_time_seconds": seconds(run.took),
            "errors": errors_of(run),
        }
        if run.was_broken_off:
            document["error"] = BROKEN_OFF
    return document


def warnings_of(run: Run) -> list[dict[str, str]]:
    """What was odd when the run began, and what turned out to be so on the way."""
    known: list[dict[str, str]] = list(run.request.params["warnings"])
    if any((one.said or {}).get("unread") for image in run.images for one in image.attempts):
        known.append({"code": "DIAGRAM_UNREADABLE", "message": "diagram.png is no usable picture; it was left out."})
    return known


def _report_path(run: Run) -> str:
    return places.s3_path(places.report_key(run.directory, run.template_title))


def _segment_result(segment: SegmentRun, link: Callable[[str], str] | None) -> dict[str, Any]:
    return {
        "segment_number": segment.number,
        "segment_title": segment.title,
        "status": "success" if segment.succeeded else "failed",
        "images_expected": len(segment.images),
        "images_generated": len(segment.stored),
        "cost_usd": usd(segment.cost_usd),
        "time_seconds": seconds(segment.took),
        "images": [
            {"image_number": image.number, "s3_key": image.key, **({"url": link(image.key)} if link else {})}
            for image in segment.stored
        ],
    }


def errors_of(run: Run) -> list[dict[str, Any]]:
    return [_error(segment, image) for segment in run.failed for image in segment.images if not image.is_stored]


def _error(segment: SegmentRun, image: Image) -> dict[str, Any]:
    return {
        "segment_number": segment.number,
        "segment_title": segment.title,
        "image_number": image.number,
        "error_code": image.error_code,
        "error_message": error_message(image),
        "retry_count": image.passes,
    }


def error_message(image: Image) -> str:
    tries = f" after {image.passes} attempt{'s' if image.passes > 1 else ''}" if image.item.first_started_at else ""
    why = f" {image.item.error_message}" if image.error_code == "IMAGE_GENERATION_FAILED" else ""
    return f"{_MESSAGES[image.error_code]}{tries}.{why}"


# --- The end -------------------------------------------------------------------------------------


def complete_message(run: Run) -> dict[str, Any]:
    """Spell the closing message: told once for each end, after its files are stored."""
    status = "failed" if not run.succeeded else "partial" if run.failed else "success"
    errors = errors_of(run)
    message: dict[str, Any] = {
        "type": END,
        "session_id": run.session.session_id,
        "status": status,
        "results": {
            "template_title": run.template_title,
            "segments_total": len(run.segments),
            "segments_succeeded": len(run.succeeded),
            "segments_failed": len(run.failed),
            "total_images_generated": len(run.stored),
            "total_cost_usd": usd(run.cost_usd),
            "total_time_seconds": seconds(run.took),
            "generation_report_s3_path": _report_path(run),
            "status_s3_key": places.status_key(run.directory),
            "errors": errors,
        },
    }
    if status == "failed":
        first = {"code": errors[0]["error_code"], "message": errors[0]["error_message"]} if errors else BROKEN_OFF
        message["error"] = BROKEN_OFF if run.was_broken_off else first
    return message


# --- What was read -------------------------------------------------------------------------------


def outline_document(outline: Outline) -> dict[str, Any]:
    """Spell what a segments.md says."""
    return {
        "template_title": outline.template_title,
        "segments_total": len(outline.segments),
        "segments": [
            {
                "segment_number": one.number,
                "segment_title": one.title,
                "segment_duration": one.duration_s,
                "narration": one.narration,
                "visual_guidance": one.visual_guidance,
                "line": one.line,
            }
            for one in outline.segments
        ],
    }


def warning_documents(warnings: Iterable[Caution]) -> list[dict[str, Any]]:
    return [{"code": one.code, "message": one.message, **({"line": one.line} if one.line else {})} for one in warnings]


def accepted(session_id: str) -> dict[str, Any]:
    return {
        "status": "accepted",
        "session_id": session_id,
        "message": "Processing started, listen to WebSocket for updates",
    }


# --- One picture, for the desk's own pages -------------------------------------------------------


def present_event(item: Item, event_kind: str | None, seq: int, base_url: str) -> dict[str, Any]:
    """Build one picture's document with the event that it is told for; None for a snapshot."""
    return {**present_item(item, base_url), "event": event_kind or "snapshot", "seq": seq}


def present_item(item: Item, base_url: str) -> dict[str, Any]:
    return {
        "id": item.public_id,
        "session_id": item.request.group,
        "segment_number": item.params["segment"],
        "image_number": item.params["image"],
        "current_step": step_of(item),
        "progress": item.progress,
        "url": storage.link(item.params["key"], base_url) if item.status == item.Status.SUCCEEDED else None,
    }


STEPS = {"generate": "generating", "thumbnail": "generating", "verify": "verifying", "publish": "saving"}


def step_of(item: Item) -> str:
    """The contract's word for where a picture is."""
    if item.status == item.Status.SUCCEEDED:
        return "completed"
    return "failed" if item.is_final else STEPS[item.step_name]
