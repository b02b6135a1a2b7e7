"""One claimed item through its steps, and what is left when the hand that held it is gone."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal
from typing import Any, BinaryIO

import pytest
from django.conf import settings as desk_settings
from PIL import Image

from config.models import User
from generation import engine, images, storage
from generation.claim import Claim, Only, claim
from generation.engine import closing, keeping, leases, working
from generation.models import Asset, Attempt, Item, Outcome
from providers.models import Lane
from tests.generation.support import (
    balance,
    fresh,
    let_leases_end,
    make_plan,
    outcomes,
    submit,
    submit_one,
    take,
    told,
    work_until_quiet,
)
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


class Killed(BaseException):
    """As good as kill -9 to everything that catches exceptions."""


def die_at(monkeypatch: pytest.MonkeyPatch, taken: Claim, place: Any, name: str) -> None:
    """Work a claim up to a function, where the worker dies; its lease ends."""

    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(place, name, die)
        with pytest.raises(Killed):
            engine.work(taken)
    let_leases_end()
    leases.expire_leases()


def test_a_picture_is_made_stored_and_made_small(alice: User, vendors: Remote) -> None:
    request = submit(alice, 1, thumbnail=True)
    work_until_quiet()
    request.refresh_from_db()
    item = request.items.get()
    assert (request.status, item.status, item.progress, balance(alice)) == ("COMPLETED", "SUCCEEDED", 100, 98)
    assert told(request) == ["submitted", "request-started", "started", "step", "succeeded", "request-completed"]
    kinds = {asset.kind: asset for asset in Asset.objects.filter(item=item)}
    assert set(kinds) == {"image", "thumbnail"}
    for asset in kinds.values():
        assert storage.matches(asset.key, asset.size_bytes, asset.sha256)
    with storage.open_file(kinds["thumbnail"].key) as body, Image.open(body) as small:
        assert small.format == "JPEG"
        assert max(small.size) <= desk_settings.THUMBNAIL_PIXELS
    made = Attempt.objects.get(item=item, operation="text-to-image")
    assert (made.outcome, made.stage, made.cost_usd > 0) == ("made", "SETTLED", True)
    assert item.results["generate"]["starts"] == 1


def test_a_thumbnail_that_cannot_be_made_fails_nothing(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise images.BadPicture("too thin")

    monkeypatch.setattr(images, "thumbnail", refuse)
    request = submit(alice, 1, thumbnail=True)
    work_until_quiet()
    item = request.items.get()
    assert (item.status, item.results["thumbnail"], outcomes(item)) == ("SUCCEEDED", {}, ["made", "failed"])
    assert Attempt.objects.get(outcome="failed").error_detail == "BadPicture: too thin"


# --- Our own steps, done along ---------------------------------------------------------------------------


def test_our_own_step_is_done_along_with_the_call_before_it(alice: User, vendors: Remote) -> None:
    item = submit_one(alice, thumbnail=True)
    engine.work(take())
    done = fresh(item)
    assert (done.status, done.fence, done.step) == ("SUCCEEDED", 1, 1)
    attempts = Attempt.objects.filter(item=item).order_by("pk")
    said = [(one.step, one.operation, one.provider, one.stage, one.outcome, one.fence) for one in attempts]
    assert said == [
        (0, "text-to-image", "provider_d", "SETTLED", "made", 1),
        (1, "thumbnail", "internal", "SETTLED", "made", 1),
    ]
    assert all(one.started_at <= one.ended_at for one in attempts if one.ended_at)


@pytest.mark.parametrize("how", ["paused", "capped", "stopped"])
def test_our_own_step_waits_where_its_lane_does_not_flow(alice: User, vendors: Remote, how: str) -> None:
    item, taken = submit_one(alice, thumbnail=True), take()
    lane = Lane.objects.filter(name="desk" if how == "stopped" else "internal")
    lane.update(paused=how != "capped", cap=1 if how == "capped" else None)
    engine.work(taken)
    assert (fresh(item).status, fresh(item).step_name, outcomes(item)) == ("QUEUED", "thumbnail", ["made"])
    lane.update(paused=False)
    work_until_quiet()
    assert (fresh(item).status, outcomes(item)) == ("SUCCEEDED", ["made", "made"])


def test_a_worker_does_nothing_along_that_it_may_not_claim(alice: User, vendors: Remote) -> None:
    item = submit_one(alice, thumbnail=True)
    [taken] = claim(1, only=Only(operations=("text-to-image",)))
    engine.work(taken)
    assert (fresh(item).status, fresh(item).step_name) == ("QUEUED", "thumbnail")


def test_a_required_step_that_fails_along_is_tried_for_itself(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    times, small = [0], images.thumbnail

    def refuse_once(*args: Any, **kwargs: Any) -> images.Picture:
        times[0] += 1
        if times[0] == 1:
            raise storage.StorageError("away")
        return small(*args, **kwargs)

    monkeypatch.setattr(images, "thumbnail", refuse_once)
    plan = make_plan(alice, thumbnail=True)
    picture, thumbnail = plan.items[0].steps
    steps = (picture, replace(thumbnail, required=True))
    item = engine.submit(replace(plan, items=(replace(plan.items[0], steps=steps),))).items.get()
    work_until_quiet()
    assert (fresh(item).status, outcomes(item), times) == ("SUCCEEDED", ["made", "made"], [2])


def test_whoever_dies_before_both_settle_leaves_a_picture_to_be_adopted(
    alice: User, vendors: Remote, media: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = submit_one(alice, thumbnail=True)
    die_at(monkeypatch, take(), keeping, "settle")
    work_until_quiet()
    assert (fresh(item).status, len(vendors.calls()), balance(alice)) == ("SUCCEEDED", 1, 98)
    assert outcomes(item) == ["adopted", "made", "made"]
    assert {asset.kind for asset in item.assets.all()} == {"image", "thumbnail"}


def test_a_picture_and_its_thumbnail_that_come_after_the_cancel_are_not_kept(
    alice: User, vendors: Remote, media: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, small = submit_one(alice, thumbnail=True), images.thumbnail

    def cancel_first(*args: Any, **kwargs: Any) -> images.Picture:
        engine.cancel(item.request_id)
        return small(*args, **kwargs)

    monkeypatch.setattr(images, "thumbnail", cancel_first)
    engine.work(take())
    assert (fresh(item).status, outcomes(item), Asset.objects.count()) == ("CANCELLED", ["late"], 0)
    assert [path for path in media.rglob("*") if path.is_file()] == []


# --- Crashes -----------------------------------------------------------------------------------------


def test_a_stored_picture_is_adopted_also_when_the_adopter_dies(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = submit_one(alice)
    die_at(monkeypatch, take(), keeping, "settle")
    die_at(monkeypatch, take(), storage, "matches")
    work_until_quiet()
    assert (fresh(item).status, len(vendors.calls()), balance(alice)) == ("SUCCEEDED", 1, 98)
    assert outcomes(item) == ["adopted", "lost", "made"]
    assert fresh(item).results["generate"]["starts"] == 1


def test_a_picture_that_kills_whoever_takes_it_over_is_given_up(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = submit_one(alice)
    die_at(monkeypatch, take(), keeping, "settle")
    for _ in range(3):
        die_at(monkeypatch, take(), storage, "matches")
    now = fresh(item)
    assert (now.status, now.losses, balance(alice)) == ("FAILED", 3, 100)
    assert now.quarantined_at


def test_a_stored_object_that_does_not_match_is_a_loss_and_made_again(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = submit_one(alice)
    die_at(monkeypatch, take(), keeping, "settle")
    key = Attempt.objects.get(item=item).key
    storage.delete(key)
    storage.save(key, io.BytesIO(b"half a picture"))
    work_until_quiet()
    assert (fresh(item).status, fresh(item).losses, len(vendors.calls())) == ("SUCCEEDED", 1, 2)
    assert fresh(item).results["generate"]["starts"] == 2


def test_the_third_loss_fails_refunds_and_quarantines(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = submit_one(alice, max_starts=10)
    for losses in (1, 2, 3):
        die_at(monkeypatch, take(), storage, "save")
        assert fresh(item).status == "QUEUED"
        engine.work(take())  # looks for what was stored; nothing was
        assert fresh(item).losses == losses
        engine.sweep()
    now = fresh(item)
    assert (now.status, now.error_code, now.error_retryable, balance(alice)) == ("FAILED", "NETWORK_ERROR", True, 100)
    assert now.quarantined_at
    assert Attempt.objects.filter(item=item, cost_usd__gt=0).count() == 3, "what it cost us is written down"


def test_a_crash_between_claim_and_begin_is_mended_by_the_next_claim(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = submit_one(alice)
    die_at(monkeypatch, take(), working, "begin")
    item.request.refresh_from_db()
    assert item.request.status == "QUEUED"
    work_until_quiet()
    assert (fresh(item).status, len(vendors.calls())) == ("SUCCEEDED", 1)


# --- Late answers ------------------------------------------------------------------------------------


def test_an_answer_after_the_lease_ended_is_recorded_with_its_cost_and_changes_nothing(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, begin = submit_one(alice), working.begin

    def begin_and_be_given_up(taken: Claim) -> None:
        begin(taken)
        let_leases_end()
        leases.expire_leases()

    with monkeypatch.context() as patched:
        patched.setattr(working, "begin", begin_and_be_given_up)
        engine.work(take())
    assert (fresh(item).status, fresh(item).losses, Asset.objects.count()) == ("HELD", 1, 0)
    assert Attempt.objects.get().cost_usd > 0
    work_until_quiet()
    assert (fresh(item).status, Asset.objects.count(), balance(alice)) == ("SUCCEEDED", 1, 98)
    assert outcomes(item) == ["lost", "made"]


def test_a_picture_that_comes_after_the_cancel_is_not_kept_but_its_cost_is_known(
    alice: User, vendors: Remote, media: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, save = submit_one(alice), storage.save

    def save_and_cancel(key: str, body: BinaryIO) -> None:
        save(key, body)
        engine.cancel(item.request_id)

    monkeypatch.setattr(storage, "save", save_and_cancel)
    engine.work(take())
    assert (fresh(item).status, outcomes(item), Asset.objects.count()) == ("CANCELLED", ["late"], 0)
    assert [path for path in media.rglob("*") if path.is_file()] == []
    assert Attempt.objects.get().cost_usd > Decimal(0)
    assert balance(alice) == 98, "it was made, so the rule `confirmed` keeps the price"


def test_an_error_after_the_cancel_proves_that_nothing_was_made(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendors.faults("openai", "filtered")
    item = cancelled_while_at_the_vendor(alice, monkeypatch)
    assert (fresh(item).status, fresh(item).kept, balance(alice)) == ("CANCELLED", 0, 100)
    assert told(item.request)[-1] == "refunded"


def test_an_answer_lost_after_the_cancel_proves_nothing(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendors.faults("openai", "reset")
    item = cancelled_while_at_the_vendor(alice, monkeypatch)
    assert (fresh(item).status, fresh(item).kept, balance(alice)) == ("CANCELLED", 2, 98)


def test_the_proof_and_the_refund_are_one_commit(alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    vendors.faults("openai", "filtered")
    with monkeypatch.context() as patched:
        patched.setattr(closing, "_confirm_cancelled", die)
        with pytest.raises(Killed):
            cancelled_while_at_the_vendor(alice, patched)
    attempt = Attempt.objects.get()
    assert attempt.ended_at is None, "still open: nothing was given back yet"
    closing.end_without_result(attempt.pk, Outcome.LATE)
    assert balance(alice) == 100


def cancelled_while_at_the_vendor(owner: User, monkeypatch: pytest.MonkeyPatch) -> Item:
    """An item that is cancelled while its call runs."""
    item, begin = submit_one(owner), working.begin

    def begin_and_cancel(taken: Claim) -> None:
        begin(taken)
        engine.cancel(item.request_id)

    monkeypatch.setattr(working, "begin", begin_and_cancel)
    engine.work(take())
    return item


# --- The store ---------------------------------------------------------------------------------------


@pytest.fixture
def store_away(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the store fail so many times."""
    save = storage.save
    monkeypatch.setattr(keeping, "STORE_WAITS_S", (0.0, 0.0, 0.0))

    def fail(times: int, *, after: bool = False) -> None:
        left = [times]

        def try_to_save(key: str, body: BinaryIO) -> None:
            if after or not left[0]:
                save(key, body)
            if left[0]:
                left[0] -= 1
                raise storage.StorageError("the store cannot be used: TimeoutError")

        monkeypatch.setattr(storage, "save", try_to_save)

    return fail


def test_a_store_that_is_away_for_a_moment_costs_no_second_call(alice: User, vendors: Remote, store_away: Any) -> None:
    store_away(3)
    item = submit_one(alice)
    work_until_quiet()
    assert (fresh(item).status, len(vendors.calls()), outcomes(item)) == ("SUCCEEDED", 1, ["made"])


def test_a_write_whose_confirmation_was_lost_is_a_write(alice: User, vendors: Remote, store_away: Any) -> None:
    store_away(1, after=True)
    item = submit_one(alice)
    work_until_quiet()
    assert (fresh(item).status, len(vendors.calls()), outcomes(item)) == ("SUCCEEDED", 1, ["made"])


def test_a_store_that_stays_away_is_a_loss_and_at_last_a_refund(alice: User, vendors: Remote, store_away: Any) -> None:
    store_away(1000)
    item = submit_one(alice)
    work_until_quiet()
    now = fresh(item)
    assert (now.status, now.error_code, now.losses, balance(alice)) == ("FAILED", "STORAGE_ERROR", 3, 100)


# --- Drain, renewals ---------------------------------------------------------------------------------


def test_a_call_cut_off_by_a_drain_never_counts_as_the_third_nor_as_the_last_start(
    alice: User, vendors: Remote
) -> None:
    item = submit_one(alice, max_starts=1)
    for _ in range(5):
        taken = take()
        assert leases.give_up([(taken.item.pk, taken.fence)]) == 1
        assert leases.give_up([(taken.item.pk, taken.fence)]) == 0
    assert (fresh(item).status, fresh(item).losses) == ("QUEUED", 2)
    work_until_quiet()
    assert fresh(item).status == "SUCCEEDED"


def test_a_lease_is_renewed_only_for_whom_it_holds(alice: User) -> None:
    item = submit_one(alice)
    taken = take()
    let_leases_end()
    assert leases.renew([]) == 0
    assert leases.renew([(item.pk, taken.fence + 1)]) == 0
    assert leases.renew([(item.pk, taken.fence), (item.pk + 1, 1)]) == 1
    assert leases.expire_leases() == 0
    engine.cancel(item.request_id)
    assert leases.renew([(item.pk, taken.fence)]) == 0


def test_a_call_whose_item_was_cancelled_and_whose_worker_died_leaves_its_lane(alice: User) -> None:
    item = submit_one(alice)
    take()
    engine.cancel(item.request_id)
    assert engine.sweep()["close_abandoned"] == 0, "its worker may still be at it"
    let_leases_end()
    assert engine.sweep()["close_abandoned"] == 1
    assert (outcomes(item), fresh(item).kept) == (["lost"], 2)


def test_what_takes_too_long_fails_with_the_last_error_as_its_reason(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "503", retry_after=300)
    item = submit_one(alice, deadline_s=0)
    engine.work(take())
    assert fresh(item).status == "HELD"
    assert engine.sweep()["expire_deadlines"] == 1
    now = fresh(item)
    assert (now.status, now.error_code, now.error_retryable) == ("FAILED", "SERVICE_UNAVAILABLE", True)
    assert balance(alice) == 100


def test_waiting_in_the_queue_never_fails_an_item(alice: User) -> None:
    item = submit_one(alice, deadline_s=0)
    assert engine.sweep()["expire_deadlines"] == 0
    assert fresh(item).status == "QUEUED"
