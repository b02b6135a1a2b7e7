"""The staff's routes: figures of the whole door, recovery, wishes; and the health that anybody may ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from config.models import StaffAct
from generation import engine, queue
from generation.claim import claim
from generation.models import Item, PoseWish, Request
from providers.models import Lane
from tests.doors.poses.desk import Customer, faults_of, make_category, make_pose, work
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

WISHES = "admin/pose-requests"

# --- Figures -------------------------------------------------------------------------------------


def test_metrics_count_the_doors_work(richs: Customer, stellas: Customer, simulator: Remote) -> None:
    simulator.faults("huggingface", "bad-input", times=99, match="forbidden")
    for vendor in ("replicate", "stability", "openai"):
        simulator.faults(vendor, "bad-input", times=99, match="forbidden")
    done = richs.generated(batchSize=2)
    richs.generated(batchSize=1, textPrompt="forbidden")
    work()
    richs.generated(batchSize=3)
    told = stellas.get("metrics")
    expected = {
        "totalGenerations": 3,
        "activeGenerations": 1,
        "completedGenerations": 1,
        "failedGenerations": 1,
        "avgPosesPerGeneration": 2.0,
        "successRate": 50.0,
        "queueDepth": 3,
        "queueWaiting": 3,
        "queueActive": 0,
        "queueFailed": 1,
        "totalPosesGenerated": 2,
        "totalCreditsSpent": 180,
        "totalCreditsRefunded": 30,
    }
    assert {name: told[name] for name in expected} == expected
    assert told["avgGenerationTime"] > 0
    assert stellas.get("metrics?period=1h")["totalGenerations"] == 3
    Request.objects.filter(pk=done).update(created_at=timezone.now() - timedelta(days=3))
    assert stellas.get("metrics?period=day")["totalGenerations"] == 2
    assert stellas.get("metrics?period=week")["totalGenerations"] == 3
    assert stellas.get("metrics?period=all")["totalGenerations"] == 3
    yesterday = (timezone.now() - timedelta(days=1)).date()
    assert stellas.get(f"metrics?endDate={yesterday}&startDate=2020-01-01T00:00:00Z")["totalGenerations"] == 1


def test_a_wrong_period_is_refused_with_every_fault(stellas: Customer) -> None:
    answer = stellas.call("GET", "metrics?period=decade&startDate=soon&endDate=2026-13-01")
    assert set(faults_of(answer)) == {"period", "startDate", "endDate"}
    assert stellas.call("GET", "metrics?period=decade").json()["error"] == "1 field is invalid."


def test_who_uses_the_door_most_and_which_poses(
    richs: Customer, bobs: Customer, stellas: Customer, simulator: Remote
) -> None:
    lean, run = make_pose("Lean"), make_pose("Run")
    for _ in range(2):
        richs.generated(lean, batchSize=1)
    bobs.generated(run, batchSize=1)
    work()
    users = stellas.get("metrics/top-users?limit=1")["users"]
    assert [(one["userName"], one["generationCount"], one["totalPoses"]) for one in users] == [("rich", 2, 2)]
    assert users[0]["successRate"] == 100.0
    poses = stellas.get("metrics/popular-poses")["poses"]
    assert [(one["name"], one["usageCount"], one["category"]) for one in poses] == [
        ("Lean", 2, "editorial"),
        ("Run", 1, "editorial"),
    ]


def test_errors_are_counted_by_the_contracts_words(
    alices: Customer, stellas: Customer, simulator: Remote, settings: Any
) -> None:
    settings.POSE_TEXT_PROVIDER_ORDER = ["openai"]
    simulator.faults("openai", "filtered", times=1)
    alices.generated()
    work()
    (error,) = stellas.get("metrics/errors")["errors"]
    assert (error["errorType"], error["count"]) == ("INAPPROPRIATE_PROMPT", 1)
    assert error["lastOccurred"].endswith("Z")


# --- Recovery ------------------------------------------------------------------------------------


def test_what_a_dead_worker_held_goes_on(alices: Customer, stellas: Customer) -> None:
    generation_id = alices.generated(batchSize=1)
    claim(1)
    assert stellas.get("recovery/status") == {
        "stalledGenerations": 0,
        "queuedGenerations": 1,
        "processingGenerations": 0,
        "lastRecoveryRun": None,
    }
    Item.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert stellas.get("recovery/status")["stalledGenerations"] == 1
    assert stellas.post("recovery/trigger").json() == {"success": True, "recovered": 1, "failed": 0}
    told = stellas.get("recovery/status")
    assert (told["stalledGenerations"], bool(told["lastRecoveryRun"])) == (0, True)
    work()
    generation = alices.generation(generation_id)
    assert (generation["status"], generation["recoveryAttempts"]) == ("completed", 1)
    assert generation["lastRecoveryAt"]
    assert StaffAct.objects.get().outcome == {"recovered": 1, "failed": 0}


def test_the_third_crash_fails_and_refunds(alices: Customer, stellas: Customer) -> None:
    generation_id = alices.generated(batchSize=1)
    answers = []
    for _ in range(3):
        engine.release_due()
        Item.objects.filter(status="HELD").update(run_after="2000-01-01T00:00:00Z")
        engine.release_due()
        assert claim(1)
        Item.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        answers.append(stellas.post("recovery/trigger").json())
    assert [(one["recovered"], one["failed"]) for one in answers] == [(1, 0), (1, 0), (0, 1)]
    generation = alices.generation(generation_id)
    assert (generation["status"], generation["recoveryAttempts"]) == ("failed", 3)
    assert (generation["creditRefunded"], alices.balance) == (30, 100)


def test_what_nobody_claims_is_stalled_only_while_somebody_is_idle(
    alices: Customer, stellas: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alices.generated(batchSize=1)
    Item.objects.update(queued_at=timezone.now() - timedelta(minutes=6))

    def stalled(threads: int, busy: int) -> int:
        worker = queue.WorkerInfo("one", threads, busy, timezone.now())
        monkeypatch.setattr(queue, "workers", lambda: [worker] if threads else [])
        return int(stellas.get("recovery/status")["stalledGenerations"])

    assert (stalled(0, 0), stalled(4, 4), stalled(4, 3)) == (0, 0, 1)
    Lane.objects.filter(name="provider_g").update(paused=True)
    assert stalled(4, 3) == 0


# --- Wishes --------------------------------------------------------------------------------------


@pytest.fixture
def wish(alices: Customer) -> str:
    body = {"poseName": "Handstand", "description": "On one hand, please."}
    found: str = alices.post("requests", body).json()["request"]["id"]
    return found


def test_a_wish_is_approved_begun_and_fulfilled(alices: Customer, stellas: Customer, wish: str) -> None:
    pose = make_pose("Handstand")
    path = f"{WISHES}/{wish}"
    assert stellas.post(f"{path}/approve").json()["request"]["status"] == "approved"
    assert stellas.post(f"{path}/mark-in-progress", {"adminNotes": "Drawing."}).json()["request"]["status"] == (
        "in_progress"
    )
    done = stellas.post(f"{path}/mark-completed", {"completedPoseId": str(pose.pk)}).json()["request"]
    assert (done["status"], done["completedPoseId"], done["adminNotes"]) == ("completed", str(pose.pk), "Drawing.")
    assert alices.get("requests")["requests"] == [done]
    assert stellas.get(path)["request"] == done
    verbs = list(StaffAct.objects.order_by("pk").values_list("verb", "subject"))
    assert verbs == [(verb, f"pose wish {wish}") for verb in ("approve", "begin", "complete")]


def test_a_refusal_says_why(stellas: Customer, wish: str) -> None:
    path = f"{WISHES}/{wish}"
    assert faults_of(stellas.post(f"{path}/reject")) == {"adminNotes": "REQUIRED"}
    told = stellas.post(f"{path}/reject", {"adminNotes": "Too hard."}).json()["request"]
    assert (told["status"], told["adminNotes"]) == ("rejected", "Too hard.")
    noted = stellas.call("PUT", f"{path}/notes", {"adminNotes": "For now."}).json()["request"]
    assert (noted["status"], noted["adminNotes"]) == ("rejected", "For now.")


@pytest.mark.parametrize(
    ("body", "faults"),
    [({}, {"completedPoseId": "REQUIRED"}), ({"completedPoseId": "x"}, {"completedPoseId": "UNKNOWN"})],
)
def test_a_fulfilled_wish_names_its_pose(
    stellas: Customer, wish: str, body: dict[str, Any], faults: dict[str, str]
) -> None:
    assert faults_of(stellas.post(f"{WISHES}/{wish}/mark-completed", body)) == faults
    assert PoseWish.objects.get().status == "pending"


def test_wishes_are_found_counted_and_ranked(alices: Customer, bobs: Customer, stellas: Customer) -> None:
    category = make_category("yoga-wellness")
    for customer, name, fields in (
        (alices, "Lotus", {"categoryId": str(category.pk)}),
        (alices, "Bridge", {}),
        (bobs, "Wheel", {}),
    ):
        customer.post("requests", {"poseName": name, "description": "As it is in the book.", **fields})
    PoseWish.objects.filter(pose_name="Bridge").update(votes_count=5)
    PoseWish.objects.filter(pose_name="Wheel").update(status="approved")

    def names(query: str) -> list[str]:
        return [one["poseName"] for one in stellas.get(f"{WISHES}{query}")["requests"]]

    assert names("") == ["Wheel", "Bridge", "Lotus"]
    assert names("?status=approved") == ["Wheel"]
    assert names(f"?categoryId={category.pk}") == ["Lotus"]
    assert names(f"?userId={bobs.user.pk}") == ["Wheel"]  # type: ignore[union-attr]
    assert names("?userId=nobody") == []
    assert names("?limit=1&page=3") == ["Lotus"]
    assert [one["poseName"] for one in stellas.get(f"{WISHES}/popular?limit=2")["requests"]] == ["Bridge", "Wheel"]
    assert stellas.get(f"{WISHES}/stats") == {
        "total": 3,
        "pending": 2,
        "approved": 1,
        "in_progress": 0,
        "completed": 0,
        "rejected": 0,
    }


def test_a_wish_that_is_none_is_not_found(stellas: Customer) -> None:
    for one in (str(uuid4()), "nothing"):
        assert stellas.call("GET", f"{WISHES}/{one}").status_code == 404
        assert stellas.post(f"{WISHES}/{one}/approve").status_code == 404


# --- Health --------------------------------------------------------------------------------------


def test_health_is_for_everybody(alices: Customer) -> None:
    alices.generated()
    answer = Customer(None).call("GET", "health")
    told = answer.json()
    assert (answer.status_code, told["status"], told["app"]) == (200, "healthy", "pose-generator")
    assert told["checks"]["database"] == told["checks"]["redis"] == {"status": "connected"}
    assert told["checks"]["controlNet"] == {"status": "available"}
    assert told["checks"]["queue"]["counts"] == {
        "waiting": 2,
        "active": 0,
        "completed": 0,
        "failed": 0,
        "delayed": 0,
    }


def test_without_anybody_who_reads_maps_it_is_degraded(alices: Customer) -> None:
    Lane.objects.filter(name__in=["provider_a", "provider_e"]).update(paused=True)
    answer = alices.call("GET", "health")
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    assert answer.json()["checks"]["controlNet"]["status"] == "unavailable"


def test_without_redis_it_is_unhealthy(alices: Customer, settings: Any) -> None:
    there = settings.REDIS_URL
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    answer = Customer(None).call("GET", "health")
    settings.REDIS_URL = there
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert answer.json()["checks"]["redis"]["status"] == "disconnected"
