"""How the MakeIt3D door spells what it made: rows, the status of a request, the answer to a submit.

Pure. Providers appear by alias, models and remote ids not at all, and why something failed in one of a few fixed
texts, never in a provider's own words (MakeIt3D contract, sections 5, 6 and 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from generation import storage
from generation.doors.makeit3d.catalogue import Kind
from generation.models import Item, ItemStatus, Request

PENDING, PROCESSING, COMPLETE, FAILED = "pending", "processing", "complete", "failed"
STATUSES = (PENDING, PROCESSING, COMPLETE, FAILED)
ENDED = (COMPLETE, FAILED)

ANY_FAILURE = "The generation service failed."
FAILURES = {
    "TIMEOUT": "The generation service timed out.",
    "CONTENT_REJECTED": "The request was rejected by the content filter.",
    "INVALID_INPUT": "The input could not be processed.",
}
CANCELLED = "The request was cancelled."
# Whose vendor says how far it is.
TELLS_PROGRESS = "provider_c"


def word_of(item: Item) -> str:
    """The contract's word for an item's state."""
    if item.status == ItemStatus.SUCCEEDED:
        return COMPLETE
    if item.status in (ItemStatus.FAILED, ItemStatus.CANCELLED):
        return FAILED
    return PENDING if item.first_started_at is None else PROCESSING


def error_of(item: Item) -> str | None:
    if item.status == ItemStatus.CANCELLED:
        return CANCELLED
    return FAILURES.get(item.error_code, ANY_FAILURE) if item.status == ItemStatus.FAILED else None


def progress_of(item: Item) -> int:
    """A vendor's own percentage where it tells one, else 0, 50 and 100."""
    word = word_of(item)
    if word != PROCESSING:
        return 100 if word == COMPLETE else 0
    return min(item.progress, 99) if item.params["provider"] == TELLS_PROGRESS else 50


def asset_url(item: Item, base_url: str) -> str | None:
    made = item.results.get("generate") or item.results.get(item.params["operation"])
    return storage.link(made["key"], base_url) if made and item.status == ItemStatus.SUCCEEDED else None


def submitted(request: Request) -> dict[str, Any]:
    return {"celery_task_id": str(request.pk), "task_id": str(request.pk), "client_task_id": request.group}


def status(polled: str, items: Sequence[Item], base_url: str) -> dict[str, Any]:
    """The status of a request by its items in order. polled: the id that the caller asked for."""
    words = [word_of(item) for item in items]
    word = _word_of_all(words)
    urls = [url for item in items if (url := asset_url(item, base_url))]
    document = {
        "task_id": polled,
        "status": word,
        "asset_url": urls[0] if word == COMPLETE else None,
        "error": error_of(items[0]) if word == FAILED else None,
        "progress": _progress_of_all(word, items),
        "asset_urls": urls,
        "client_task_id": items[0].params["task_id"],
        "credits_charged": sum(item.charged for item in items),
        "credits_refunded": sum(item.refunded for item in items),
    }
    if items[0].params["operation"] == "downscale":
        document["image_url"] = document["asset_url"]
    return document


def _word_of_all(words: Sequence[str]) -> str:
    """What several results are together: done when all have ended, and well when one did."""
    if set(words) <= set(ENDED):
        return COMPLETE if COMPLETE in words else FAILED
    return PENDING if set(words) == {PENDING} else PROCESSING


def _progress_of_all(word: str, items: Sequence[Item]) -> int:
    if word != PROCESSING:
        return 100 if word == COMPLETE else 0
    return progress_of(items[0]) if len(items) == 1 else 50


def row(item: Item, base_url: str) -> dict[str, Any]:
    """An item as a row of `images` or `models`."""
    params = item.params
    ignored = [*params["ignored"], *(item.results.get("generate") or {}).get("ignored", ())]
    shown = {
        "id": item.public_id,
        "task_id": params["task_id"],
        "celery_task_id": str(item.request_id),
        "user_id": str(item.owner_id),
        "prompt": item.prompt or None,
        "style": params["style"],
        "status": word_of(item),
        "asset_url": asset_url(item, base_url),
        "thumbnail_url": _thumbnail_url(item, base_url),
        "source_input_asset_id": params["source_input_asset_id"],
        "is_public": False,
        "provider": params["provider"],
        "operation_key": item.price_key,
        "metadata": {
            **params["parameters"],
            "operation": params["operation"],
            "ignored": [name for name in dict.fromkeys(ignored) if name in params["given"]],
        },
        "error": error_of(item),
        "created_at": iso(item.created_at),
        "updated_at": iso(item.finished_at or item.started_at or item.created_at),
    }
    if params["table"] == Kind.IMAGE:
        return {**shown, "image_type": "ai_generated", "source_image_id": params["source_image_id"]}
    return {**shown, "source_concept_image_id": params["source_image_id"]}


def _thumbnail_url(item: Item, base_url: str) -> str | None:
    made = item.results.get("thumbnail") if item.status == ItemStatus.SUCCEEDED else None
    return storage.link(made["key"], base_url) if made else None


def present_item(item: Item, base_url: str) -> dict[str, Any]:
    return row(item, base_url)


def present_event(item: Item, event_kind: str | None, seq: int, base_url: str) -> dict[str, Any]:
    """Build the `data` of an update: the row, how far it is, what happened last (None: a snapshot) and `seq`."""
    return {**row(item, base_url), "progress": progress_of(item), "event": event_kind or "snapshot", "seq": seq}


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
