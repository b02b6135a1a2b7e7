"""A verb on thousands of items: chosen once, confirmed, then worked off by chores with each item's result kept.

Each item is changed in a transaction of its own, together with its row, so whatever dies in between does nothing
twice. A chore takes a bite and leaves the rest to the next one: items that are due go first, and several workers
may share the work.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from config.models import User
from config.staff import Order, Outcome, Refused, Verb, act
from generation import queue
from generation.admin.verbs import ITEM_VERBS
from generation.models import Bulk, BulkRow, Chore, Item

KIND = "bulk"
MOST_ITEMS = 10_000
BITE = 100
# So many chores share the work from the beginning, as far as workers have threads for them.
CHAINS = 4

# What gives money back is done by forms that name their rows.
VERBS = {verb.name: verb for verb in ITEM_VERBS if verb.name != "refund"}


def choose(verb: Verb, items: list[QuerySet[Item]], *, chosen: str, actor: User) -> Bulk:
    """Keep which items are meant, at most MOST_ITEMS of them in the order given; nothing happens to them yet."""
    with transaction.atomic():
        bulk = Bulk.objects.create(verb=verb.name, chosen=chosen[:300], actor=actor)
        room = MOST_ITEMS
        for part in items:
            ids = list(part.values_list("pk", flat=True)[:room]) if room else []
            BulkRow.objects.bulk_create([BulkRow(bulk=bulk, item_id=pk) for pk in ids], batch_size=1000)
            room -= len(ids)
        bulk.total = MOST_ITEMS - room
        bulk.save(update_fields=["total"])
        return bulk


def begin(bulk_id: UUID, *, reason: str, values: dict[str, Any]) -> bool:
    """Let the work begin, once: False when it had begun."""
    with transaction.atomic():
        began = Bulk.objects.filter(pk=bulk_id, begun_at=None).update(
            begun_at=timezone.now(), reason=reason, values=values
        )
        if began:
            _leave_to_next(bulk_id, CHAINS)
        return bool(began)


def go_on(bulk_id: str) -> dict[str, Any]:
    """Do a bite of it and leave the rest to another chore. Returns how many were done and are left."""
    bulk = Bulk.objects.select_related("actor").get(pk=bulk_id)
    order = Order(bulk.actor, bulk.reason, str(bulk.pk), bulk.values)
    done = last = 0
    while done < BITE and (last := _do_one(bulk, order, after=last)):
        done += 1
    left = bulk.rows.filter(at=None).count()
    if left and done:
        _leave_to_next(bulk.pk)
    elif not left:
        Bulk.objects.filter(pk=bulk.pk, ended_at=None).update(ended_at=timezone.now())
    return {"done": done, "left": left}


def _do_one(bulk: Bulk, order: Order, *, after: int = 0) -> int:
    """Do the first row behind `after` that nobody has in hand, and return its key; 0 when there is none.

    Beginning at the front each time would wade through the index entries of all that were done before.
    """
    with transaction.atomic():
        left = bulk.rows.filter(at=None, pk__gt=after).order_by("pk")
        row = left.select_for_update(skip_locked=True).first()
        if row is None:
            return 0
        item = Item.objects.select_related("request").get(pk=row.item_id)
        outcome, refused = Outcome(), ""
        try:
            outcome = act(VERBS[bulk.verb], item, f"item:{item.pk}", order)
        except Refused as refusal:
            refused = str(refusal)[:300]
        BulkRow.objects.filter(pk=row.pk).update(
            at=timezone.now(), done=outcome.done, missed=outcome.missed, credits=outcome.credits, refused=refused
        )
        return row.pk


def _leave_to_next(bulk_id: UUID, chores: int = 1) -> None:
    """Each chore has one heir, under a name of its own: a name in use could be that of one about to end."""
    for _ in range(chores):
        Chore.objects.create(
            kind=KIND, key=f"{bulk_id}:{uuid4()}", args={"bulk_id": str(bulk_id)}, run_after=timezone.now()
        )
    queue.ring_after_commit(chores)


def progress(bulk: Bulk) -> dict[str, Any]:
    """How far it is and what came of it. One query."""
    sums = bulk.rows.aggregate(
        settled=Count("pk", filter=Q(at__isnull=False)),
        done=Sum("done", default=0),
        missed=Sum("missed", default=0),
        credits=Sum("credits", default=0),
        refused=Count("pk", filter=~Q(refused="")),
    )
    percent = 100 * sums["settled"] // bulk.total if bulk.total else 100
    return {**sums, "percent": percent, "told": told(bulk, sums)}


def told(bulk: Bulk, sums: dict[str, int]) -> str:
    words = VERBS[bulk.verb].tell(Outcome(sums["done"], sums["missed"], sums["credits"]))
    return f"{words} {sums['refused']} refused." if sums["refused"] else words
