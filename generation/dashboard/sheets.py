"""Requests and their items as their owner sees them: words for states, what to do next, what it cost. Reads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from generation.dashboard import fields, wares
from generation.dashboard.doors import MAKEIT3D, POSES, STORIES, VISUALS
from generation.dashboard.fields import is_our_task
from generation.models import Asset, Item, ItemStatus, Request, RequestStatus

QUEUED, IN_PROGRESS, COMPLETED, FAILED, CANCELLED = "queued", "in progress", "completed", "failed", "cancelled"
OPEN = (RequestStatus.QUEUED, RequestStatus.RUNNING)

_WORDS = {
    ItemStatus.RUNNING: IN_PROGRESS,
    ItemStatus.WAITING: IN_PROGRESS,
    ItemStatus.SUCCEEDED: COMPLETED,
    ItemStatus.FAILED: FAILED,
    ItemStatus.CANCELLED: CANCELLED,
}

# Error code -> what a person can do now, after the text that says what happened.
_BUSY = "Try again in a few minutes, or choose another provider."
WAY_OUT: dict[str, str] = {
    "CONTENT_REJECTED": "Say it in other words and send it again.",
    "INVALID_INPUT": "Change what was given and send it again, or choose another provider.",
    "INVALID_IMAGE": "Send it again; it is usually fine the second time.",
    "CHECK_FAILED": "Say more exactly what it should show and send it again.",
    "RATE_LIMITED": _BUSY,
    "TIMEOUT": _BUSY,
    "NETWORK_ERROR": _BUSY,
    "SERVICE_UNAVAILABLE": _BUSY,
    "STORAGE_ERROR": "Send it again in a few minutes.",
}
ANY_WAY_OUT = "Send it again, or choose another provider; if it fails once more, ask us."
# Our own steps after the one that makes it.
FINISHING = "finishing"


class Worded:
    """Something that is being made, with the word for what is being done with it."""

    word: str

    @property
    def css(self) -> str:
        """The class of its state; each step on the way looks like progress."""
        return self.word if self.word in (QUEUED, COMPLETED, FAILED, CANCELLED) else "in-progress"


@dataclass(frozen=True)
class Card:
    """One item as its owner sees it. link, thumbnail: empty without one. place: in the queue, 0 when unknown."""

    item: Item
    state: str
    progress: int
    asset: Asset | None
    link: str
    thumbnail: str
    what_to_do: str
    place: int = 0

    @property
    def is_open(self) -> bool:
        return self.state in (QUEUED, IN_PROGRESS)

    @property
    def is_model(self) -> bool:
        """Whether a model is made, or was."""
        return bool(self.item.steps[0]["operation"].endswith("-model")) if self.item.steps else False

    @property
    def kind(self) -> str:
        """What was asked for, in people's words."""
        return wares.kind_of(self.item)

    @property
    def words(self) -> str:
        """What its owner said that it should show; empty without words."""
        return wares.words_of(self.item)

    @property
    def provider(self) -> str:
        return wares.provider_name(self.item.params.get("provider") or "")

    @property
    def chosen(self) -> list[tuple[str, str]]:
        """What was chosen beside the words, as name and value."""
        params = self.item.params
        if self.item.door == MAKEIT3D:
            return fields.told(params["operation"], params["provider"], params["parameters"])
        metadata = params.get("metadata") or {}
        named = {"Format": metadata.get("aspectRatio"), "Style": metadata.get("imageStyle")}
        return [(name, wares.spoken(value)) for name, value in named.items() if isinstance(value, str) and value]

    @property
    def stage(self) -> str:
        """What is being done with it."""
        if self.state == QUEUED:
            return self.state
        return FINISHING if self.item.step else "being made"

    @property
    def is_waiting_for_retry(self) -> bool:
        return self.item.status == ItemStatus.HELD and self.item.hold_reason == "retry"

    @property
    def next_wares(self) -> list[wares.Ware]:
        names = wares.NEXT_OF_MODEL if self.is_model else wares.NEXT_OF_PICTURE
        return [wares.BY_OPERATION[name] for name in names]


@dataclass(frozen=True)
class Sheet:
    """One request as its owner sees it."""

    request: Request
    cards: list[Card]

    @property
    def is_open(self) -> bool:
        return self.request.status in OPEN

    @property
    def state(self) -> str:
        if self.is_open:
            begun = self.request.status == RequestStatus.RUNNING or any(card.state != QUEUED for card in self.cards)
            return IN_PROGRESS if begun else QUEUED
        ended = {card.state for card in self.cards}
        return "partly completed" if len(ended) > 1 and COMPLETED in ended else str(self.request.status).lower()

    @property
    def progress(self) -> int:
        return sum(card.progress for card in self.cards) // len(self.cards) if self.cards else 0

    @property
    def made(self) -> int:
        return sum(card.state == COMPLETED for card in self.cards)

    @property
    def is_in_part(self) -> bool:
        """Whether some of it is made and some is not."""
        return 0 < self.made < len(self.cards)

    @property
    def title(self) -> str:
        if self.request.door == STORIES:
            return str(self.request.params.get("template_title") or self.request.group)
        if self.request.door == POSES:
            return str(self.request.params.get("textPrompt") or _counted(len(self.cards), "pose"))
        if self.differ and self.cards[0].words:
            return f"{self.cards[0].words}, and {len(self.cards) - 1} more"
        return self.words or (self.cards[0].kind if self.cards else "") or self.request.description

    @property
    def words(self) -> str:
        """What its owner said that it should show; empty without words, or when its results differ in them."""
        return self.cards[0].words if self.cards and not self.differ else ""

    @property
    def is_waiting(self) -> bool:
        """Whether some of it still waits for its turn."""
        return any(card.state == QUEUED for card in self.cards)

    @property
    def differ(self) -> bool:
        """Whether its results were asked for in different words."""
        return len({card.item.prompt for card in self.cards}) > 1

    @property
    def task(self) -> str:
        """The client's own name for what it belongs to; empty when it gave none."""
        return "" if is_our_task(self.request.group) else self.request.group

    @property
    def kind(self) -> str:
        """What was asked for, and how many of them."""
        if self.request.door == STORIES:
            return _counted(len(self.cards), "picture", "Story")
        if self.request.door == POSES:
            return _counted(len(self.cards), "pose") if self.request.params.get("textPrompt") else "Poses"
        kind = self.cards[0].kind if self.cards else ""
        many = "model" if self.cards and self.cards[0].is_model else "picture"
        return _counted(len(self.cards), many, kind) if len(self.cards) > 1 else kind

    @property
    def again(self) -> str:
        """The address of the form that it came from, filled in as it was."""
        if self.request.door == VISUALS and len(self.cards) > 1:
            return f"{reverse('app-make-visuals')}?like={self.request.pk}"
        return again(self.request, self.cards[0].item if self.cards else None)

    @property
    def again_failed(self) -> str:
        """The same for those of a batch that failed; empty when none did, or nothing else came of it."""
        is_mixed = self.request.door == VISUALS and {COMPLETED, FAILED} <= {card.state for card in self.cards}
        return f"{reverse('app-make-visuals')}?like={self.request.pk}&only=failed" if is_mixed else ""

    @property
    def charged(self) -> int:
        return sum(card.item.charged for card in self.cards)

    @property
    def refunded(self) -> int:
        return sum(card.item.refunded for card in self.cards)

    @property
    def paid(self) -> int:
        return self.charged - self.refunded


def again(request: Request, item: Item | None) -> str:
    """The address of the form that one result came from, filled in as it was."""
    if request.door == STORIES:
        return f"{reverse('app-story-new')}?like={request.group}"
    if request.door == MAKEIT3D and item:
        return f"{reverse('app-make-operation', args=[item.params['operation']])}?like={request.pk}"
    if request.door == VISUALS and item and request.public_id:  # one of a batch
        return f"{reverse('app-make-visual')}?like={request.pk}&item={item.public_id}"
    form = {VISUALS: "app-make-visual", POSES: "app-poses-new"}.get(request.door, "app-make")
    return f"{reverse(form)}?like={request.pk}"


def state_of(item: Item) -> str:
    """The word for people: what waits with something made already is in progress."""
    status = ItemStatus(item.status)
    if status in (ItemStatus.QUEUED, ItemStatus.HELD):
        return IN_PROGRESS if item.step else QUEUED
    return _WORDS[status]


def _counted(number: int, word: str, what: str = "") -> str:
    counted = f"{number} {word}{'' if number == 1 else 's'}"
    return f"{what}, {counted}" if what else counted
