"""Spells generation_report.json: what was asked for, what came of it picture by picture, and what it cost. Pure.

Models appear by their keys (main, fast, fallback, verifier); rates are what a call of this run cost on average.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from generation.doors.stories.present import error_message, iso, seconds, usd
from generation.doors.stories.runs import GENERATE, VERIFY, Image, Run, SegmentRun, cost_usd, costs_usd
from generation.models import Attempt

SNIPPET = 100
VERIFIER_KEY = "verifier"


def report_document(run: Run) -> dict[str, Any]:
    """Spell the report of a run that is over; the same rows give the same report."""
    stored = run.stored
    took = sum((image.took for image in stored), timedelta(0))
    cost = sum((image.cost_usd for image in stored), Decimal(0))
    options = run.options
    return {
        "session_id": run.session.session_id,
        "template_title": run.template_title,
        "generation_timestamp": iso(run.request.finished_at),
        "segments_requested": len(run.segments),
        "segments_succeeded": len(run.succeeded),
        "segments_failed": len(run.failed),
        "total_images_requested": len(run.images),
        "total_images_generated": len(stored),
        "summary": {
            "total_cost_usd": usd(run.cost_usd),
            "total_time_seconds": seconds(run.took),
            "average_cost_per_image": usd(cost / len(stored)) if stored else 0,
            "average_time_per_image": seconds(took / len(stored)) if stored else 0,
            "mode": "fast" if options.fast_mode else "quality",
            "aspect_ratio": "16:9",
            "max_regeneration_passes": options.max_passes,
            "max_verification_passes": options.max_verification_passes,
        },
        "cost_breakdown": {
            "total_generation_cost": usd(_cost(run, GENERATE)),
            "total_verification_cost": usd(_cost(run, VERIFY)),
            "cost_rates_used": _rates(run),
        },
        "segments": [_segment(segment) for segment in run.segments],
        "failed_segments": [
            {"segment_number": one.number, "segment_title": one.title, "error_message": _why(one)} for one in run.failed
        ],
    }


def _cost(run: Run, step: str) -> Decimal:
    return costs_usd(attempt for image in run.images for attempt in _of_step(image, step))


def _of_step(image: Image, step: str) -> Iterable[Attempt]:
    return (one for one in image.attempts if image.item.steps[one.step]["name"] == step)


def _rates(run: Run) -> dict[str, float]:
    """Model key -> what one call of it that cost something cost on average."""
    costs: dict[str, list[Decimal]] = {}
    for step in (GENERATE, VERIFY):
        for image in run.images:
            for call in _of_step(image, step):
                if cost := cost_usd(call):
                    costs.setdefault(VERIFIER_KEY if step == VERIFY else call.model, []).append(cost)
    return {model: usd(sum(those, Decimal(0)) / len(those)) for model, those in sorted(costs.items())}


def _why(segment: SegmentRun) -> str:
    return " ".join(f"Image {image.number}: {error_message(image)}" for image in segment.images if not image.is_stored)


def _segment(segment: SegmentRun) -> dict[str, Any]:
    return {
        "segment_number": segment.number,
        "segment_title": segment.title,
        "segment_duration": segment.duration_s,
        "images": [_image(image) for image in segment.stored],
    }


def _image(image: Image) -> dict[str, Any]:
    drawn, checked = image.calls(GENERATE), image.calls(VERIFY)
    made = image.item.results["generate"]
    verdict = image.item.results["verify"]
    return {
        "image_number": image.number,
        "filename": image.key.rpartition("/")[2],
        "s3_key": image.key,
        "total_cost": usd(image.cost_usd),
        "total_time_seconds": seconds(image.took),
        "generation_attempts": image.passes,
        "verification_attempts": len(checked),
        "final_model": made["model"],
        "prompt_snippet": image.item.steps[0]["inputs"]["prompt"][:SNIPPET],
        "verification_confidence": verdict.get("confidence"),
        "generation_details": [
            {"model_used": call.model, "cost": usd(cost_usd(call)), "time_seconds": seconds(_took(call))}
            for call in drawn
        ],
        "verification_details": [_check(calls) for calls in _by_pass(checked)],
    }


def _by_pass(calls: Iterable[Attempt]) -> list[list[Attempt]]:
    passes: dict[int, list[Attempt]] = {}
    for call in calls:
        passes.setdefault(call.pass_no, []).append(call)
    return [passes[number] for number in sorted(passes)]


def _check(calls: Sequence[Attempt]) -> dict[str, Any]:
    """One picture's check: the calls until there was a verdict. confidence: None without one."""
    return {
        "cost": usd(costs_usd(calls)),
        "time_seconds": seconds(sum((_took(call) for call in calls), timedelta(0))),
        "attempts_made": len(calls),
        "confidence": (calls[-1].said or {}).get("confidence"),
    }


def _took(call: Attempt) -> timedelta:
    return (call.ended_at or call.started_at) - call.started_at
