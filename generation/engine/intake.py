"""Intake: a plan becomes rows, paid for in the same transaction."""

from __future__ import annotations

import uuid
from datetime import datetime
from itertools import count

from django.db import connection, transaction
from django.utils import timezone

from credits import ledger
from generation import events, lanes, queue
from generation.claim import fair_rank
from generation.models import HoldReason, Item, ItemStatus, Request
from generation.plan import WEIGHTS, ItemPlan, Plan

QUOTA_WEIGHT = WEIGHTS["high"]


def submit(plan: Plan) -> Request:
    """Charge for a plan and store it, in one transaction; ring the bell after the commit.

    Raises InsufficientCredits or QuotaExhausted (nothing is stored), OperationalError when the database
    cannot be reached. With Redis down it succeeds: workers look by themselves.
    """
    with transaction.atomic():
        now = _clock()
        request = Request(
            id=uuid.uuid4(),
            public_id=plan.public_id,
            owner_id=plan.owner_id,
            door=plan.door,
            group=plan.group,
            params=dict(plan.params),
            description=plan.description,
            max_open_bundles=plan.max_open_bundles,
            seq=1,
            created_at=now,
        )
        _pay(plan, request)
        request.save(force_insert=True)
        items = _items(plan, request, now)
        Item.objects.bulk_create(items)
        events.submitted(request.pk, plan.owner_id, plan.door, now, items=len(items), charged=plan.price)
        waiting = sum(item.status == ItemStatus.QUEUED for item in items)
        transaction.on_commit(lambda: queue.ring(waiting))
    return request


def _clock() -> datetime:
    """The database's clock, which leases and due times are compared with."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def _pay(plan: Plan, request: Request) -> None:
    units = sum(item.uses_quota for item in plan.items)
    if units:
        ledger.take_quota(plan.owner_id, units, timezone.now().date())
    if plan.price:
        ledger.charge(
            plan.owner_id,
            plan.price,
            reference=f"request:{request.pk}:0",
            subject=f"request:{request.pk}",
            operation_key=plan.items[0].price_key,
            description=plan.description,
        )


def _items(plan: Plan, request: Request, now: datetime) -> list[Item]:
    """Make the rows, ranked behind what the owner already has waiting; bundles beyond the cap start HELD."""
    held = _bundles_beyond_cap(plan)
    ranks: dict[tuple[str, int], count[int]] = {}
    items = []
    for index, planned in enumerate(plan.items):
        first = planned.steps[0]
        lane = lanes.lane_of(first, 0)
        weight = max(WEIGHTS[planned.priority], QUOTA_WEIGHT if planned.uses_quota else 0)
        if (lane, weight) not in ranks:
            ranks[lane, weight] = count(fair_rank(lane, weight, plan.owner_id))
        is_held = planned.bundle in held
        items.append(
            _item(
                planned,
                request=request,
                index=index,
                lane=lane,
                weight=weight,
                rank=next(ranks[lane, weight]) if not is_held else 0,
                status=ItemStatus.HELD if is_held else ItemStatus.QUEUED,
                hold_reason=HoldReason.BUNDLE if is_held else "",
                now=now,
            )
        )
    return items


def _bundles_beyond_cap(plan: Plan) -> set[int]:
    if plan.max_open_bundles is None:
        return set()
    bundles = sorted({item.bundle for item in plan.items if item.bundle is not None})
    return set(bundles[plan.max_open_bundles :])


def _item(
    planned: ItemPlan,
    *,
    request: Request,
    index: int,
    lane: str,
    weight: int,
    rank: int,
    status: ItemStatus,
    hold_reason: str,
    now: datetime,
) -> Item:
    return Item(
        public_id=planned.public_id,
        request=request,
        owner_id=request.owner_id,
        door=request.door,
        index=index,
        prompt=planned.prompt,
        params=dict(planned.params),
        status=status,
        hold_reason=hold_reason,
        bundle=planned.bundle,
        lane=lane,
        priority=planned.priority,
        weight=weight,
        rank=rank,
        queued_at=now,
        created_at=now,
        steps=[step.as_json() for step in planned.steps],
        deadline_s=planned.deadline_s,
        price_key=planned.price_key,
        price=planned.price,
        charged=planned.price,
        quota_day=now.date() if planned.uses_quota else None,
        cancel_refund=planned.cancel_refund,
        keep_codes=list(planned.keep_codes),
    )
