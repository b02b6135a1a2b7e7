"""Chores, the daily prune, and the parts of the sweep that keep the desk's own books."""

from __future__ import annotations

import io
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from config.models import Idempotency, User
from generation import chores, engine, prune, storage
from generation.engine import sweeping
from generation.models import Asset, Attempt, AuditRun, Chore, Event, Item, MetricsRow
from tests.db import race
from tests.generation.support import AGES, fresh, submit_one, take, work_until_quiet
from tests.simulator import Remote

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two kinds of chore: one writes down its args here, one fails."""
    done: list[Any] = []

    def note(**args: Any) -> dict[str, Any]:
        done.append(args)
        return {"noted": len(done)}

    def fail() -> dict[str, Any]:
        done.append("failed")
        raise LookupError("it is not there")

    monkeypatch.setitem(chores.KINDS, "note", note)
    monkeypatch.setitem(chores.KINDS, "fail", fail)
    return done


def add(kind: str, **fields: Any) -> Chore:
    due = {"key": secrets.token_hex(4), "run_after": timezone.now()}
    return Chore.objects.create(kind=kind, **{**due, **fields})


def test_a_chore_is_done_once_when_it_is_due(kinds: list[Any]) -> None:
    add("note", run_after=timezone.now() + AGES)
    chore = add("note", args={"page": 1})
    assert chores.do_next() is True
    assert chores.do_next() is False
    chore.refresh_from_db()
    assert (kinds, chore.result, chore.error, chore.tries) == ([{"page": 1}], {"noted": 1}, "", 1)
    assert chore.done_at


class Killed(BaseException):
    """The worker died over it: nobody writes anything down."""


@pytest.mark.parametrize(("kind", "is_soon"), [("mirror", True), ("note", False)])
def test_files_whose_writer_was_killed_are_written_when_its_items_begin_anew(
    kinds: list[Any], monkeypatch: pytest.MonkeyPatch, settings: Any, kind: str, is_soon: bool
) -> None:
    """Who waits for a story's end is not told of it before; two writers at a time do each other no harm."""

    def die(**args: Any) -> dict[str, Any]:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setitem(chores.KINDS, kind, die)
        add(kind)
        with pytest.raises(Killed):
            chores.do_next()
    monkeypatch.setitem(chores.KINDS, kind, chores.KINDS["note"])
    assert chores.do_next() is False

    Chore.objects.update(lease_until=F("lease_until") - timedelta(seconds=settings.LEASE_S + 1))

    assert chores.do_next() is is_soon


def test_a_chore_is_taken_by_one_of_many(kinds: list[Any]) -> None:
    for _ in range(3):
        add("note")
    assert sorted(race(*[chores.do_next] * 6)) == [False] * 3 + [True] * 3
    assert len(kinds) == 3


def test_a_chore_that_fails_is_tried_five_times_ever_later(kinds: list[Any]) -> None:
    chore, waits = add("fail"), []
    for _ in range(5):
        before = timezone.now()
        assert chores.do_next() is True
        chore.refresh_from_db()
        waits.append(round((chore.run_after - before).total_seconds()))
        Chore.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    assert chores.do_next() is False
    assert waits[:4] == [20, 40, 80, 160]
    assert (len(kinds), chore.tries, chore.error) == (5, 5, "LookupError: it is not there")
    assert chore.done_at


def test_a_chore_whose_worker_died_is_taken_up_when_its_lease_ends(kinds: list[Any]) -> None:
    chore = add("note")
    dead = chores._take()
    assert dead is not None
    assert chores.do_next() is False
    Chore.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert chores.do_next() is True
    chore.refresh_from_db()
    assert chore.tries == 2
    assert chores._mine(dead).update(result={"late": True}) == 0, "whoever comes back finds the fence moved on"


def test_a_chore_that_kills_its_worker_each_time_is_given_up(kinds: list[Any]) -> None:
    chore = add("note")
    for _ in range(5):
        assert chores._take()
        Chore.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert chores.do_next() is True
    chore.refresh_from_db()
    assert (kinds, bool(chore.done_at), chore.error) == ([], True, "RuntimeError: the worker died over it each time")


# --- Prune -------------------------------------------------------------------------------------------


def make_old(media: Path) -> None:
    for path in media.rglob("*"):
        os.utime(path, (0, 0))


def test_prune_clears_what_is_past_its_time_and_keeps_what_belongs_to_someone(
    alice: User, vendors: Remote, media: Path, settings: Any
) -> None:
    old, item = timezone.now() - timedelta(days=400), submit_one(alice, thumbnail=True)
    work_until_quiet()
    storage.save("images/orphan/nobody-1.png", io.BytesIO(b"left by a crash"))
    storage.save("users/elsewhere.png", io.BytesIO(b"not ours to clear"))
    # Received and stored, its worker dead: the next hand will adopt it.
    adopted = submit_one(alice)
    attempt = take().attempt_id
    storage.save("images/a/b-1.png", io.BytesIO(b"to be adopted"))
    Attempt.objects.filter(pk=attempt).update(stage="RECEIVED", key="images/a/b-1.png")
    for kind in ("note", "note"):
        add(kind, done_at=old)
    waiting = add("note", run_after=timezone.now() + AGES)
    MetricsRow.objects.create(
        at=old, **dict.fromkeys(
            ("requests_total", "requests_completed", "requests_failed", "average_generation_s", "queue_length",
             "active_requests"), 0)
    )  # fmt: skip
    AuditRun.objects.create(at=old)
    Idempotency.objects.create(owner=alice, method="POST", path="/", key="1", fingerprint="", status=202, body="{}")
    Idempotency.objects.update(created_at=timezone.now() - timedelta(hours=25))
    make_old(media)
    assert prune.prune() == {
        "idempotency": 1,
        "events": 0,
        "chores": 2,
        "bulks": 0,
        "metrics": 1,
        "audits": 1,
        "orphans": 1,
    }
    assert all((media / asset.key).exists() for asset in Asset.objects.filter(item=item))
    assert Asset.objects.count() == 2
    assert (media / "images/a/b-1.png").exists()
    assert (media / "users/elsewhere.png").exists()
    assert not (media / "images/orphan/nobody-1.png").exists()
    assert list(Chore.objects.all()) == [waiting]
    engine.cancel(adopted.request_id)
    assert prune.prune()["orphans"] == 1, "cancelled: nobody will adopt it now"


def test_young_orphans_may_still_be_somebodys(media: Path) -> None:
    storage.save("images/orphan/nobody-1.png", io.BytesIO(b"just stored, not yet settled"))
    assert prune.prune()["orphans"] == 0


def test_events_of_open_requests_are_kept_however_old(alice: User, vendors: Remote, settings: Any) -> None:
    settings.KEEP_EVENTS_DAYS = 0
    ended = submit_one(alice)
    work_until_quiet()
    waiting = submit_one(alice)
    assert prune.prune()["events"] > 0
    assert not Event.objects.filter(request=ended.request_id).exists()
    assert Event.objects.filter(request=waiting.request_id).exists()
    assert fresh(ended).status == "SUCCEEDED"


# --- The sweep ---------------------------------------------------------------------------------------


def test_the_sweep_plans_one_prune_a_day_and_keeps_metrics_and_audits_at_their_pace(
    alice: User, vendors: Remote, settings: Any
) -> None:
    settings.ENABLE_METRICS = True
    submit_one(alice)
    assert {part: done for part, done in engine.sweep().items() if done} == {"keep_metrics": 1, "plan_prune": 1}
    assert not any(engine.sweep().values())
    assert MetricsRow.objects.get().queue_length == 1
    assert AuditRun.objects.get().full is True
    assert chores.do_next() is True
    Chore.objects.update(created_at=timezone.now() - timedelta(days=2))
    MetricsRow.objects.update(at=timezone.now() - AGES)
    AuditRun.objects.update(at=timezone.now() - timedelta(hours=1))
    engine.sweep()
    assert (Chore.objects.count(), MetricsRow.objects.count(), AuditRun.objects.count()) == (2, 2, 2)
    assert AuditRun.objects.latest().full is False
    Chore.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert engine.sweep()["plan_prune"] == 0, "yesterday's waits still"


def test_two_sweeps_at_once_do_nothing_twice(alice: User, vendors: Remote) -> None:
    items = [submit_one(alice) for _ in range(6)]
    for _ in items:
        take()
    Item.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    race(*[engine.sweep] * 4)
    assert [(fresh(item).losses, fresh(item).attempts.count()) for item in items] == [(1, 1)] * 6


def test_a_part_that_fails_stops_no_other(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(sweeping, "PARTS", (broken, sweeping.plan_prune))
    assert engine.sweep() == {"broken": 0, "plan_prune": 1}
    assert "a part of the sweep failed" in caplog.text
