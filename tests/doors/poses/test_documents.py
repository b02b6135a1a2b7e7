"""What a generation and its poses are told as, before, while and after they are made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from generation import engine
from generation.claim import claim
from generation.doors.poses import present, telling
from generation.doors.poses.tallies import tallies, tally
from generation.models import Attempt, Item, ItemStatus, LibraryPose, Request, RequestStatus
from tests.doors.poses.desk import Customer, change_of, make_pose, pose_item, work
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]


def ended(generation_id: str, *statuses: str) -> None:
    """Let a generation have ended, its poses as they are given."""
    now = timezone.now()
    for index, status in enumerate(statuses):
        began = now - timedelta(seconds=10 * (index + 1))
        is_failure = status == ItemStatus.FAILED
        Item.objects.filter(request=generation_id, index=index).update(
            status=status, first_started_at=began, finished_at=now, kept=30 if is_failure else 0, error_code="TIMEOUT"
        )
    done = RequestStatus.COMPLETED if ItemStatus.SUCCEEDED in statuses else RequestStatus.FAILED
    Request.objects.filter(pk=generation_id).update(
        status=done, started_at=now - timedelta(seconds=60), finished_at=now
    )


def test_a_waiting_generation(alices: Customer) -> None:
    project = alices.project()
    generation_id = alices.generated(projectId=str(project.pk), exportFormats=["tiktok"])
    told = alices.get(f"generations/{generation_id}")
    generation = told["generation"]
    assert told["progress"] == {
        "percentage": 0,
        "posesCompleted": 0,
        "posesFailed": 0,
        "posesTotal": 2,
        "currentStatus": "pending",
        "estimatedTimeRemaining": None,
    }
    assert generation["project"]["projectName"] == "Spring"
    assert [pose["status"] for pose in generation["poses"]] == ["processing"] * 2
    assert generation["createdAt"].endswith("Z")
    shown = {name: value for name, value in generation.items() if name not in ("poses", "project", "createdAt")}
    assert shown == {
        "id": generation_id,
        "projectId": str(project.pk),
        "userId": str(alices.user.pk),  # type: ignore[union-attr]
        "generationType": "TEXT_DESCRIPTION",
        "textPrompt": "test",
        "generatedPoseStructure": None,
        "avatarId": None,
        "avatarAttributes": None,
        "batchSize": 2,
        "totalExpectedPoses": 2,
        "useBackgroundChanger": False,
        "backgroundMode": None,
        "backgroundPrompt": None,
        "backgroundColor": None,
        "backgroundImageUrl": None,
        "exportFormats": ["tiktok"],
        "status": "pending",
        "progress": 0,
        "posesCompleted": 0,
        "posesFailed": 0,
        "creditCharged": 60,
        "creditRefunded": 0,
        "queueJobId": f"gen-{generation_id}",
        "errorMessage": None,
        "startedAt": None,
        "completedAt": None,
        "avgGenerationTime": None,
        "totalProcessingTime": None,
        "recoveryAttempts": 0,
        "lastRecoveryAt": None,
    }


def test_a_generation_in_the_middle_says_how_long_it_may_take(alices: Customer) -> None:
    generation_id = alices.generated(batchSize=3)
    engine.work(claim(1)[0])
    told = alices.get(f"generations/{generation_id}")["progress"]
    assert (told["currentStatus"], told["estimatedTimeRemaining"]) == ("processing", None)
    work(until=lambda: tally(UUID(generation_id)).done == 1)
    told = alices.get(f"generations/{generation_id}")["progress"]
    assert (told["posesCompleted"], told["percentage"], told["estimatedTimeRemaining"]) == (1, 33, 60)


@pytest.mark.parametrize(("done", "percent"), [(0, 0), (1, 13), (3, 38), (5, 63), (7, 88), (8, 100)])
def test_a_half_percent_is_rounded_up(done: int, percent: int) -> None:
    assert present.Tally(total=8, done=done).percentage == percent


def test_results_wait_for_the_end(alices: Customer) -> None:
    generation_id = alices.generated()
    answer = alices.call("GET", f"generations/{generation_id}/results")
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_STATE")
    Request.objects.update(status=RequestStatus.RUNNING)
    assert alices.call("GET", f"generations/{generation_id}/results").status_code == 400


def test_results_hold_what_was_made_and_the_sums(richs: Customer) -> None:
    generation_id = richs.generated(batchSize=3)
    ended(generation_id, ItemStatus.SUCCEEDED, ItemStatus.FAILED, ItemStatus.SUCCEEDED)
    told = richs.get(f"generations/{generation_id}/results")
    assert [pose["variationKey"] for pose in told["results"]] == ["text-v1", "text-v3"]
    assert told["generation"] == {
        "id": generation_id,
        "status": "completed",
        "totalPoses": 3,
        "successCount": 2,
        "failedCount": 1,
        "creditCharged": 90,
        "creditRefunded": 0,
    }
    generation = richs.generation(generation_id)
    assert (generation["avgGenerationTime"], generation["totalProcessingTime"]) == (20, 60)
    failed = generation["poses"][1]
    assert (failed["status"], failed["errorMessage"]) == ("failed", "The generation took too long.")
    assert failed["outputImageUrl"] is None


def test_a_failed_generation_has_no_results_and_says_so(alices: Customer) -> None:
    generation_id = alices.generated()
    ended(generation_id, ItemStatus.FAILED, ItemStatus.FAILED)
    told = alices.get(f"generations/{generation_id}/results")
    assert (told["results"], told["generation"]["status"]) == ([], "failed")
    assert alices.generation(generation_id)["errorMessage"] == "No pose could be generated."


def test_a_finished_pose_shows_where_its_pictures_lie(alices: Customer) -> None:
    pose = alices.finished_pose(exportFormats=["ig-post", "original"])
    assert pose["outputImageUrl"] == pose["originalImageUrl"]
    assert alices.picture(pose["outputImageUrl"]).size == (1024, 1024)
    assert alices.picture(pose["outputImageUrl"]).format == "PNG"
    assert alices.picture(pose["thumbnailUrl"]).size == (400, 400)
    assert alices.picture(pose["exportFormats"]["ig-post"]).size == (1080, 1080)
    assert list(pose["exportFormats"]) == ["ig-post", "original"]
    folder = f"/files/poses/{pose['generationId']}"
    assert f"{folder}/{pose['id']}.png?" in pose["outputImageUrl"]
    assert f"{folder}/{pose['id']}_thumb.png?" in pose["thumbnailUrl"]
    assert f"{folder}/exports/{pose['id']}_ig-post.jpg?" in pose["exportFormats"]["ig-post"]
    # 1024 pixels make 1080 and 2480 only by being scaled up.
    assert pose["metadata"] == {"textOnly": True, "enlargedExports": ["ig-post"]}
    assert pose["controlnetWeight"] == 0.75
    assert (pose["backgroundChanged"], pose["backgroundPrompt"]) == (False, None)


def test_a_pose_without_a_map_is_made_from_words_and_says_so(alices: Customer) -> None:
    mapped, bare = make_pose("Mapped"), make_pose("Bare", map_key="")
    told = {pose["poseLibraryId"]: pose for pose in alices.poses(alices.generated(mapped, bare, batchSize=1))}
    assert (told[str(mapped.pk)]["controlnetWeight"], told[str(mapped.pk)]["metadata"]["textOnly"]) == (0.75, False)
    assert (told[str(bare.pk)]["controlnetWeight"], told[str(bare.pk)]["metadata"]["textOnly"]) == (0.75, True)
    operations = set(Item.objects.values_list("steps__0__operation", flat=True))
    assert operations == {"pose-to-image", "text-to-image"}


def test_a_mannequin_may_steer_instead_of_the_map(alices: Customer, settings: Any) -> None:
    settings.POSE_CONTROL_PICTURE = "mannequin"
    drawn, bare = make_pose("Drawn", preview_key="library/poses/drawn.png"), make_pose("Bare")
    alices.generated(drawn, bare, batchSize=1)
    first, second = Item.objects.order_by("index")
    assert first.steps[0]["inputs"]["images"] == ["library/poses/drawn.png"]
    assert second.params["textOnly"] is True


# --- Lists ---------------------------------------------------------------------------------------


def test_generations_are_listed_newest_first_and_cut(make_customer: Any, settings: Any) -> None:
    settings.POSE_RATE_LIMIT = 0
    many = Customer(make_customer("many", 1000))
    spring, autumn = many.project("Spring"), many.project("Autumn")
    ids = [many.generated(projectId=str(spring.pk), batchSize=1) for _ in range(3)]
    other = many.generated(projectId=str(autumn.pk), batchSize=1)
    page = many.get("generations?limit=3")
    assert [one["id"] for one in page["generations"]] == [other, *ids[:0:-1]]
    assert page["pagination"] == {"page": 1, "limit": 3, "total": 4, "totalPages": 2, "hasMore": True}
    rest = many.get("generations?limit=3&page=2")
    assert ([one["id"] for one in rest["generations"]], rest["pagination"]["hasMore"]) == (ids[:1], False)
    mine = many.get(f"generations?projectId={autumn.pk}")
    assert [one["id"] for one in mine["generations"]] == [other]
    assert many.get("generations?projectId=nobody")["generations"] == []


@pytest.mark.parametrize("numbers", ["page=0&limit=0", "page=-1&limit=x", "page=1.5&limit=²", "page=&limit="])
def test_numbers_that_are_none_fall_back(alices: Customer, numbers: str) -> None:
    told = alices.get(f"generations?{numbers}")["pagination"]
    assert (told["page"], told["limit"]) == (1, 10)


def test_no_page_is_longer_than_a_hundred(alices: Customer) -> None:
    assert alices.get("generations?limit=5000")["pagination"]["limit"] == 100


def test_generations_are_found_by_status(richs: Customer) -> None:
    ids = {word: richs.generated(batchSize=2) for word in ("pending", "processing", "completed", "partial", "failed")}
    Request.objects.filter(pk=ids["processing"]).update(status=RequestStatus.RUNNING)
    ended(ids["completed"], ItemStatus.SUCCEEDED, ItemStatus.SUCCEEDED)
    ended(ids["partial"], ItemStatus.SUCCEEDED, ItemStatus.FAILED)
    ended(ids["failed"], ItemStatus.FAILED, ItemStatus.FAILED)

    def found(status: str) -> list[str]:
        return [one["id"] for one in richs.get(f"generations?status={status}")["generations"]]

    for word in ("pending", "processing", "partial", "failed"):
        assert found(word) == [ids[word]], word
    assert found("completed") == [ids["partial"], ids["completed"]]
    assert found("asleep") == []
    assert len(found("")) == 5
    assert richs.generation(ids["partial"])["status"] == "completed"


def test_sums_are_of_poses_and_not_of_their_attempts(alices: Customer, three_poses: list[LibraryPose]) -> None:
    generation_id = UUID(alices.generated(batchSize=2))
    work()
    assert Attempt.objects.filter(item__request=generation_id).count() > 4
    counts = tallies([generation_id])[generation_id]
    assert (counts.total, counts.done, counts.charged, counts.refunded) == (2, 2, 60, 0)


# --- What sockets and pages ask of every door ------------------------------------------------------


def test_an_update_is_the_poses_object_with_what_happened(alices: Customer) -> None:
    pose = alices.finished_pose()
    item = pose_item(pose["id"])
    told = present.present_event(item, "succeeded", 9, "http://testserver/")
    assert told == {**present.present_item(item, "http://testserver/"), "event": "succeeded", "seq": 9}
    assert {name: told[name] for name in pose} == pose
    assert present.present_event(item, None, 9, "http://testserver/")["event"] == "snapshot"


def test_a_background_change_tells_how_it_stands(alices: Customer, simulator: Remote) -> None:
    pose = alices.finished_pose()
    blue = {"backgroundMode": "solid_color", "backgroundColor": "#0000ff"}

    def told() -> dict[str, Any]:
        return present.present_item(change_of(pose["id"]), "http://testserver/")

    alices.change(pose["id"], **blue)
    assert told() == {
        "poseId": pose["id"],
        "generationId": pose["generationId"],
        "status": "processing",
        "imageUrl": None,
        "thumbnailUrl": None,
        "errorMessage": None,
        "creditRefunded": 0,
    }
    work()
    done = told()
    assert done["status"] == "completed"
    assert alices.picture(done["imageUrl"]).size == (1024, 1024)
    assert alices.picture(done["thumbnailUrl"]).size == (400, 400)
    change = telling.present_change(change_of(pose["id"]), "http://testserver/", timezone.now())
    assert change["type"] == "background_change_complete"
    assert (change["poseId"], change["imageUrl"]) == (pose["id"], done["imageUrl"])

    simulator.faults("stability", "bad-input", times=9, operation="edit/remove-background")
    alices.change(pose["id"], **blue)
    work()
    change = telling.present_change(change_of(pose["id"]), "http://testserver/", timezone.now())
    assert (change["type"], change["creditRefunded"]) == ("background_change_failed", 10)
    assert change["error"] == "The input could not be processed."
