"""Intake: a plan becomes rows, paid for in the same transaction."""

from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal
from itertools import count

from django.db import transaction
from django.utils import timezone

from config.api import sql
from credits import ledger
from credits.errors import QuotaExhausted
from generation import events, lanes, queue
from generation.claim import FairRanks
from generation.engine import closing
from generation.models import Event, HoldReason, Item, ItemStatus, Request, rows
from generation.plan import WEIGHTS, ItemPlan, Plan

QUOTA_WEIGHT = WEIGHTS["high"]


def submit(plan: Plan, *, count_waiting: bool = False) -> Request:
    """Charge for a plan and store it, in one transaction; ring the bell after the commit.

    The request comes back with its `new_items`, in the order of the plan; where `count_waiting` asks for it, with its
    `place`: how many of its door's wait now, and the place of its only item. Costs one query, two with quota.
    Raises InsufficientCredits or QuotaExhausted (nothing is stored), OperationalError when the database
    cannot be reached. With Redis down it succeeds: workers look by themselves.
    """
    places = [_place(item) for item in plan.items]
    with transaction.atomic(savepoint=False):
        quota_day = _take_quota(plan)
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
            created_at=rows.NOW,
        )
        items = request.new_items = _items(plan, request, places, quota_day)
        # The bell before the hint: a worker waits for the one, and the other's thread would take turns with it.
        queue.ring_after_commit(sum(item.status == ItemStatus.QUEUED for item in items))
        first = events.submitted(request.pk, plan.owner_id, plan.door, items=len(items), charged=plan.price)
        _store(plan, request, places, first, count_waiting)
    return request


def _place(planned: ItemPlan) -> tuple[str, int]:
    """The lane and weight in which an item begins."""
    weight = max(WEIGHTS[planned.priority], QUOTA_WEIGHT if planned.uses_quota else 0)
    return lanes.lane_of(planned.steps[0], 0), weight


def _take_quota(plan: Plan) -> date | None:
    """Take the units of quota that a plan uses; return the day they are from."""
    units = sum(item.uses_quota for item in plan.items)
    if not units:
        return None
    day = timezone.now().date()
    if not ledger.take_quota(plan.owner_id, units, day):
        raise QuotaExhausted(units, 0)
    return day


def _store(plan: Plan, request: Request, places: list[tuple[str, int]], first: Event, count_waiting: bool) -> None:
    """Rank, charge and store by one statement, on the database's clock."""
    items = request.new_items
    ranks = FairRanks(places, plan.owner_id)
    behind: Counter[tuple[str, int]] = Counter()
    for item, place in zip(items, places, strict=True):
        item.rank = ranks.unread(place, behind[place])
        behind[place] += 1
    new, charge = rows.New(([request], items, [first])), _charge(plan, request)
    newcomer = queue.Newcomer(items[0], ranks.unread(places[0], 0)) if count_waiting else None
    more = [asker.part for asker in (charge, newcomer) if asker]
    (now,), read, keys, *found = sql.run(_CLOCK, ranks.part, new.part, *more)
    if charge:
        charge.conclude(found.pop(0))
    new.stored(keys)
    following = {place: count(rank) for place, rank in ranks.read(read).items()}
    for item, place in zip(items, places, strict=True):
        item.rank = next(following[place])
        item.queued_at = item.created_at = now
    request.created_at = first.at = now
    if newcomer:
        request.place = newcomer.read(*found)


_CLOCK = sql.Part("", (rows.NOW,))


def _charge(plan: Plan, request: Request) -> ledger.Posting | None:
    if not plan.price:
        return None
    return ledger.charging(
        plan.owner_id,
        plan.price,
        reference=f"request:{request.pk}:0",
        subject=f"request:{request.pk}",
        operation_key=plan.items[0].price_key,
        description=plan.description,
        cost_usd=sum((Decimal(item.cost_usd) for item in plan.items), Decimal(0)),
        metadata=closing.told_beside(request.pk, plan.group),
    )


def _items(plan: Plan, request: Request, places: list[tuple[str, int]], quota_day: date | None) -> list[Item]:
    """Make the rows; bundles beyond the cap start HELD.

    Those get a rank too, so that people are told their place; they are ranked anew when they are released.
    """
    held = _bundles_beyond_cap(plan)
    items = [
        _item(planned, request, index, place, quota_day)
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


def _item(planned: ItemPlan, request: Request, index: int, place: tuple[str, int], quota_day: date | None) -> Item:
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
        queued_at=rows.NOW,
        created_at=rows.NOW,
        priority=planned.priority,
        weight=weight,
        steps=[step.as_json() for step in planned.steps],
        deadline_s=planned.deadline_s,
        price_key=planned.price_key,
        price=planned.price,
        charged=planned.price,
        parts=dict(planned.parts),
        quota_day=quota_day if planned.uses_quota else None,
        cancel_refund=planned.cancel_refund,
        keep_codes=list(planned.keep_codes),
    )
