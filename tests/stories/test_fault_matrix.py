"""Whatever a vendor does, at whichever protocol: how the item ends, how many calls went out, and what was paid.

Every cell goes through the real engine, from the submit until nothing is left to do. What was seen is kept in
`docs/fault-matrix.md`; KEEP=1 writes it anew.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.test import Client

from config.models import User
from generation import audit, engine, storage
from generation.models import Attempt, Item, ItemStatus
from generation.plan import Candidate, ItemPlan, Plan, RetryPolicy, StepPlan
from providers import registry, webhooks
from providers.base import Provider
from providers.models import Lane
from providers.simulator import replicate_hooks, tripo_hooks
from tests.conftest import MakeCustomer
from tests.generation.conftest import media
from tests.generation.support import balance, in_flight, let_waits_pass, work_next, work_while_due
from tests.providers.columns import Cell, Column
from tests.simulator import Remote
from tests.stories import matrix
from tests.stories.matrix import PROTOCOLS, WEBHOOKS, End, Seen

__all__ = ["media"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media")]

PAGE = Path(__file__).parents[2] / "docs" / "fault-matrix.md"
PRICE = 2
MOST_MB, MOST_TURNS = 48, 200
# Where a call tells how far it is.
JUMPS = ("fal-ai queue", "replicate", "tripo")
REAL_NAMES = ("openai", "hugging", "fal.", "flux", "gpt", "stabil", "recraft", "tripo", "replicate", "http", "127.0")
LONG_AGO = timedelta(days=1)

_seen: dict[str, list[Seen]] = {}


@pytest.fixture
def crowd(make_customer: MakeCustomer) -> User:
    return make_customer("alice", 10_000)


class Bench:
    """One protocol set up to be tried fault by fault."""

    def __init__(self, column: Column, owner: User, simulator: Remote, settings: Any) -> None:
        self.column, self.owner, self.simulator, self.settings = column, owner, simulator, settings
        adapter = column.adapter(settings)
        setattr(settings, adapter.chapter, {**adapter.conf, "WINDOW": ()})
        alias = registry.alias_of(column.vendor)
        assert alias
        self.alias, self.adapter, self.us = alias, registry.adapter(alias), (Candidate(alias),)
        self.parks = type(self.adapter).poll is not Provider.poll
        self.lane = registry.lane_of(alias, column.operation)
        self.inputs = self._stored(column.inputs)

    def _stored(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The column's files under keys, as a door hands them to the engine."""

        def keep(data: bytes) -> str:
            key = f"inputs/{secrets.token_hex(8)}.bin"
            storage.save(key, io.BytesIO(data))
            return key

        return {
            name: [keep(one) for one in value]
            if name == "images"
            else keep(value)
            if isinstance(value, bytes)
            else value
            for name, value in inputs.items()
        }

    def submit(self, timeout_s: float = matrix.ALL_THE_TIME_S) -> Item:
        """One item for this protocol; a judge is shown what another made."""
        inputs = {"prompt": "a lighthouse", "width": 64, "height": 64, "seed": 7}
        retry = RetryPolicy(max_starts=3, base_s=0.0)
        if self.column.operation == "verify-image":
            making = StepPlan("generate", "text-to-image", inputs, (Candidate(registry.alias_of("openai") or ""),))
            judged = {"images": ["step:generate"]}
            judging = StepPlan("verify", "verify-image", judged, self.us, timeout_s=timeout_s, retry=retry)
            steps: tuple[StepPlan, ...] = (making, judging)
        else:
            told = {**inputs, **self.inputs}
            steps = (StepPlan("generate", self.column.operation, told, self.us, timeout_s=timeout_s, retry=retry),)
        item = ItemPlan(f"m_{secrets.token_hex(8)}", steps, price=PRICE, price_key="matrix")
        request = engine.submit(Plan("visuals", self.owner.pk, (item,), "A cell"))
        assert len(steps) == 1 or work_next()
        return request.items.get()

    def cells(self) -> Iterator[tuple[Cell, Callable[[Cell], None]]]:
        """Every cell of the column and how its fault is brought about; then those that no column holds."""
        for cell in self.column.cells:
            yield cell, self.arrange
        yield matrix.CONNECTION_REFUSED, self.arrange_nobody
        if self.column.name in JUMPS:
            yield matrix.JUMPING_PROGRESS, self.arrange

    def arrange(self, cell: Cell) -> None:
        times = matrix.strikes(cell, parks=self.parks)
        self.simulator.faults(self.column.vendor, cell.fault, times=times, **matrix.params_of(cell))

    def arrange_nobody(self, cell: Cell) -> None:
        """Nobody listens where the vendor should be."""
        self.settings.SIMULATOR_URL = "http://127.0.0.1:1"

    def arrange_nothing(self) -> None:
        self.settings.SIMULATOR_URL = self.simulator.url

    def finish(self, item: Item) -> None:
        """Work, and let the time of every wait pass, until this item has ended and nothing is due."""
        for _ in range(MOST_TURNS):
            work_while_due()
            if Item.objects.filter(pk=item.pk, finished_at__isnull=False).exists():
                return
            let_waits_pass()
        raise AssertionError("the work does not end")

    def clean(self) -> None:
        """Nothing of the cell before may be felt: no fault, no breaker, no memory of failures."""
        self.simulator.reset(poll_gap_s=0)
        Lane.objects.filter(name=self.lane).update(
            breaker="closed", breaker_reason="", opened_at=None, probe_at=None, cooldown_until=None
        )
        Attempt.objects.filter(lane=self.lane, ended_at__isnull=False).update(ended_at=F("ended_at") - LONG_AGO)


@pytest.fixture
def bench(column: Column, crowd: User, simulator: Remote, settings: Any) -> Bench:
    settings.PROVIDER_MAX_BYTES = 2_000_000
    return Bench(column, crowd, simulator, settings)


@pytest.mark.parametrize("column", PROTOCOLS, ids=lambda column: column.name.replace(" ", "-"))
def test_every_fault_ends_as_its_class_says(column: Column, bench: Bench) -> None:
    rows, wrong = [], []
    for cell, arrange in bench.cells():
        seen, faults = _try(bench, cell, arrange)
        rows.append(seen)
        wrong += [f"{cell.fault} {dict(cell.params)}: {fault}" for fault in faults]
    for fault in WEBHOOKS if column.vendor in SIGNED else ():
        rows.append(_hear(bench, fault))
    print("\n" + matrix.page({column.name: rows}, MOST_MB).partition("\n## ")[2])
    assert not wrong, "\n".join(wrong)
    assert audit.check() == []
    _seen[column.name] = rows


def _try(bench: Bench, cell: Cell, arrange: Callable[[Cell], None]) -> tuple[Seen, list[str]]:
    """Take one item through one fault: how it went, and what is wrong with that."""
    bench.clean()
    before, grown = balance(bench.owner), Memory()
    item = bench.submit(matrix.time_for(bench.column, cell))
    arrange(cell)
    bench.finish(item)
    bench.arrange_nothing()
    item, calls = Item.objects.get(pk=item.pk), item.attempts.filter(lane=bench.lane).count()
    wanted = matrix.end_of(cell, parks=bench.parks)
    found = End(item.status == ItemStatus.SUCCEEDED, calls, bool(item.quarantined_at))
    paid = before - balance(bench.owner)
    checks = {
        f"wanted {wanted}, found {found} {item.error_code}": found == wanted,
        f"{paid} credits were paid": paid == (PRICE if found.is_made else 0) == item.charged - item.refunded,
        "a start was counted for what costs none": not found.is_made or _starts(item) == 1,
        "its place in the lane is not free": in_flight(bench.lane) == 0,
        "a lease is left": not Item.objects.filter(lease_until__isnull=False).exists(),
        f"memory grew by {grown.mb()} MB": grown.mb() < MOST_MB,
        f"the customer reads {item.error_message!r}": not any(
            word in item.error_message.lower() for word in REAL_NAMES
        ),
    }
    kind = "question" if wanted is matrix.ASKED else cell.kind.__name__
    ends = "made" if found.is_made else f"lost: {item.error_code}" if found.is_quarantined else item.error_code
    return matrix.seen_of(cell, kind, ends, calls, paid), [fault for fault, is_well in checks.items() if not is_well]


def _starts(item: Item) -> int:
    """How many starts the last step counted."""
    return int(item.results[item.steps[-1]["name"]]["starts"])


def _hear(bench: Bench, fault: str) -> Seen:
    """Send a parked call's webhook as it should not come: it may wake a poll, and no more."""
    bench.clean()
    bench.simulator.settings(delay_s=0.1 if fault == "webhook-early" else 0.0)
    before, item = balance(bench.owner), bench.submit()
    assert work_next()
    body, headers = SIGNED[bench.column.vendor](Attempt.objects.get(item=item).remote_id.split()[-1], fault)
    path, refused = f"/hooks/{bench.alias}/{webhooks.token(bench.alias)}", fault in ("webhook-forged", "webhook-late")

    def post() -> None:
        answer = Client().post(path, body, content_type="application/json", headers=headers)
        assert answer.status_code == (401 if refused else 204)

    post()
    post()
    assert bool(engine.poll()) is not refused
    bench.finish(item)
    post()
    assert not engine.poll()
    item, calls = Item.objects.get(pk=item.pk), item.attempts.count()
    assert (item.status, calls, before - balance(bench.owner)) == ("SUCCEEDED", 1, PRICE)
    return Seen(fault, "", "wake-up" if not refused else "stranger", "made", calls, PRICE)


def test_the_page_says_what_was_seen() -> None:
    if set(_seen) != {column.name for column in PROTOCOLS}:
        pytest.skip("the page is compared when every protocol has been tried")
    found = matrix.page({column.name: _seen[column.name] for column in PROTOCOLS}, MOST_MB)
    if os.environ.get("KEEP"):
        PAGE.write_text(found)
    assert PAGE.read_text() == found, "docs/fault-matrix.md says something else; KEEP=1 writes it anew"


class Memory:
    """How much more of it this process has needed since."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        self._before = self._kb("VmRSS")

    def mb(self) -> int:
        return (self._kb("VmHWM") - self._before) // 1024

    @staticmethod
    def _kb(name: str) -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0])


def _replicate(remote_id: str, fault: str) -> tuple[bytes, dict[str, str]]:
    body = json.dumps({"id": remote_id, "status": "succeeded"}).encode()
    return body, replicate_hooks.signed(body, forged=fault == "webhook-forged", late=fault == "webhook-late")


def _tripo(remote_id: str, fault: str) -> tuple[bytes, dict[str, str]]:
    body = json.dumps({"id": "evt_1", "type": "task.completed", "data": {"task_id": remote_id}}).encode()
    secret = tripo_hooks.STRANGERS_SECRET if fault == "webhook-forged" else tripo_hooks.SECRET
    return body, tripo_hooks.signed(body, secret=secret, at=time.time() - (3600 if fault == "webhook-late" else 0))


SIGNED: Mapping[str, Callable[[str, str], tuple[bytes, dict[str, str]]]] = {"replicate": _replicate, "tripo": _tripo}
