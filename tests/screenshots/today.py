"""What goes on while the pictures are taken: staff at work, a queue that waits, calls that take their time."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from config.models import StaffAct, User
from config.staff import Order, act, ask_second
from credits.models import Account
from generation import audit, chores, engine
from generation.admin import bulk
from generation.admin.verbs import ITEM_VERBS
from generation.models import AuditRun, Item, ItemStatus
from providers.models import Lane
from tests.screenshots import wishes
from tests.screenshots.history import Person

VERBS = {verb.name: verb for verb in ITEM_VERBS}
BUSY_S = 30.0


def staff_at_work() -> dict[str, Any]:
    """Refunds, a verb that waits for a second person, verbs on many items, a quarantined item, audits."""
    noor, finn = (User.objects.get(username=name) for name in wishes.STAFF)
    good = Item.objects.filter(owner__username="mara", status=ItemStatus.SUCCEEDED, door="visuals").order_by("-pk")
    failed = Item.objects.filter(status=ItemStatus.FAILED).order_by("-pk")
    first, second = good[:2]
    act(VERBS["refund"], first, f"item:{first.pk}", _order(noor, "The horizon is crooked; with our apologies"))
    ask_second(VERBS["refund"], second, f"item:{second.pk}", str(second), _order(finn, "Asked for by phone"))
    quarantined = failed[0]
    Item.objects.filter(pk=quarantined.pk).update(quarantined_at=timezone.now() - timedelta(minutes=9), losses=3)
    done = bulk.choose(VERBS["hold"], [failed[:3]], chosen="State: failed", actor=noor)
    bulk.begin(done.pk, reason="Wait for the new key", values={})
    while chores.do_next():
        pass
    audit.run(full=True)
    account = Account.objects.get(owner__username="jonas")
    _note(finn, "grant", f"account:{account.pk}", "A present for the first cover", credits=25)
    _note(noor, "export", "ledger", "For the books of October", rows=212)
    for ago in range(1, 9):
        AuditRun.objects.create(at=timezone.now() - timedelta(minutes=10 * ago), full=ago == 6, faults=[])
    return {"quarantined": quarantined, "done_bulk": done}


def queue_up() -> None:
    """Let much be asked for at once, and hold some of it up."""
    people = {name: Person(name) for name in wishes.CUSTOMERS}
    Lane.objects.filter(name="provider_d").update(cap=6)
    Lane.objects.filter(name="provider_g").update(cap=4)
    engine.pause("provider_b", actor="noor", reason="Their answers have been slow since noon")
    Lane.objects.filter(name="provider_f").update(
        breaker="open",
        breaker_reason="5 of the last 6 calls failed",
        opened_at=timezone.now(),
        probe_at=timezone.now() + timedelta(hours=2),
    )
    number = 0
    for who, count, priority, alias in wishes.WAITING:
        for _ in range(count):
            _, kind, prompt, _ = wishes.PICTURES[number % len(wishes.PICTURES)]
            people[who].draw(
                kind, f"{prompt}, draft {number + 1}", priority=priority, metadata={"provider": alias}, pageId=None
            )
            number += 1
    held = Item.objects.filter(status=ItemStatus.QUEUED, owner__username__in=["mara", "tomas"]).order_by("owner", "-pk")
    held = held.distinct("owner")
    for item in held:
        act(VERBS["hold"], item, f"item:{item.pk}", _order(User.objects.get(username="noor"), "Asks to wait"))


def await_busy() -> None:
    """Wait until the workers have taken what they may. Raises RuntimeError when they take nothing."""
    deadline = time.monotonic() + BUSY_S
    while Item.objects.filter(status__in=[ItemStatus.RUNNING, ItemStatus.WAITING]).count() < 10:
        if time.monotonic() > deadline:
            raise RuntimeError("the workers took no work")
        time.sleep(0.2)


def _order(actor: User, reason: str) -> Order:
    return Order(actor, reason, str(uuid.uuid4()), {"credits": None})


def _note(actor: User, verb: str, subject: str, reason: str, **outcome: Any) -> None:
    StaffAct.objects.create(actor=actor, verb=verb, subject=subject, reason=reason, outcome=outcome)
