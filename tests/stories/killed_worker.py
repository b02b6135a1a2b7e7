"""Workers of stories that are killed with -9 at a named place: `killed_worker.py draw-call check publish …`.

One process per place, forked from one that has loaded everything, each taking only the items of the door
`kill-<place>`; the places of the mirror take everything, one at a time.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from tests.generation.killed_worker import die, dying_after, only_of

MIRROR = "mirror-"


def arm(place: str) -> None:
    """Put death in the way."""
    from generation import chores, images, storage
    from generation.doors.stories import mirror
    from generation.engine import polling, publishing, settling
    from providers import wire
    from providers.adapters import openrouter

    if not place.startswith(MIRROR):
        polling._take = only_of(f"kill-{place}", polling._take)
        chores.do_next = lambda: False
    match place:
        case "draw-call":  # the request is out, the vendor is at it
            wire._Timed.getresponse = die
        case "draw-received":  # the picture is there, and nothing stored
            storage.save = die
        case "draw-stored":
            storage.save = dying_after(storage.save)
        case "draw-settled":  # in the very transaction, before its commit
            settling._assets = die
        case "check":  # the verdict has come, and is written nowhere
            openrouter.OpenRouter.read = die
        case "publish":  # the picture is to take its final key
            publishing._copied = die
        case "published":  # it lies there, and that is written nowhere
            publishing._settle = die
        case "thumbnail":
            images.thumbnail = die
        case "mirror-report":  # the report is written, the status is not
            storage.replace_if = dying_after_key("generation_report.json", storage.replace_if)
        case "mirror-status":  # both are, and nobody was told
            mirror._note = die


def dying_after_key(name: str, act: Any) -> Any:
    def act_and_die(key: str, *args: Any) -> None:
        act(key, *args)
        if key.endswith(name):
            die()

    return act_and_die


def main() -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from config.embedded import children
    from generation import worker  # noqa: F401  # everything is loaded before the fork

    places = sys.argv[1:]
    for place in places:
        if os.fork() == 0:
            children.die_with_parent(signal.SIGKILL)
            settings.WORKER_ONLY = [] if place.startswith(MIRROR) else [f"door:kill-{place}"]
            arm(place)
            call_command(
                "rqworker",
                "generation",
                worker_class="generation.worker.ThreadedWorker",
                serializer="rq.serializers.JSONSerializer",
            )
            os._exit(0)
    for _ in places:
        _, status = os.wait()
        print("ended by signal 9" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == 9 else "ended", flush=True)


if __name__ == "__main__":
    main()
