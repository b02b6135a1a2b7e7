"""How the MakeIt3D door spells what it made: rows, the status of a request, the answer to a submit.

Pure. Providers appear by alias, models and remote ids not at all, and why something failed in one of a few fixed
texts, never in a provider's own words (MakeIt3D contract, sections 5, 6 and 8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

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


@dataclass(frozen=True, slots=True)
class Shown:
    """What a result's row or status shows of its item; `reader` reads exactly this.

    key, thumbnail_key: of its files, None while there are none. ignored: words that the vendor's model did not know.
    begun: has a first try been started?
    """

    public_id: str
    request_id: UUID
    owner_id: UUID
    prompt: str
    params: Mapping[str, Any]
    status: str
    progress: int
    begun: bool
    price_key: str
    charged: int
    refunded: int
    error_code: str
    key: str | None
    thumbnail_key: str | None
    ignored: Sequence[str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, item: Item) -> Shown:
        made = item.results.get("generate") or item.results.get(item.params["operation"]) or {}
        return cls(
            public_id=item.public_id,
            request_id=item.request_id,
            owner_id=item.owner_id,
            prompt=item.prompt,
            params=item.params,
            status=item.status,
            progress=item.progress,
            begun=item.first_started_at is not None,
            price_key=item.price_key,
            charged=item.charged,
            refunded=item.refunded,
            error_code=item.error_code,
            key=made.get("key"),
            thumbnail_key=(item.results.get("thumbnail") or {}).get("key"),
            ignored=made.get("ignored") or (),
            created_at=item.created_at,
            updated_at=item.finished_at or item.started_at or item.created_at,
        )

    @property
    def word(self) -> str:
        """The contract's word for its state."""
        if self.status == ItemStatus.SUCCEEDED:
            return COMPLETE
        if self.status in (ItemStatus.FAILED, ItemStatus.CANCELLED):
            return FAILED
        return PROCESSING if self.begun else PENDING

    @property
    def error(self) -> str | None:
        if self.status == ItemStatus.CANCELLED:
            return CANCELLED
        return FAILURES.get(self.error_code, ANY_FAILURE) if self.status == ItemStatus.FAILED else None

    @property
    def percentage(self) -> int:
        """A vendor's own where it tells one, else 0, 50 and 100."""
        word = self.word
        if word != PROCESSING:
            return 100 if word == COMPLETE else 0
        return min(self.progress, 99) if self.params["provider"] == TELLS_PROGRESS else 50

    def link(self, key: str | None, base_url: str) -> str | None:
        """A link to one of its files, once it is complete."""
        return storage.link(key, base_url) if key and self.status == ItemStatus.SUCCEEDED else None


def submitted(request: Request) -> dict[str, Any]:
    return {"celery_task_id": str(request.pk), "task_id": str(request.pk), "client_task_id": request.group}


def status(polled: str, items: Sequence[Shown], base_url: str) -> dict[str, Any]:
    """The status of a request by its items in order. polled: the id that the caller asked for."""
    word = _word_of_all([item.word for item in items])
    urls = [url for item in items if (url := item.link(item.key, base_url))]
    document = {
        "task_id": polled,
        "status": word,
        "asset_url": urls[0] if word == COMPLETE else None,
        "error": items[0].error if word == FAILED else None,
        "progress": _percentage_of_all(word, items),
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


def _percentage_of_all(word: str, items: Sequence[Shown]) -> int:
    if word != PROCESSING:
        return 100 if word == COMPLETE else 0
    return items[0].percentage if len(items) == 1 else 50


def row(item: Shown, base_url: str) -> dict[str, Any]:
    """A row of `images` or `models`."""
    params = item.params
    ignored = dict.fromkeys([*params["ignored"], *item.ignored])
    shown = {
        "id": item.public_id,
        "task_id": params["task_id"],
        "celery_task_id": str(item.request_id),
        "user_id": str(item.owner_id),
        "prompt": item.prompt or None,
        "style": params["style"],
        "status": item.word,
        "asset_url": item.link(item.key, base_url),
        "thumbnail_url": item.link(item.thumbnail_key, base_url),
        "source_input_asset_id": params["source_input_asset_id"],
        "is_public": False,
        "provider": params["provider"],
        "operation_key": item.price_key,
        "metadata": {
            **params["parameters"],
            "operation": params["operation"],
            "ignored": [name for name in ignored if name in params["given"]],
        },
        "error": item.error,
        "created_at": iso(item.created_at),
        "updated_at": iso(item.updated_at),
    }
    if params["table"] == Kind.IMAGE:
        return {**shown, "image_type": "ai_generated", "source_image_id": params["source_image_id"]}
    return {**shown, "source_concept_image_id": params["source_image_id"]}


def present_item(item: Item, base_url: str) -> dict[str, Any]:
    return row(Shown.of(item), base_url)


def present_event(item: Item, event_kind: str | None, seq: int, base_url: str) -> dict[str, Any]:
    """Build the `data` of an update: the row, how far it is, what happened last (None: a snapshot) and `seq`."""
    shown = Shown.of(item)
    return {**row(shown, base_url), "progress": shown.percentage, "event": event_kind or "snapshot", "seq": seq}


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
