"""Work that takes a vendor two calls: each is made once, whoever asks and whatever dies in between."""

from __future__ import annotations

import io
import secrets
from typing import Any

import pytest
from django.utils import timezone

from config.models import User
from generation import engine, storage
from generation.engine import fetching, polling
from generation.models import Attempt, Item
from generation.plan import Candidate, ItemPlan, Plan, RetryPolicy, StepPlan
from providers.models import Lane
from providers.simulator import models
from tests.generation.support import (
    balance,
    fresh,
    in_flight,
    in_threads,
    let_leases_end,
    outcomes,
    told,
    work_next,
    work_until_quiet,
)
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

TRIPO, LANE = "provider_c", "provider_c_refine"


@pytest.fixture
def vendor(simulator: Remote, settings: Any) -> Remote:
    settings.TRIPO = {**settings.TRIPO, "POLL_S": 60.0}
    return simulator


@pytest.fixture
def item(alice: User, vendor: Remote) -> Item:
    """A model to refine: imported first, then given a new texture."""
    key = f"models/{secrets.token_hex(4)}.glb"
    storage.save(key, io.BytesIO(models.glb(1)))
    refining = StepPlan(
        "generate",
        "refine-model",
        {"model": key, "prompt": "of gold", "face_limit": 900},
        (Candidate(TRIPO),),
        timeout_s=10.0,
        retry=RetryPolicy(3, 0.0),
    )
    plan = Plan(
        door="visuals",
        owner_id=alice.pk,
        description="A model",
        items=(ItemPlan(f"m_{secrets.token_hex(8)}", (refining,), price=6, price_key="refine_model"),),
    )
    return engine.submit(plan).items.get()


@pytest.fixture
def parked(item: Item) -> Item:
    """The same while its import is at the vendor."""
    assert work_next()
    assert Attempt.objects.get().remote_id.startswith("import ")
    return item


def ask_now() -> int:
    Attempt.objects.filter(stage="ACCEPTED", ended_at__isnull=True).update(poll_at=timezone.now())
    return engine.poll()


def paid_calls(vendor: Remote) -> int:
    return len(vendor.calls("tripo", "submit"))


def test_the_second_call_follows_the_first_and_ends_the_item(alice: User, parked: Item, vendor: Remote) -> None:
    assert (fresh(parked).status, in_flight(LANE)) == ("WAITING", 1)
    ask_now()
    attempt = Attempt.objects.get()
    assert (fresh(parked).status, attempt.stage, attempt.remote_id) == (
        "WAITING",
        "ACCEPTED",
        vendor.calls("tripo", "submit")[0]["job"],
    )
    ask_now()
    assert (fresh(parked).status, outcomes(parked), balance(alice)) == ("SUCCEEDED", ["made"], 94)
    assert (paid_calls(vendor), len(vendor.calls("tripo", "import"))) == (1, 1)
    assert told(parked.request)[-2:] == ["succeeded", "request-completed"]
    attempt.refresh_from_db()
    assert attempt.cost_usd > 0
    assert attempt.remote_id, "by which a later request may name what was made here"
    assert fresh(parked).results["generate"]["ignored"] == ["face_limit"]


def test_of_many_who_ask_one_makes_the_second_call(parked: Item, vendor: Remote) -> None:
    Attempt.objects.update(poll_at=timezone.now())
    [one] = polling._take()
    answers = [polling.registry.adapter(TRIPO).poll(one.attempt.remote_id, fetching.call_of(one)) for _ in range(6)]
    waiting = iter(answers)
    in_threads(6, lambda: fetching.ended(one, next(waiting)))
    assert paid_calls(vendor) == 1
    work_until_quiet()
    assert (fresh(parked).status, outcomes(parked)) == ("SUCCEEDED", ["made"])


def test_a_worker_that_dies_with_the_second_call_out_has_lost_it(
    alice: User, parked: Item, vendor: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was processed nobody can know, so it counts as a loss like any call of which that is true."""

    def die(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fetching, "park", die)
        with pytest.raises(KeyboardInterrupt):
            ask_now()
    attempt = Attempt.objects.get()
    assert (attempt.stage, attempt.remote_id, fresh(parked).status) == ("SENT", "", "RUNNING")
    assert ask_now() == 0, "nobody asks about it, so nobody sends it again"
    let_leases_end()
    engine.sweep()
    work_until_quiet()
    assert (fresh(parked).status, fresh(parked).losses, outcomes(parked)) == ("SUCCEEDED", 1, ["lost", "made"])
    assert (paid_calls(vendor), balance(alice)) == (2, 94)


def test_a_worker_that_dies_while_asking_leaves_the_chain_where_it_was(
    parked: Item, vendor: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fetching, "fetch", die)
        with pytest.raises(KeyboardInterrupt):
            ask_now()
    assert paid_calls(vendor) == 0
    work_until_quiet()
    assert (fresh(parked).status, fresh(parked).losses, paid_calls(vendor)) == ("SUCCEEDED", 0, 1)
    assert len(vendor.calls("tripo", "import")) == 1


def test_a_vendor_without_room_leaves_the_chain_parked(alice: User, parked: Item, vendor: Remote) -> None:
    vendor.faults("tripo", "rate-limit", times=2, retry_after=20)
    for _ in range(2):
        ask_now()
        attempt = Attempt.objects.get()
        assert (attempt.stage, attempt.remote_id.partition(" ")[0]) == ("ACCEPTED", "import")
        assert 10 < (attempt.poll_at - timezone.now()).total_seconds() <= 20  # type: ignore[operator]
    assert Lane.objects.get(name=LANE).cooldown_until
    work_until_quiet()
    assert (fresh(parked).status, fresh(parked).starts, balance(alice)) == ("SUCCEEDED", 1, 94)
    assert len(vendor.calls("tripo", "import")) == 1


def test_a_second_call_that_is_refused_fails_the_item_and_gives_its_price_back(
    alice: User, parked: Item, vendor: Remote
) -> None:
    vendor.faults("tripo", "bad-input", code=2007)
    ask_now()
    assert (fresh(parked).status, fresh(parked).error_code, balance(alice)) == ("FAILED", "INVALID_INPUT", 100)
    assert (outcomes(parked), in_flight(LANE)) == (["failed"], 0)


def test_a_second_call_whose_answer_is_lost_is_a_loss(alice: User, parked: Item, vendor: Remote) -> None:
    vendor.faults("tripo", "drop-after-accept")
    work_until_quiet()
    assert (fresh(parked).status, fresh(parked).losses, outcomes(parked)) == ("SUCCEEDED", 1, ["lost", "made"])
    assert balance(alice) == 94


def test_a_bug_in_the_second_call_ends_as_any_bug(
    alice: User, parked: Item, vendor: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = polling.registry.adapter(TRIPO)
    monkeypatch.setattr(type(adapter), "run", lambda self, call: {}["no such key"])
    work_until_quiet()
    assert (fresh(parked).status, fresh(parked).error_code, balance(alice)) == ("FAILED", "UNKNOWN_ERROR", 100)
    assert in_flight(LANE) == 0


def test_a_cancelled_chain_is_not_gone_on_with_and_costs_nothing(alice: User, parked: Item, vendor: Remote) -> None:
    engine.cancel(parked.request_id)
    assert (fresh(parked).status, fresh(parked).kept, balance(alice)) == ("CANCELLED", 6, 94)
    work_until_quiet()
    assert (paid_calls(vendor), balance(alice), fresh(parked).kept) == (0, 100, 0)
    assert (outcomes(parked), in_flight(LANE)) == (["late"], 0)


def test_an_import_that_never_ends_is_given_up_in_time(alice: User, item: Item, vendor: Remote) -> None:
    vendor.settings(delay_s=3600)
    for _ in range(3):
        work_next()
        now = timezone.now()
        Attempt.objects.filter(ended_at__isnull=True).update(park_until=now, poll_at=now)
        engine.poll()
        engine.release_due()
    assert (fresh(item).status, fresh(item).error_code, balance(alice)) == ("FAILED", "TIMEOUT", 100)
    assert paid_calls(vendor) == 0
