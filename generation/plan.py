"""What a door wants made, before anything is stored: frozen dataclasses, no Django, no database.

A door builds a Plan from what a client sent; the engine stores it and brings it to life. Everything
that decides an item's life later (steps, candidates, retries, refunds) is written down here as data,
so that the engine needs to know no door.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from uuid import UUID, uuid4

# The weight of each priority a client may ask for. A retry after an error waits with RETRY_WEIGHT.
WEIGHTS: dict[str, int] = {"urgent": 1000, "high": 100, "normal": 10, "low": 1}
RETRY_WEIGHT = 1

# Work of our own (thumbnails, adopting a stored result) asks no provider and waits for none.
INTERNAL = "internal"

CancelRefund = Literal["never", "confirmed", "always"]


@dataclass(frozen=True)
class Candidate:
    """A provider's alias and a model key that can do a step; tried in order."""

    provider: str
    model: str = "main"


@dataclass(frozen=True)
class RetryPolicy:
    """When a step is tried again. Waits are bases of a full jitter: uniform(0, min(cap, base * 2^n)).

    by_code, cap_by_code: override base_s and cap_s for an error code; in by_code a status, as HTTP_503, comes first.
    text_rule: an error that no adapter classified is retryable when its text sounds passing (visual-generation
    contract, section 4).
    next_candidate_after: so many retryable failures in a row on one candidate, over passes too, and the next one
    is used from then on; None: only an error that says "this one cannot" moves on.
    """

    max_starts: int = 3
    base_s: float = 10.0
    cap_s: float = 300.0
    weight_after_error: int | None = RETRY_WEIGHT
    by_code: Mapping[str, float] = field(default_factory=dict)
    text_rule: bool = False
    cap_by_code: Mapping[str, float] = field(default_factory=dict)
    next_candidate_after: int | None = None


@dataclass(frozen=True)
class StepPlan:
    """One stage of an item. `name` is a key of `generation.steps.STEPS`.

    inputs: what the step receives (prompt, width, height …), JSON values only. `images`, `mask` and `model` name
    files: a storage key, or `step:NAME` for an earlier step's result; an image that is None stays None.
    `optional_images` are storage keys too, set whole into a frame of `width` and `height`; one that cannot be used
    is left out, and the attempt says so (`said`, `unread`).
    candidates: tried in order; empty for our own work.
    checks: names in `generation.steps.CHECKS`, asked about what the step leaves behind. A bad verdict sends
    the item back to the step named `again_from` for another pass, while `passes` last; then it fails.
    timeout_s: the deadline of one call, after which its lease is no longer renewed.
    park_s: how long a call may stay parked at an asynchronous vendor.
    share: its part of the item's progress bar, beside the other steps' shares.
    required: False when its failure ends only the step, not the item (thumbnails, exports).
    part: a part of the item's price that is given back when a required step of it fails for good; the part's other
    steps are left out then, and the item goes on without what they would have made.
    failure_ends_pass: retryable failures that use up a pass's starts end the pass and not the item, while `passes`
    last: one counter for failed calls and rejected results. With again_from the next pass begins there.
    asks_again: a bad verdict is asked for again while starts last, and any good one is taken.
    rate_limit_starts: the n-th rate-limited answer of a pass counts as a failure; None: they never do.
    """

    name: str
    operation: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    checks: tuple[str, ...] = ()
    again_from: str = ""
    passes: int = 1
    timeout_s: float = 300.0
    park_s: float = 1800.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    share: int = 1
    required: bool = True
    part: str = ""
    failure_ends_pass: bool = False
    rate_limit_starts: int | None = None
    asks_again: bool = False

    def as_json(self) -> dict[str, Any]:
        # Not by `asdict`, which copies everything through and through: each submit pays for it.
        candidates = [vars(candidate) for candidate in self.candidates]
        return {**vars(self), "candidates": candidates, "retry": vars(self.retry)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **data,
                "candidates": tuple(Candidate(**candidate) for candidate in data["candidates"]),
                "checks": tuple(data["checks"]),
                "retry": RetryPolicy(**data["retry"]),
            }
        )


@dataclass(frozen=True)
class ItemPlan:
    """One thing to make: one picture, one pose, one model.

    public_id: the id clients know it by, unique over all doors. price: whole credits, from a quote.
    params: the client's own values, echoed by the door. prompt: the client's own text.
    cancel_refund: what a cancel while running gives back. keep_codes: error codes of failures that
    this door does not refund. bundle: items of one request with the same number count as one against
    the request's `max_open_bundles`. deadline_s: how long it may take from its first start; waiting in
    the queue before that never fails it. uses_quota: paid by one unit of the day's quota, not by credits.
    parts: name -> credits within `price`, for the steps that name them. Raises ValueError for a part that is
    none of them, and for parts that are dearer than the whole.
    """

    public_id: str
    steps: tuple[StepPlan, ...]
    prompt: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    priority: str = "normal"
    price_key: str = ""
    price: int = 0
    cost_usd: str = "0"
    bundle: int | None = None
    deadline_s: int = 6 * 3600
    uses_quota: bool = False
    cancel_refund: CancelRefund = "confirmed"
    keep_codes: tuple[str, ...] = ()
    parts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := {step.part for step in self.steps if step.part} - set(self.parts):
            raise ValueError(f"no credits are named for {', '.join(sorted(unknown))}")
        if self.parts and (min(self.parts.values()) < 0 or sum(self.parts.values()) > self.price):
            raise ValueError("the parts cost more than the whole")


@dataclass(frozen=True)
class Plan:
    """One request as a door wants it made.

    max_open_bundles: None is no cap of its own. mirrored: the door keeps side files, which are written anew when a
    bundle ends (without bundles: an item). id: what the request's will be, so that keys can be named by it
    before anything is stored; a plan is submitted once.
    """

    door: str
    owner_id: UUID
    items: tuple[ItemPlan, ...]
    description: str
    public_id: str | None = None
    group: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    max_open_bundles: int | None = None
    mirrored: bool = False
    id: UUID = field(default_factory=uuid4)

    @property
    def price(self) -> int:
        return sum(item.price for item in self.items)
