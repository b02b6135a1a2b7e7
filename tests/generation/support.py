"""Plans to submit, a desk that works them off in this thread, and time that is given instead of slept."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.utils import timezone
from PIL import Image

from config.models import User
from credits.models import Account
from generation import chores, engine
from generation.claim import Claim, claim
from generation.models import Attempt, Chore, Event, HoldReason, Item, ItemStatus, Request
from generation.plan import Candidate, ItemPlan, Plan, RetryPolicy, StepPlan
from providers.models import Lane
from tests.db import race

OPENAI, HUGGINGFACE = "provider_d", "provider_g"
MOST_TURNS = 1000
AGES = timedelta(days=1)

THUMBNAIL = StepPlan("thumbnail", "thumbnail", required=False, share=5)


def make_plan(
    owner: User,
    items: int = 1,
    *,
    providers: Iterable[str] = (OPENAI,),
    price: int = 2,
    priority: str = "normal",
    prompt: str = "a lighthouse",
    door: str = "visuals",
    max_starts: int = 3,
    base_s: float = 0.0,
    text_rule: bool = False,
    weight_after_error: int | None = 1,
    timeout_s: float = 10.0,
    park_s: float = 1800.0,
    thumbnail: bool = False,
    publish: str = "",
    max_open_bundles: int | None = None,
    bundle_of: int = 1,
    **more: Any,
) -> Plan:
    """Plan pictures of 64 x 64, so small that drawing them costs nothing.

    bundle_of: items to a bundle. publish: the final key of the one item's picture.
    """
    picture = StepPlan(
        "generate",
        "text-to-image",
        {"prompt": prompt, "width": 64, "height": 64, "seed": 7},
        tuple(Candidate(alias) for alias in providers),
        timeout_s=timeout_s,
        park_s=park_s,
        share=95,
        retry=RetryPolicy(max_starts, base_s, text_rule=text_rule, weight_after_error=weight_after_error),
    )
    moved = StepPlan("publish", "publish", {"from": "generate", "to": publish}, retry=RetryPolicy(base_s=base_s))
    return Plan(
        door=door,
        owner_id=owner.pk,
        description="Pictures",
        max_open_bundles=max_open_bundles,
        items=tuple(
            ItemPlan(
                public_id=f"vga_{secrets.token_hex(8)}",
                steps=(picture, *([moved] if publish else []), *([THUMBNAIL] if thumbnail else [])),
                prompt=prompt,
                priority=priority,
                price=price,
                price_key="visual_cover",
                bundle=None if max_open_bundles is None else number // bundle_of,
                **more,
            )
            for number in range(items)
        ),
    )


def submit(owner: User, items: int = 1, **wishes: Any) -> Request:
    return engine.submit(make_plan(owner, items, **wishes))


def submit_one(owner: User, **wishes: Any) -> Item:
    return submit(owner, 1, **wishes).items.get()


def take(most: int = 1) -> Claim:
    """Claim, where the story needs the claim in hand."""
    return claim(most)[0]


def work_next() -> bool:
    """Do one thing as a worker's thread does; False when there is nothing to do now."""
    taken = claim(1)
    if taken:
        engine.work(taken[0])
        return True
    return chores.do_next() or bool(engine.poll())


def work_while_due() -> None:
    """Work until nothing is due at this moment."""
    for _ in range(MOST_TURNS):
        if not work_next():
            return
    raise AssertionError("the work does not end")


def work_until_quiet() -> None:
    """Work until nothing is left, letting the time of every wait pass."""
    for _ in range(MOST_TURNS):
        work_while_due()
        if not let_waits_pass():
            return
    raise AssertionError("the work does not end")


def let_waits_pass() -> int:
    """Let retries, questions, cool-downs, probes and chores fall due; return how many there were."""
    now = timezone.now()
    waits = Item.objects.filter(status=ItemStatus.HELD, hold_reason=HoldReason.RETRY).update(run_after=now - AGES)
    parked = Attempt.objects.filter(stage="ACCEPTED", ended_at__isnull=True, poll_at__isnull=False)
    waits += parked.update(poll_at=now)
    waits += Chore.objects.filter(done_at__isnull=True).exclude(kind="prune").update(run_after=now)
    if Item.objects.filter(status=ItemStatus.QUEUED).exists():
        waits += Lane.objects.filter(cooldown_until__gt=now).update(cooldown_until=now)
        waits += Lane.objects.filter(probe_at__gt=now).update(probe_at=now)
    else:
        Lane.objects.update(cooldown_until=None, probe_at=None)
    engine.release_due()
    return waits


def let_leases_end(*items: Item) -> None:
    """Let every running item's lease, or those of the named ones, be over."""
    running = Item.objects.filter(lease_until__isnull=False)
    if items:
        running = running.filter(pk__in=[item.pk for item in items])
    running.update(lease_until=timezone.now() - timedelta(seconds=5))
    Attempt.objects.filter(item__in=running, ended_at__isnull=True).update(started_at=F("started_at") - AGES)


def in_threads(count: int, act: Callable[[], Any]) -> list[Any]:
    """Do the same in so many threads at once; what each returned. Raises what one of them raised."""
    connection.close()  # the pool has eight
    returned = race(*[act] * count)
    for one in returned:
        if isinstance(one, Exception):
            raise one
    return returned


def balance(owner: User) -> int:
    return Account.objects.get(owner=owner).balance


def told(request: Request) -> list[str]:
    """The kinds of a request's events in order; their numbers must rise."""
    events = list(Event.objects.filter(request=request).order_by("seq").values_list("seq", "kind"))
    assert len({seq for seq, _ in events}) == len(events)
    return [kind for _, kind in events]


def outcomes(item: Item) -> list[str]:
    return list(Attempt.objects.filter(item=item).order_by("pk").values_list("outcome", flat=True))


def in_flight(lane: str) -> int:
    return Attempt.objects.filter(lane=lane, ended_at__isnull=True).count()


def fresh(item: Item) -> Item:
    return Item.objects.get(pk=item.pk)


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48), colour: str = "teal", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, **options)
    return out.getvalue()
