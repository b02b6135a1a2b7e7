"""The pose generator's flow from end to end: choose or describe, wait, fetch; and whatever goes wrong on the way.

The work is done in the test's own thread against the simulator over HTTP (see `tests.doors.poses.desk`), or by real
worker processes where they are to be killed or to get in each other's way.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from config.models import User
from credits import ledger
from generation import engine, queue
from generation.claim import claim
from generation.doors.poses import chain
from generation.models import Attempt, Item, ItemStatus, LibraryPose, Request
from tests.doors.poses.conftest import richs, three_poses
from tests.doors.poses.desk import (
    GUIDES_BODY,
    Customer,
    assert_books_are_right,
    change_of,
    let_time_pass,
    make_unlimited,
    pose_item,
    work,
)
from tests.generation.processes import environment, until, worker
from tests.simulator import Remote

__all__ = ["richs", "three_poses"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

BLUE = {"backgroundMode": "solid_color", "backgroundColor": "#0000ff"}


@pytest.fixture
def alices(alice: User) -> Customer:
    """Alice at this door, with 100 credits."""
    return Customer(alice)


def submitted(simulator: Remote, vendor: str = "replicate") -> list[dict[str, Any]]:
    """What a vendor was asked to make: the fields of its model."""
    asked = [call for call in simulator.calls(vendor, "submit") if call["method"] == "POST"]
    return [call["fields"]["input"] for call in asked]


def asked_for(simulator: Remote) -> Counter[int]:
    """How often each seed was asked for: a pose's own, so that each pose is one."""
    return Counter(fields["seed"] for fields in submitted(simulator))


def seeds(generation_id: str) -> list[int]:
    items = Item.objects.filter(request=generation_id).order_by("index")
    return [item.params["seed"] for item in items]


# --- It works ------------------------------------------------------------------------------------


def test_a_gallery_of_three_poses_in_four_variations_two_of_which_fail(
    richs: Customer, three_poses: list[LibraryPose], simulator: Remote
) -> None:
    simulator.faults("replicate", "bad-input", times=2, operation="submit")
    generation_id = richs.generated(*three_poses, exportFormats=["ig-post"])
    assert richs.balance == 1000 - 12 * 30

    work()

    told = richs.get(f"generations/{generation_id}")
    generation = told["generation"]
    assert (generation["status"], generation["posesCompleted"], generation["posesFailed"]) == ("completed", 10, 2)
    assert (generation["creditCharged"], generation["creditRefunded"]) == (360, 60)
    assert (told["progress"]["percentage"], told["progress"]["estimatedTimeRemaining"]) == (83, None)
    assert richs.balance == 1000 - 10 * 30
    keys = [pose["variationKey"] for pose in generation["poses"]]
    assert keys == [f"{pose.pk}-v{number}" for pose in three_poses for number in (1, 2, 3, 4)]
    failed = [pose for pose in generation["poses"] if pose["status"] == "failed"]
    assert [pose["errorMessage"] for pose in failed] == ["The input could not be processed."] * 2
    results = richs.get(f"generations/{generation_id}/results")
    assert (results["generation"]["successCount"], results["generation"]["failedCount"]) == (10, 2)
    assert all(richs.picture(pose["exportFormats"]["ig-post"]).size == (1080, 1080) for pose in results["results"])
    sent = submitted(simulator)
    assert len(sent) == 12
    assert all(fields["control_image"] for fields in sent)  # the map itself
    assert_books_are_right()


def test_the_guides_own_example_from_submit_to_picture(alices: Customer) -> None:
    body = json.dumps({"projectId": str(alices.project().pk), **GUIDES_BODY})
    generation_id = alices.call("POST", "generate", body).json()["generationId"]
    assert alices.get(f"generations/{generation_id}")["progress"]["currentStatus"] == "pending"
    work()
    results = alices.get(f"generations/{generation_id}/results")
    assert [pose["variationKey"] for pose in results["results"]] == ["text-v1", "text-v2"]
    assert all(alices.picture(pose["outputImageUrl"]).size == (1024, 1024) for pose in results["results"])
    assert (results["generation"]["creditCharged"], alices.balance) == (60, 40)
    assert_books_are_right()


def test_one_pose_before_one_background_after_another(richs: Customer) -> None:
    pose = richs.finished_pose(exportFormats=["original"])
    mine = richs.finished_pose()["outputImageUrl"]
    shown = []
    for fields in (
        BLUE,
        {"backgroundMode": chain.AI_GENERATE, "backgroundPrompt": "a park"},
        {"backgroundMode": chain.UPLOAD, "backgroundImageUrl": mine},
    ):
        assert richs.change(pose["id"], **fields).status_code == 202
        work()
        assert change_of(pose["id"]).status == ItemStatus.SUCCEEDED
        (now,) = richs.poses(pose["generationId"])
        assert now["originalImageUrl"].split("?")[0] == pose["originalImageUrl"].split("?")[0]
        shown.append(richs.picture(now["outputImageUrl"]).tobytes())
        assert richs.picture(now["exportFormats"]["original"]).tobytes() == shown[-1]
    assert len(set(shown)) == 3
    assert richs.balance == 1000 - 2 * 30 - 3 * 10
    assert_books_are_right()


# --- It goes wrong -------------------------------------------------------------------------------


def test_a_days_quota_runs_out_and_comes_back_for_what_failed(
    alices: Customer, alice: User, simulator: Remote, settings: Any
) -> None:
    settings.POSE_TEXT_PROVIDER_ORDER = ["stability"]
    make_unlimited(alice, 5)
    simulator.faults("stability", "bad-input", times=1)
    alices.generate(batchSize=4)
    refused = alices.generate(batchSize=2)
    assert (refused.status_code, refused.json()["available"]) == (403, 1)
    work()
    assert alices.get("credits")["unlimited"]["remaining"] == 2
    assert alices.generate(batchSize=2).status_code == 202
    assert alices.generate(batchSize=1).json()["code"] == "INSUFFICIENT_QUOTA"
    assert alices.balance == 100
    assert_books_are_right()


@pytest.mark.parametrize(("gives_back", "balance"), [(False, 70), (True, 100)])
def test_what_the_content_filter_refuses_is_kept_by_rule(
    alices: Customer, simulator: Remote, settings: Any, gives_back: bool, balance: int
) -> None:
    settings.POSE_TEXT_PROVIDER_ORDER = ["openai"]
    settings.POSE_REFUND_FILTERED = gives_back
    simulator.faults("openai", "filtered", times=9)
    generation_id = alices.generated(batchSize=1)
    work()
    generation = alices.generation(generation_id)
    assert generation["poses"][0]["errorMessage"] == "The content filter refused this pose."
    assert (generation["status"], generation["creditRefunded"], alices.balance) == ("failed", balance - 70, balance)
    assert_books_are_right()


@pytest.mark.parametrize("fault", ["500", "503", "504", "rate-limit"])
def test_a_fault_that_passes_costs_nothing(alices: Customer, simulator: Remote, settings: Any, fault: str) -> None:
    settings.POSE_TEXT_PROVIDER_ORDER = ["stability"]
    simulator.faults("stability", fault, times=2)
    generation_id = alices.generated(batchSize=1)
    work()
    assert alices.generation(generation_id)["status"] == "completed"
    assert alices.balance == 70
    assert_books_are_right()


def test_a_fault_that_lasts_is_given_up_after_three_tries(alices: Customer, simulator: Remote, settings: Any) -> None:
    settings.POSE_TEXT_PROVIDER_ORDER = ["stability"]
    simulator.faults("stability", "503", times=99)
    generation_id = alices.generated(batchSize=1)
    work()
    generation = alices.generation(generation_id)
    assert generation["poses"][0]["errorMessage"] == "The generation service failed several times."
    assert len(simulator.calls("stability")) == 3
    assert alices.balance == 100


def test_a_worker_that_dies_behind_a_finished_step_does_not_begin_again(
    alices: Customer, simulator: Remote, settings: Any
) -> None:
    """At each step of a pose with a background the worker dies once, and another one goes on."""
    settings.POSE_TEXT_PROVIDER_ORDER = settings.POSE_CUT_OUT_PROVIDER_ORDER = ["stability"]
    settings.POSE_SEAM_PROVIDER_ORDER = ["stability"]
    generation_id = alices.generated(
        batchSize=1, useBackgroundChanger=True, backgroundMode="ai_generate", backgroundPrompt="a park"
    )
    (pose,) = alices.poses(generation_id)
    died: list[str] = []
    for _ in range(60):
        let_time_pass()
        taken = claim(1)
        if not taken:
            if pose_item(pose["id"]).is_final:
                break
            continue
        name = taken[0].item.step_name
        if name in died:
            engine.work(taken[0])
        else:  # claimed, and never heard of again
            died.append(name)
            Item.objects.filter(status=ItemStatus.RUNNING).update(lease_until="2000-01-01T00:00:00Z", losses=0)
            engine.sweep()
    assert died[:3] == ["generate", "cut-out", "background"]
    assert "seam" in died
    (done,) = alices.poses(generation_id)
    assert (done["status"], done["backgroundChanged"], alices.balance) == ("completed", True, 60)
    made = Attempt.objects.filter(item__public_id=pose["id"], outcome="made").values_list("step", flat=True)
    assert len(made) == len(set(made))
    assert len(simulator.calls("stability")) == 4
    assert_books_are_right()


# --- Many at once --------------------------------------------------------------------------------


def test_fifty_people_at_once_get_what_they_asked_for(make_customer: Any, simulator: Remote, settings: Any) -> None:
    settings.POSE_TEXT_PROVIDER_ORDER = ["stability"]
    simulator.settings(picture_bytes=120_000)
    crowd = [Customer(make_customer(f"person-{number}", 35)) for number in range(50)]

    def ask(customer: Customer) -> Any:
        try:
            return customer.generate(batchSize=1)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, crowd))
    assert {answer.status_code for answer in answers} == {202}
    assert Item.objects.count() == 50
    work()
    for customer, answer in zip(crowd, answers, strict=True):
        told = customer.get(f"generations/{answer.json()['generationId']}")["generation"]
        assert (told["status"], told["posesCompleted"], customer.balance) == ("completed", 1, 5)
    assert len(simulator.calls("stability")) == 50
    assert_books_are_right()


@pytest.fixture
def three_by_four(richs: Customer, three_poses: list[LibraryPose], media: Path, settings: Any) -> str:
    """A gallery of twelve poses, for workers in processes of their own."""
    queue.bells().empty()
    return richs.generated(*three_poses)


def workers_environment(media: Path, **more: str) -> dict[str, str]:
    return environment(media, REPLICATE_POLL_S="0.1", REPLICATE_REQUESTS_PER_MINUTE="0", **more)


def ended(generation_id: str) -> int:
    return Item.objects.filter(request=generation_id, finished_at__isnull=False).count()


@pytest.mark.slow
def test_killed_at_the_seventh_pose_of_twelve_it_goes_on_with_the_eighth(
    richs: Customer, three_by_four: str, simulator: Remote, media: Path, tmp_path: Path
) -> None:
    env = workers_environment(media, WORKER_THREADS="1")
    with worker(env, tmp_path / "first.log") as first:
        until(lambda: ended(three_by_four) >= 7, "seven poses are made", first)
        first.kill()
        first.wait()
    done = {item.public_id: item.results for item in Item.objects.filter(status=ItemStatus.SUCCEEDED)}
    assert 7 <= len(done) < 12
    before = asked_for(simulator)
    # The round of questions that it had in hand is over.
    Attempt.objects.filter(poll_at__isnull=False, ended_at__isnull=True).update(poll_at=timezone.now())

    with worker(env, tmp_path / "second.log") as second:
        until(lambda: ended(three_by_four) == 12, "all poses are made", second)

    generation = richs.generation(three_by_four)
    assert (generation["status"], generation["posesCompleted"], generation["creditRefunded"]) == ("completed", 12, 0)
    assert {item.public_id: item.results for item in Item.objects.filter(public_id__in=done)} == done
    finished = [item.params["seed"] for item in Item.objects.filter(public_id__in=done)]
    after = asked_for(simulator)
    assert [after[seed] for seed in finished] == [before[seed] for seed in finished] == [1] * len(done)
    assert set(after) == set(seeds(three_by_four))
    assert richs.balance == 1000 - 12 * 30
    assert_books_are_right()


@pytest.mark.slow
def test_three_workers_on_one_generation_make_each_pose_once(
    richs: Customer, three_by_four: str, simulator: Remote, media: Path, tmp_path: Path
) -> None:
    env = workers_environment(media, WORKER_THREADS="4")
    with ExitStack() as stack:
        crew = [stack.enter_context(worker(env, tmp_path / f"{number}.log")) for number in range(3)]
        until(lambda: ended(three_by_four) == 12, "all poses are made", crew[0])
    assert asked_for(simulator) == Counter(seeds(three_by_four))
    generation = richs.generation(three_by_four)
    assert (generation["status"], generation["posesCompleted"], generation["recoveryAttempts"]) == ("completed", 12, 0)
    made = Attempt.objects.filter(item__request=three_by_four, outcome="made").values_list("item", "step")
    assert max(Counter(made).values()) == 1
    assert Request.objects.get(pk=three_by_four).finished_at <= timezone.now()
    assert ledger.balance(richs.user.pk) == 1000 - 12 * 30  # type: ignore[union-attr]
    assert_books_are_right()
