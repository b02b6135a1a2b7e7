"""What staff can do to requests and items: each calls the engine's own verb and counts what came of it."""

from __future__ import annotations

from typing import Any

from django import forms

from config.staff import CUSTOMERS, Choice, Order, Outcome, ReasonForm, Refused, Switch, Verb
from credits.errors import InsufficientCredits
from generation import engine
from generation.models import HoldReason, Item, ItemStatus, Request, RequestStatus
from generation.plan import WEIGHTS
from generation.states import FINAL

ENDED = (RequestStatus.COMPLETED, RequestStatus.FAILED, RequestStatus.CANCELLED)


class RetryForm(ReasonForm):
    charge = forms.BooleanField(
        required=False,
        widget=Switch,
        label="Charge the customer again",
        help_text="Only for what has failed and is made anew. Otherwise the new round is free.",
    )
    field_order = ("charge", "reason")


class PriorityForm(ReasonForm):
    priority = forms.ChoiceField(choices=[(name, name) for name in WEIGHTS], initial="high", widget=Choice)
    field_order = ("priority", "reason")


class RefundForm(ReasonForm):
    read_by = CUSTOMERS
    credits = forms.IntegerField(
        required=False,
        min_value=1,
        widget=forms.NumberInput(attrs={"class": "console-number", "inputmode": "numeric"}),
        help_text="Empty: everything that is left of what was charged.",
    )
    field_order = ("credits", "reason")


# --- Requests ------------------------------------------------------------------------------------


def cancel_request(request: Request, order: Order) -> Outcome:
    cancelled = engine.cancel(request.pk, actor=order.by)
    return Outcome(
        done=len(cancelled.item_ids),
        missed=request.items.count() - len(cancelled.item_ids),
        credits=cancelled.refunded,
    )


def retry_request(request: Request, order: Order) -> Outcome:
    """Let what waits go on now; of an ended request, make what has failed anew."""
    done = engine.retry_now(request.pk, actor=order.by) + _reopen(request, order)
    return Outcome(done=done, missed=request.items.count() - done)


def _reopen(request: Request, order: Order) -> int:
    try:
        return engine.reopen(request.pk, actor=order.by, charge=bool(order.values.get("charge")))
    except InsufficientCredits as error:
        raise Refused(f"{request}: {error}") from None


def hold_request(request: Request, order: Order) -> Outcome:
    return _of_all(request, engine.hold(request.pk, actor=order.by))


def release_request(request: Request, order: Order) -> Outcome:
    return _of_all(request, engine.release(request.pk, actor=order.by))


def prioritise_request(request: Request, order: Order) -> Outcome:
    return _of_all(request, engine.reprioritise(request.pk, order.values["priority"], actor=order.by))


def _of_all(request: Request, done: int) -> Outcome:
    return Outcome(done=done, missed=request.items.count() - done)


def refund_request(request: Request, order: Order) -> Outcome:
    """Give back credits of a request, from its first item on, until the asked sum or the charge is reached."""
    wanted = order.values["credits"]
    done = back = 0
    for item in request.items.filter(charged__gt=0).order_by("pk"):
        left = item.charged - item.refunded if wanted is None else wanted - back
        given = _refund(item, left, order) if left > 0 else 0
        back += given
        done += bool(given)
    if wanted is not None and back < wanted:
        raise Refused(f"{request}: only {back} of the {wanted} credits are left to give back. Nothing was refunded.")
    return Outcome(done=done, missed=0 if done else 1, credits=back)


# --- Items ---------------------------------------------------------------------------------------


def cancel_item(item: Item, order: Order) -> Outcome:
    cancelled = engine.cancel(item.request_id, [item.pk], actor=order.by)
    return _of_one(len(cancelled.item_ids), cancelled.refunded)


def retry_item(item: Item, order: Order) -> Outcome:
    if item.status == ItemStatus.FAILED:
        return _of_one(_reopen(item.request, order))
    return _of_one(engine.retry_now(item.request_id, [item.pk], actor=order.by))


def hold_item(item: Item, order: Order) -> Outcome:
    return _of_one(engine.hold(item.request_id, [item.pk], actor=order.by))


def release_item(item: Item, order: Order) -> Outcome:
    return _of_one(engine.release(item.request_id, [item.pk], actor=order.by))


def prioritise_item(item: Item, order: Order) -> Outcome:
    return _of_one(engine.reprioritise(item.request_id, order.values["priority"], [item.pk], actor=order.by))


def refund_item(item: Item, order: Order) -> Outcome:
    wanted = order.values["credits"]
    left = item.charged - item.refunded
    if wanted is not None and wanted > left:
        raise Refused(f"{item}: {left} credits are left to give back, not {wanted}. Nothing was refunded.")
    back = _refund(item, wanted or left, order) if left else 0
    return _of_one(int(bool(back)), back)


def _of_one(done: int, credits: int = 0) -> Outcome:
    return Outcome(done=done, missed=int(not done), credits=credits)


def _refund(item: Item, credits: int, order: Order) -> int:
    return engine.refund(item.pk, credits, reason=order.reason, actor=order.by, form_key=order.form_key)


# --- The tables ----------------------------------------------------------------------------------


def _request_is_open(request: Request) -> bool:
    return request.status not in ENDED


def _request_can_be_retried(request: Any) -> bool:
    """While it is open something may wait; once it has ended something must have failed (`RequestAdmin` counts it)."""
    return _request_is_open(request) or bool((request.sums or {}).get("failed"))


def _item_is_open(item: Item) -> bool:
    return item.status not in FINAL


def _item_waits(item: Item) -> bool:
    return item.status in (ItemStatus.QUEUED, ItemStatus.HELD)


def _item_can_be_retried(item: Item) -> bool:
    waits_for_us = item.hold_reason in (HoldReason.RETRY, HoldReason.STAFF)
    return item.status == ItemStatus.FAILED or (item.status == ItemStatus.HELD and waits_for_us)


def _is_held_by_staff(item: Item) -> bool:
    return item.status == ItemStatus.HELD and item.hold_reason == HoldReason.STAFF


def _request_refund(request: Any, order: Order) -> int:
    sums = request.sums or {"charged": 0, "refunded": 0}
    return order.values["credits"] or sums["charged"] - sums["refunded"]


def _item_refund(item: Item, order: Order) -> int:
    return order.values["credits"] or item.charged - item.refunded


CANCEL, RETRY, HOLD, REFUND, PRIORITISE = (
    "generation.cancel_request",
    "generation.retry_request",
    "generation.hold_request",
    "generation.refund_item",
    "generation.prioritise_request",
)

REQUEST_VERBS = (
    Verb(
        "retry",
        "Retry",
        "replay",
        "Let what waits for another try go on now, and make anew what has failed in an ended request?",
        RETRY,
        retry_request,
        "sent on its way again",
        "had nothing to retry",
        form=RetryForm,
        applies=_request_can_be_retried,
    ),
    Verb(
        "prioritise",
        "Change priority",
        "swap_vert",
        "Give what waits another priority? The customer's own choice stays on record.",
        PRIORITISE,
        prioritise_request,
        "ranked anew",
        "no longer waited",
        form=PriorityForm,
        applies=_request_is_open,
    ),
    Verb(
        "hold",
        "Hold",
        "pause",
        "Keep what waits from being started until somebody releases it?",
        HOLD,
        hold_request,
        "held",
        "no longer waited",
        applies=_request_is_open,
    ),
    Verb(
        "release",
        "Release",
        "play_arrow",
        "Let what staff held go back into the queue?",
        HOLD,
        release_request,
        "released",
        "was not held by staff",
        applies=_request_is_open,
    ),
    Verb(
        "refund",
        "Refund",
        "undo",
        "Give the customer credits back?",
        REFUND,
        refund_request,
        "refunded",
        "had nothing left to refund",
        form=RefundForm,
        weighs=_request_refund,
    ),
    Verb(
        "cancel",
        "Cancel",
        "block",
        "Cancel everything that has not ended? What waits is refunded in full; what runs, by its door's rule.",
        CANCEL,
        cancel_request,
        "cancelled",
        "had already ended",
        applies=_request_is_open,
        is_dangerous=True,
    ),
)

ITEM_VERBS = (
    Verb(
        "retry",
        "Retry",
        "replay",
        "Let what stands below go on now? What has failed opens a new round of its request.",
        RETRY,
        retry_item,
        "sent on its way again",
        "had nothing to retry",
        form=RetryForm,
        applies=_item_can_be_retried,
    ),
    Verb(
        "prioritise",
        "Change priority",
        "swap_vert",
        "Give what stands below another priority? The customer's own choice stays on record.",
        PRIORITISE,
        prioritise_item,
        "ranked anew",
        "no longer waited",
        form=PriorityForm,
        applies=_item_waits,
    ),
    Verb(
        "hold",
        "Hold",
        "pause",
        "Keep what stands below from being started until somebody releases it?",
        HOLD,
        hold_item,
        "held",
        "no longer waited",
        applies=_item_waits,
    ),
    Verb(
        "release",
        "Release",
        "play_arrow",
        "Let what stands below go back into the queue?",
        HOLD,
        release_item,
        "released",
        "was not held by staff",
        applies=_is_held_by_staff,
    ),
    Verb(
        "refund",
        "Refund",
        "undo",
        "Give the customer credits back?",
        REFUND,
        refund_item,
        "refunded",
        "had nothing left to refund",
        form=RefundForm,
        applies=lambda item: item.charged > item.refunded,
        weighs=_item_refund,
    ),
    Verb(
        "cancel",
        "Cancel",
        "block",
        "Cancel what stands below? What waits is refunded in full; what runs, by its door's rule.",
        CANCEL,
        cancel_item,
        "cancelled",
        "had already ended",
        applies=_item_is_open,
        is_dangerous=True,
    ),
)
