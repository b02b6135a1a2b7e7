"""How the visual-generation door spells items and requests: its documents, its words for states and events.

Pure but for the place in the queue (one query while an item waits) and, where asked for, the picture
itself. Provider and model appear only as alias and model key.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from generation import queue, storage
from generation.figures import Figures
from generation.models import EventKind, HoldReason, Item, ItemStatus, Request, RequestStatus

QUEUED, IN_PROGRESS, COMPLETED, FAILED, CANCELLED = "queued", "in-progress", "completed", "failed", "cancelled"
PARTIAL = "partial"

_WORDS = {
    ItemStatus.RUNNING: IN_PROGRESS,
    ItemStatus.WAITING: IN_PROGRESS,
    ItemStatus.SUCCEEDED: COMPLETED,
    ItemStatus.FAILED: FAILED,
    ItemStatus.CANCELLED: CANCELLED,
}
ENDED = (COMPLETED, FAILED, CANCELLED)

# The contract's codes; what the desk calls otherwise is none of the customer's business.
_CODES = re.compile(
    r"RATE_LIMITED|TIMEOUT|NETWORK_ERROR|SERVICE_UNAVAILABLE|CONTENT_REJECTED|PROVIDER_AUTH|PROVIDER_CREDIT"
    r"|INVALID_INPUT|INVALID_IMAGE|HTTP_\d{3}"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- Words ---------------------------------------------------------------------------------------


def word_of(item: Item) -> str:
    """The contract's word for an item's state. What waits with something made already is in progress."""
    status = ItemStatus(item.status)
    if status in (ItemStatus.QUEUED, ItemStatus.HELD):
        return IN_PROGRESS if item.step else QUEUED
    return _WORDS[status]


def batch_word_of(request: Request, words: Sequence[str]) -> str:
    """The contract's word for a batch, from its members' words."""
    kinds = set(words)
    if not kinds <= set(ENDED):
        has_begun = request.status != RequestStatus.QUEUED or IN_PROGRESS in kinds
        return IN_PROGRESS if has_begun else QUEUED
    if len(kinds) == 1:
        return words[0]
    return PARTIAL if COMPLETED in kinds else FAILED


def iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


# --- One request ---------------------------------------------------------------------------------


def present_item(item: Item, base_url: str, *, image_data: bool = False) -> dict[str, Any]:
    """Build an item's status document. `item.request` should be loaded with it.

    base_url: scheme and host by which the client came. image_data: put the picture itself in, as a data
    URL; raises StorageError when it cannot be read.
    """
    word = word_of(item)
    return {
        "requestId": item.public_id,
        "type": item.params["type"],
        "prompt": item.prompt,
        "status": word,
        "priority": item.priority,
        "progress": _progress(item, word),
        "metadata": _metadata(item, word),
        "result": _result(item, base_url, image_data) if word == COMPLETED else None,
        "error": _error(item) if word == FAILED else None,
        "projectId": item.params.get("projectId"),
        "pageId": item.params.get("pageId"),
        "batchId": item.request.public_id,
        "queuePosition": queue.position(item) if word == QUEUED else None,
        "creditsCharged": item.charged,
        "creditsRefunded": item.refunded,
    }


def _progress(item: Item, word: str) -> int:
    return 100 if word == COMPLETED else min(item.progress, 99) if word == IN_PROGRESS else 0


def _metadata(item: Item, word: str) -> dict[str, Any]:
    sent = item.params.get("metadata") or {}
    waits_for_retry = item.status == ItemStatus.HELD and item.hold_reason == HoldReason.RETRY
    return {
        "requestedAt": iso(item.created_at),
        "startedAt": None if word == QUEUED else iso(item.started_at),
        "completedAt": iso(item.finished_at),
        "attempts": _attempts(item),
        "maxAttempts": item.steps[0]["retry"]["max_starts"],
        "generationTime": _generation_ms(item, word),
        "nextAttemptAt": iso(item.run_after) if waits_for_retry else None,
        **{key: sent[key] for key in ("imageStyle", "aspectRatio", "provider") if key in sent},
    }


def _attempts(item: Item) -> int:
    """Starts of the picture itself: the item counts those of the step it stands at."""
    made: int | None = item.results.get("generate", {}).get("starts")
    return item.starts if made is None else made


def _generation_ms(item: Item, word: str) -> int | None:
    if word != COMPLETED or item.started_at is None or item.finished_at is None:
        return None
    return _ms(item.finished_at) - _ms(item.started_at)


def _result(item: Item, base_url: str, image_data: bool) -> dict[str, Any]:
    made = item.results["generate"]
    content_type = made.get("content_type") or storage.content_type_of(made["key"])
    result = {
        "imageUrl": storage.link(made["key"], base_url),
        "provider": made.get("provider"),
        "model": made.get("model"),
        "generationTime": _generation_ms(item, COMPLETED),
        "width": made.get("width"),
        "height": made.get("height"),
        "contentType": content_type,
    }
    if image_data:
        picture = base64.b64encode(storage.read(made["key"])).decode()
        return {"imageData": f"data:{content_type};base64,{picture}", **result}
    return result


def _error(item: Item) -> dict[str, Any]:
    code = item.error_code if _CODES.fullmatch(item.error_code) else "UNKNOWN_ERROR"
    return {"message": item.error_message, "code": code, "retryable": item.error_retryable}


# --- Live ----------------------------------------------------------------------------------------

MESSAGES = {
    "request-queued": "Waiting in the queue.",
    "request-started": "The generation has started.",
    "request-retrying": "It did not work out; another attempt follows.",
    "request-completed": "The picture is ready.",
    "request-cancelled": "The request was cancelled.",
}


def present_event(item: Item, event_kind: str | None, seq: int, base_url: str) -> dict[str, Any]:
    """Build the `data` of an update: the status document without the picture, an event name, a text and `seq`.

    event_kind: the newest event's kind; None for a snapshot on subscribing.
    """
    document = present_item(item, base_url)
    name = event_name(item, event_kind)
    return {**document, "event": name, "message": _message(document, name), "seq": seq}


def event_name(item: Item, event_kind: str | None) -> str:
    """The contract's name of what happened. The document decides where the event is older than it."""
    if event_kind in (None, EventKind.REFUNDED):
        return "snapshot"
    word = word_of(item)
    if word in ENDED:
        return f"request-{word}"
    if word == QUEUED:
        return "request-retrying" if item.hold_reason == HoldReason.RETRY else "request-queued"
    return "request-started" if event_kind in (EventKind.STARTED, EventKind.REQUEST_STARTED) else "request-progress"


def _message(document: dict[str, Any], name: str) -> str:
    if document["error"]:
        return str(document["error"]["message"])
    words = {QUEUED: "request-queued", COMPLETED: "request-completed", CANCELLED: "request-cancelled"}
    told = words.get(document["status"], "") if name == "snapshot" else name
    return MESSAGES.get(told) or f"{document['progress']} % done."


# --- Answers to verbs ----------------------------------------------------------------------------


def submitted(item: Item, waiting: int, position: int) -> dict[str, Any]:
    """Answer a submit. waiting: how many are queued now, this one included."""
    return {
        "success": True,
        "requestId": item.public_id,
        "status": QUEUED,
        "estimatedWaitTime": waiting * settings.VISUAL_SECONDS_PER_REQUEST,
        "queuePosition": position,
        "creditsCharged": item.charged,
    }


def batch_submitted(request: Request, items: Sequence[Item], waiting: int, positions: Sequence[int]) -> dict[str, Any]:
    """Answer a batch in the order sent, each entry as if it had been submitted after those before it."""
    before = max(0, waiting - len(items))
    return {
        "success": True,
        "batchId": request.public_id,
        "status": QUEUED,
        "total": len(items),
        "creditsCharged": sum(item.charged for item in items),
        "estimatedWaitTime": waiting * settings.VISUAL_SECONDS_PER_REQUEST,
        "requests": [
            {
                "index": item.index,
                "requestId": item.public_id,
                "status": QUEUED,
                "queuePosition": position,
                "estimatedWaitTime": (before + item.index + 1) * settings.VISUAL_SECONDS_PER_REQUEST,
                "creditsCharged": item.charged,
                "projectId": item.params["projectId"],
                "pageId": item.params["pageId"],
            }
            for item, position in zip(items, positions, strict=True)
        ],
    }


def cancelled(refunded: int) -> dict[str, Any]:
    return {
        "success": True,
        "message": "Request cancelled successfully",
        "creditsRefunded": refunded,
        "status": CANCELLED,
    }


# --- A batch, the queue --------------------------------------------------------------------------


def present_batch(request: Request, items: Iterable[Item], base_url: str) -> dict[str, Any]:
    """Build a batch's status document from its items in order."""
    members = list(items)
    words = [word_of(item) for item in members]
    count = Counter(words)
    ended = sum(count[word] for word in ENDED)
    return {
        "batchId": request.public_id,
        "status": batch_word_of(request, words),
        "totalRequests": len(members),
        "completedRequests": count[COMPLETED],
        "failedRequests": count[FAILED],
        "cancelledRequests": count[CANCELLED],
        "inProgressRequests": count[IN_PROGRESS],
        "queuedRequests": count[QUEUED],
        "progress": 100 * ended // len(members),
        "maxConcurrent": request.max_open_bundles,
        "createdAt": iso(request.created_at),
        "completedAt": iso(request.finished_at),
        "creditsCharged": sum(item.charged for item in members),
        "creditsRefunded": sum(item.refunded for item in members),
        "estimatedTimeRemaining": (len(members) - ended) * settings.VISUAL_SECONDS_PER_REQUEST,
        "requests": [_member(item, word, base_url) for item, word in zip(members, words, strict=True)],
        "errors": [_batch_error(item) for item, word in zip(members, words, strict=True) if word == FAILED],
    }


def _member(item: Item, word: str, base_url: str) -> dict[str, Any]:
    return {
        "index": item.index,
        "requestId": item.public_id,
        "status": word,
        "progress": _progress(item, word),
        "imageUrl": storage.link(item.results["generate"]["key"], base_url) if word == COMPLETED else None,
        "error": _error(item) if word == FAILED else None,
    }


def _batch_error(item: Item) -> dict[str, Any]:
    return {
        "requestId": item.public_id,
        "pageId": item.params.get("pageId"),
        "projectId": item.params.get("projectId"),
        "error": item.error_message,
        "retryable": item.error_retryable,
    }


def queue_status(figures: Figures) -> dict[str, Any]:
    status: dict[str, Any] = {
        "queueLength": figures.queue_length,
        "activeRequests": figures.active,
        "averageWaitTime": round(figures.average_wait_s),
        "queuedByPriority": {word: getattr(figures, word) for word in ("urgent", "high", "normal", "low")},
        "systemStatus": figures.system_status,
    }
    if settings.ENABLE_METRICS:
        status["metrics"] = {
            "requestsTotal": figures.total,
            "requestsCompleted": figures.completed,
            "requestsFailed": figures.failed,
            "averageGenerationTime": round(figures.average_generation_s, 3),
            "queueLength": figures.queue_length,
            "activeRequests": figures.active,
        }
    return status
