"""Workers that are killed with -9 at a named place: `killed_worker.py bell claim call …`.

One process per place, forked from one that has loaded everything, each taking only the items of the door
`kill-<place>`. Product code knows nothing of this: the place is a function of it, put in the way here.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

# Nobody dies with another place's parked call in hand: it would stay out of reach for a whole round.
_taking = threading.Lock()


def die(*args: Any, **kwargs: Any) -> Any:
    with _taking:
        os.kill(os.getpid(), signal.SIGKILL)


def dying_after(act: Callable[..., Any]) -> Callable[..., Any]:
    """Do it, and die when something came of it."""

    def act_and_die(*args: Any, **kwargs: Any) -> Any:
        outcome = act(*args, **kwargs)
        return die() if outcome is None or outcome else outcome

    return act_and_die


def only_of(door: str, take: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    """Whoever polls asks about every parked call; here each keeps to its own, and gives the others back at once."""

    def take_own() -> list[Any]:
        from django.utils import timezone

        from generation.models import Attempt

        with _taking:
            taken = take()
            others = [one.attempt.pk for one in taken if one.item.door != door]
            Attempt.objects.filter(pk__in=others).update(poll_at=timezone.now())
        return [one for one in taken if one.item.door == door]

    return take_own


def arm(place: str) -> None:
    """Put death in the way."""
    from generation import crew, jobs, storage
    from generation.engine import fetching, polling, settling
    from providers import wire

    polling._take = only_of(f"kill-{place}", polling._take)
    match place:
        case "bell":  # popped from Redis, and nothing done yet; it must not find the item by looking
            crew.Crew.wake_for = lambda self, things: 0
            jobs.answer_bell = die
        case "claim":
            crew.claim = dying_after(crew.claim)
        case "call":  # the request is out, the vendor is at it
            wire._Timed.getresponse = die
        case "received" | "fetched":  # written down what came, nothing stored
            storage.save = die
        case "store":
            storage.save = dying_after(storage.save)
        case "settle":  # in the very transaction, before its commit
            settling._assets = die
        case "copied":  # under its final key, and not yet settled
            storage.copy = dying_after(storage.copy)
        case "fetch":  # a parked call's result is there, and fetched into RUNNING
            fetching.fetch = dying_after(fetching.fetch)


def main() -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from config.embedded import children
    from generation import worker  # noqa: F401  # everything is loaded before the fork

    places = sys.argv[1:]
    children_at: dict[int, str] = {}
    for place in places:
        if pid := os.fork():
            children_at[pid] = place
        else:
            children.die_with_parent(signal.SIGKILL)
            settings.WORKER_ONLY = [f"door:kill-{place}"]
            arm(place)
            call_command(
                "rqworker",
                "generation",
                worker_class="generation.worker.ThreadedWorker",
                serializer="rq.serializers.JSONSerializer",
            )
            os._exit(0)
    for _ in places:
        pid, status = os.wait()
        how = f"by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "by itself"
        print(f"{children_at[pid]}: ended {how}", flush=True)


if __name__ == "__main__":
    main()
