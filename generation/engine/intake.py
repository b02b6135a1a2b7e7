"""Intake: a plan becomes rows, paid for in the same transaction."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

from django.db import transaction

from credits import ledger
from credits.errors import QuotaExhausted
from generation import events, lanes, queue
from generation.claim import fair_ranks
from generation.engine import closing
from generation.models import HoldReason, Item, ItemStatus, Request, rows
from generation.plan import WEIGHTS, ItemPlan, Plan

QUOTA_WEIGHT = WEIGHTS["high"]


def submit(plan: Plan) -> Request:
    """Charge for a plan and store it, in one transaction; ring the bell after the commit.

    The request comes back with its `new_items`, in the order of the plan. Costs three queries, four with quota.
    Raises InsufficientCredits or QuotaExhausted (nothing is stored), OperationalError when the database
    cannot be reached. With Redis down it succeeds: workers look by themselves.
    """
    places = [_place(item) for item in plan.items]
    with transaction.atomic(savepoint=False):
        ranks, now = fair_ranks(set(places), plan.owner_id)
        request = Request(
            id=plan.id,
            public_id=plan.public_id,
            owner_id=plan.owner_id,
            door=plan.door,
            group=plan.group,
            params=dict(plan.params),
            description=plan.description,
            max_open_bundles=plan.max_open_bundles,
            mirrored_seq=0 if plan.mirrored else None,
            seq=1,
            created_at=now,
        )
        _pay(plan, request)
        items = request.new_items = _items(plan, request, places, ranks)
        # The bell before the hint: a worker waits for the one, and the other's thread would take turns with it.
        queue.ring_after_commit(sum(item.status == ItemStatus.QUEUED for item in items))
        first = events.submitted(request.pk, plan.owner_id, plan.door, now, items=len(items), charged=plan.price)
        rows.insert([request], items, [first])
    return request


def _place(planned: ItemPlan) -> tuple[str, int]:
    """The lane and weight in which an item begins."""
    weight = max(WEIGHTS[planned.priority], QUOTA_WEIGHT if planned.uses_quota else 0)
    return lanes.lane_of(planned.steps[0], 0), weight


def _pay(plan: Plan, request: Request) -> None:
    units = sum(item.uses_quota for item in plan.items)
    if units and not ledger.take_quota(plan.owner_id, units, request.created_at.date()):
        raise QuotaExhausted(units, 0)
    if plan.price:
        ledger.charge(
            plan.owner_id,
            plan.price,
            reference=f"request:{request.pk}:0",
            subject=f"request:{request.pk}",
            operation_key=plan.items[0].price_key,
            description=plan.description,
            cost_usd=sum((Decimal(item.cost_usd) for item in plan.items), Decimal(0)),
            metadata=closing.told_beside(request.pk, plan.group),
        )


def _items(
    plan: Plan, request: Request, places: list[tuple[str, int]], ranks: dict[tuple[str, int], int]
) -> list[Item]:
    """Make the rows, ranked behind what the owner already has waiting; bundles beyond the cap start HELD.

    Those have a rank too, so that people are told their place; they are ranked anew when they are released.
    """
    held = _bundles_beyond_cap(plan)
    following = {place: count(rank) for place, rank in ranks.items()}
    items = [
        _item(planned, request, index, place, next(following[place]))
        for index, (planned, place) in enumerate(zip(plan.items, places, strict=True))
    ]
    for item in items:
        if item.bundle in held:
            item.status, item.hold_reason = ItemStatus.HELD, HoldReason.BUNDLE
    return items


def _bundles_beyond_cap(plan: Plan) -> set[int]:
    if plan.max_open_bundles is None:
        return set()
    bundles = sorted({item.bundle for item in plan.items if item.bundle is not None})
    return set(bundles[plan.max_open_bundles :])


def _item(planned: ItemPlan, request: Request, index: int, place: tuple[str, int], rank: int) -> Item:
    lane, weight = place
    return Item(
        public_id=planned.public_id,
        request=request,
        owner_id=request.owner_id,
        door=request.door,
        index=index,
        prompt=planned.prompt,
        params=dict(planned.params),
        bundle=planned.bundle,
        lane=lane,
        priority=planned.priority,
        weight=weight,
        rank=rank,
        queued_at=request.created_at,
        created_at=request.created_at,
        steps=[step.as_json() for step in planned.steps],
        deadline_s=planned.deadline_s,
        price_key=planned.price_key,
        price=planned.price,
        charged=planned.price,
        parts=dict(planned.parts),
        quota_day=request.created_at.date() if planned.uses_quota else None,
        cancel_refund=planned.cancel_refund,
        keep_codes=list(planned.keep_codes),
    )
