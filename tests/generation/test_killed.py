"""Workers that are killed or told to stop at the worst moment: every item ends once and is paid for once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from config.models import User
from generation import audit, queue
from generation.models import Attempt, Item
from tests.conftest import MakeCustomer
from tests.generation.processes import ROOT, environment, program, until, worker
from tests.generation.support import (
    HUGGINGFACE,
    OPENAI,
    balance,
    fresh,
    outcomes,
    submit_one,
    told,
    work_until_quiet,
)
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# where a worker is killed -> what the vendor is asked for in all, what becomes of the item's attempts.
KILLED_AT = {
    "bell": (1, ["made"]),  # nothing had begun
    "claim": (1, ["lost", "made"]),  # a call may have gone out, so it counts as lost
    "call": (2, ["lost", "made"]),  # its answer can be had from nobody
    "received": (2, ["lost", "not-sent", "made"]),  # looked for in the store, and not found
    "store": (1, ["adopted", "made"]),  # stored and written down: taken over
    "settle": (1, ["adopted", "made"]),  # its transaction never committed: the same
    "copied": (1, ["made", "lost", "made"]),  # to its final key, and nobody had said so: copied again
    "fetch": (1, ["made"]),  # a parked call's result is there: asked again, which costs nothing
    "fetched": (1, ["made", "not-sent"]),  # not found in the store, but the vendor has it still
}
PARKING = ("fetch", "fetched")
PUBLISHING = ("copied",)


@pytest.fixture
def carol(make_customer: MakeCustomer) -> User:
    return make_customer("carol", 1000)


def has_ended(items: list[Item]) -> bool:
    return not Item.objects.filter(pk__in=[item.pk for item in items], finished_at__isnull=True).exists()


def test_whatever_a_worker_is_killed_at_another_finishes_its_item_once(
    carol: User, vendors: Remote, media: Path, tmp_path: Path
) -> None:
    queue.bells().empty()
    items = {
        place: submit_one(
            carol,
            door=f"kill-{place}",
            prompt=f"a lighthouse at {place},",
            providers=[HUGGINGFACE if place in PARKING else OPENAI],
            publish=f"users/carol/{place}/picture.png" if place in PUBLISHING else "",
        )
        for place in KILLED_AT
    }
    env = environment(media)
    killer = [str(ROOT / "tests/generation/killed_worker.py"), *KILLED_AT]
    with program(killer, {**env, "PYTHONPATH": str(ROOT)}, tmp_path / "killed.log") as killed:

        def are_all_dead() -> bool:
            queue.ring(1)  # any of them may take a bell; one of them waits for nothing else
            return killed.poll() is not None

        until(are_all_dead, "all of them are killed")
    assert (tmp_path / "killed.log").read_text().count("ended by signal 9") == len(KILLED_AT)
    assert not any(fresh(item).is_final for item in items.values())
    with worker(env, tmp_path / "rescue.log") as rescue:
        until(lambda: has_ended(list(items.values())), "every item has ended", rescue)
    calls = vendors.calls()
    for place, (asked, became) in KILLED_AT.items():
        item = fresh(items[place])
        assert (place, item.status) == (place, "SUCCEEDED")
        made = [one for one in calls if f" {place}," in one["prompt"] and one["operation"] in ("generations", "submit")]
        assert (place, len(made)) == (place, asked)
        assert (place, outcomes(item)) == (place, became)
        assert item.assets.count() == 1
        assert told(item.request)[-2:] == ["succeeded", "request-completed"]
    assert balance(carol) == 1000 - 2 * len(items)
    assert audit.check() == []


def test_a_worker_that_is_told_to_stop_finishes_what_runs_and_gives_up_what_takes_too_long(
    carol: User, vendors: Remote, media: Path, tmp_path: Path
) -> None:
    vendors.settings(delay_s=1.5)
    vendors.faults("openai", "slow", delay_s=60, match="endless")
    endless = submit_one(carol, prompt="an endless lighthouse", max_starts=1, timeout_s=100)
    Item.objects.filter(pk=endless.pk).update(losses=2)
    running = [submit_one(carol, prompt="a lighthouse") for _ in range(20)]
    env = environment(media, WORKER_THREADS="21", WORKER_DRAIN_S="4", LEASE_S="10")
    with worker(env, tmp_path / "worker.log") as process:
        until(lambda: len(vendors.calls()) == 21, "all are at the vendor", process)
        late = submit_one(carol)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert [fresh(item).status for item in running] == ["SUCCEEDED"] * 20
    assert (fresh(late).status, fresh(late).starts) == ("QUEUED", 0), "nothing is begun while it stops"
    now = fresh(endless)
    assert (now.status, now.losses, outcomes(endless)) == ("QUEUED", 2, ["lost"])
    work_until_quiet()
    assert (fresh(endless).status, fresh(endless).quarantined_at) == ("SUCCEEDED", None)
    assert balance(carol) == 1000 - 2 * 22
    assert not Attempt.objects.filter(ended_at__isnull=True).exists()
    assert audit.check() == []
