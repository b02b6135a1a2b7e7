"""What a person keeps: projects, avatars, wishes for poses, and their own figures."""

from __future__ import annotations

from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from generation import engine, storage
from generation.dashboard import shelf
from generation.doors.poses import orders
from generation.models import Asset, Avatar, Chore, Item, LibraryPose, PoseProject, PoseWish, Request
from tests.db import race
from tests.doors.poses.desk import (
    AVATARS,
    PICTURE,
    Customer,
    assert_books_are_right,
    faults_of,
    make_category,
    make_pose,
    stored_keys,
    work,
)

pytestmark = pytest.mark.django_db

PROJECT = {"projectName": "Spring", "avatarImageUrl": PICTURE, "avatarSource": "UPLOAD"}
AVATAR = {"name": "Anna", "baseImageUrl": PICTURE}
WISH = {"poseName": "Handstand", "description": "On one hand, please."}


# --- Projects ------------------------------------------------------------------------------------


def test_a_project_is_made_read_changed_and_listed(alices: Customer) -> None:
    answer = alices.post("projects", {**PROJECT, "description": " For the season "})
    made = answer.json()["project"]
    assert answer.status_code == 201
    assert {name: value for name, value in made.items() if name not in ("id", "createdAt", "updatedAt")} == {
        "userId": str(alices.user.pk),  # type: ignore[union-attr]
        "projectName": "Spring",
        "description": "For the season",
        "avatarImageUrl": PICTURE,
        "avatarSource": "UPLOAD",
        "avatarId": None,
        "totalGenerations": 0,
        "totalPosesGenerated": 0,
        "status": "active",
    }
    changed = alices.call("PUT", f"projects/{made['id']}", {"description": None, "status": "archived"}).json()
    assert (changed["project"]["description"], changed["project"]["status"]) == (None, "archived")
    assert changed["project"]["projectName"] == "Spring"
    assert alices.get(f"projects/{made['id']}")["project"] == {**changed["project"], "generations": []}
    alices.post("projects", {**PROJECT, "projectName": "Autumn"})
    listed = alices.get("projects")
    assert [one["projectName"] for one in listed["projects"]] == ["Autumn", "Spring"]
    assert "generations" not in listed["projects"][0]
    assert [one["projectName"] for one in alices.get("projects?status=archived")["projects"]] == ["Spring"]


def test_a_project_of_the_avatar_creator_names_an_avatar_of_ones_own(alices: Customer, bobs: Customer) -> None:
    made = {**PROJECT, "avatarSource": "AVATAR_CREATOR"}
    assert faults_of(alices.post("projects", made)) == {"avatarId": "REQUIRED"}
    bobs_avatar = bobs.post(AVATARS, AVATAR).json()["avatar"]["id"]
    answer = alices.post("projects", {**made, "avatarId": bobs_avatar})
    assert (answer.status_code, answer.json()["code"]) == (404, "AVATAR_NOT_FOUND")
    mine = alices.post(AVATARS, AVATAR).json()["avatar"]["id"]
    assert alices.post("projects", {**made, "avatarId": mine}).json()["project"]["avatarId"] == mine


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"projectName": "REQUIRED", "avatarImageUrl": "REQUIRED", "avatarSource": "REQUIRED"}),
        (
            {"projectName": "ab", "avatarImageUrl": None, "avatarSource": "AVATAR_CREATOR", "avatarId": ""},
            {"projectName": "MIN_LENGTH", "avatarImageUrl": "NULL", "avatarId": "REQUIRED"},
        ),
        (
            {"projectName": "ab", "description": "x" * 501, "avatarImageUrl": "me.png", "avatarSource": "CAMERA"},
            {
                "projectName": "MIN_LENGTH",
                "description": "MAX_LENGTH",
                "avatarImageUrl": "NOT_WEB",
                "avatarSource": "INVALID_CHOICE",
            },
        ),
    ],
)
def test_a_wrong_project_is_refused_with_every_fault(
    alices: Customer, body: dict[str, Any], faults: dict[str, str]
) -> None:
    assert faults_of(alices.post("projects", body)) == faults
    assert not PoseProject.objects.exists()


@pytest.mark.parametrize("link", ["https://", "https:///me.png", "https://?me", "https://a b/me.png", "//a/me.png"])
def test_a_link_that_leads_nowhere_is_refused(alices: Customer, link: str) -> None:
    assert faults_of(alices.post("projects", {**PROJECT, "avatarImageUrl": link})) == {"avatarImageUrl": "NOT_WEB"}


def test_a_wrong_change_of_a_project_is_refused(alices: Customer) -> None:
    answer = alices.call("PUT", f"projects/{alices.project().pk}", {"projectName": "x", "status": "deleted"})
    assert faults_of(answer) == {"projectName": "MIN_LENGTH", "status": "INVALID_CHOICE"}


@pytest.mark.django_db(transaction=True)
def test_a_project_sums_up_its_generations(alices: Customer, simulator: Any) -> None:
    project = alices.project()
    first = alices.generated(projectId=str(project.pk), batchSize=1)
    work()
    second = alices.generated(projectId=str(project.pk), batchSize=1)
    told = alices.get(f"projects/{project.pk}")["project"]
    assert [one["id"] for one in told["generations"]] == [second, first]
    assert (told["totalGenerations"], told["totalPosesGenerated"]) == (2, 1)


@pytest.mark.django_db(transaction=True)
def test_a_removed_project_takes_generations_poses_and_files_along(
    alices: Customer, simulator: Any, media: Any
) -> None:
    project = alices.project()
    generation_id = alices.generated(projectId=str(project.pk), batchSize=1, exportFormats=["tiktok"])
    work()
    (pose,) = alices.poses(generation_id)
    alices.change(pose["id"], backgroundMode="solid_color", backgroundColor="#0000ff")
    work()
    kept = alices.finished_pose()

    answer = alices.call("DELETE", f"projects/{project.pk}")
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    for path in (
        f"projects/{project.pk}",
        f"generations/{generation_id}",
        f"generations/{generation_id}/results",
        f"generations/{generation_id}/poses",
        f"generations/{generation_id}/export-zip",
    ):
        assert alices.call("GET", path).status_code == 404
    assert alices.post(f"poses/{pose['id']}/regenerate-export", {"format": "tiktok"}).status_code == 404
    assert alices.generate(projectId=str(project.pk)).status_code == 404
    assert alices.get("generations")["pagination"]["total"] == 1
    assert [one.request.pk for one in shelf.requests(project.owner_id, "http://testserver/").rows] == [
        UUID(kept["generationId"])
    ]

    work()  # the files follow by a chore
    assert all(pose["id"] not in str(path) for path in media.rglob("*"))
    assert stored_keys() == set(Asset.objects.filter(request=kept["generationId"]).values_list("key", flat=True))
    assert alices.picture(kept["outputImageUrl"]).size == (1024, 1024)
    assert (alices.balance, Request.objects.count()) == (30, 3)
    assert_books_are_right()


@pytest.mark.django_db(transaction=True)
def test_files_are_removed_when_the_store_is_back(
    alices: Customer, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose = alices.finished_pose()
    alices.call("DELETE", f"projects/{alices.get('projects')['projects'][0]['id']}")
    assert pose["id"]
    with monkeypatch.context() as broken:
        broken.setattr(storage, "delete", lambda key: (_ for _ in ()).throw(storage.StorageError("away")))
        work()
    assert stored_keys()
    Chore.objects.update(run_after="2000-01-01T00:00:00Z")
    work()
    assert not stored_keys()


def test_a_project_with_work_in_it_stays(alices: Customer) -> None:
    project = alices.project()
    alices.generated(projectId=str(project.pk))
    answer = alices.call("DELETE", f"projects/{project.pk}")
    assert (answer.status_code, answer.json()["code"]) == (400, "PROJECT_HAS_ACTIVE_GENERATIONS")
    assert alices.get(f"projects/{project.pk}")["project"]["totalGenerations"] == 1


@pytest.mark.django_db(transaction=True)
def test_work_begins_before_a_removal_or_not_at_all(alices: Customer, simulator: Any, settings: Any) -> None:
    settings.POSE_RATE_LIMIT = 0
    seen = set()
    for _ in range(12):
        project = alices.project()

        def generate(project: PoseProject = project) -> int:
            return int(Customer(alices.user).generate(projectId=str(project.pk), batchSize=1).status_code)

        made, removed = race(generate, lambda project=project: orders.delete_project(project))
        assert (made, removed) in ((202, False), (404, True))
        seen.add(made)
        for request in Request.objects.filter(finished_at=None):
            engine.cancel(request.pk)
    assert_books_are_right()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["project", "avatar"])
def test_what_is_removed_while_it_is_changed_stays_removed(
    alices: Customer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal comes when the change has read its row and not yet written it."""
    made = alices.post(*{"project": ("projects", PROJECT), "avatar": (AVATARS, AVATAR)}[kind]).json()[kind]["id"]
    path = f"{AVATARS}/{made}" if kind == "avatar" else f"projects/{made}"
    model = Avatar if kind == "avatar" else PoseProject
    removal = Thread(target=lambda: (Customer(alices.user).call("DELETE", path), connection.close()))
    save = model.save

    def save_late(row: Any, **how: Any) -> None:
        removal.start()
        removal.join(0.3)
        save(row, **how)

    monkeypatch.setattr(model, "save", save_late)
    field = "name" if kind == "avatar" else "projectName"
    assert alices.call("PUT", path, {field: "Autumn"}).status_code == 200
    removal.join(10)
    assert alices.call("GET", path).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_what_was_erased_is_not_begun_again_by_staff(alices: Customer, simulator: Any) -> None:
    simulator.faults("huggingface", "filtered", times=9)
    project = alices.project()
    generation_id = alices.generated(projectId=str(project.pk))
    work()
    assert alices.generation(generation_id)["status"] == "failed"
    alices.call("DELETE", f"projects/{project.pk}")
    assert engine.reopen(Request.objects.get().pk, actor="stella") == 0


@pytest.mark.parametrize("status", ["", "nonsense", "%00", "%F0%9F%98%80"])
@pytest.mark.parametrize("path", ["projects", "requests", "admin/pose-requests", "generations"])
def test_a_word_that_is_no_state_is_nothings(alices: Customer, stellas: Customer, path: str, status: str) -> None:
    alices.project()
    alices.post("requests", WISH)
    found = (stellas if path.startswith("admin") else alices).get(f"{path}?status={status}")
    assert found["pagination"]["total"] == (0 if status or path == "generations" else 1)


# --- Avatars -------------------------------------------------------------------------------------


def test_an_avatar_is_made_read_changed_listed_and_removed(alices: Customer) -> None:
    sent = {**AVATAR, "gender": "female", "skinTone": "tan", "personaName": "Ann", "seedUsed": 7}
    answer = alices.post(AVATARS, {**sent, "sourceType": "from_preset"})
    made = answer.json()["avatar"]
    assert answer.status_code == 201
    assert {name: made[name] for name in sent} == sent
    assert (made["sourceType"], made["bodyType"], made["usageCount"], made["lastUsedAt"]) == (
        "from_preset",
        None,
        0,
        None,
    )
    path = f"{AVATARS}/{made['id']}"
    changed = alices.call("PUT", path, {"gender": None, "hairColor": "red", "seedUsed": None}).json()["avatar"]
    assert (changed["gender"], changed["hairColor"], changed["skinTone"], changed["seedUsed"]) == (
        None,
        "red",
        "tan",
        None,
    )
    assert alices.get(path)["avatar"] == changed
    assert [one["id"] for one in alices.get(AVATARS)["avatars"]] == [made["id"]]
    project = alices.post("projects", {**PROJECT, "avatarSource": "AVATAR_CREATOR", "avatarId": made["id"]})
    assert alices.call("DELETE", path).json()["success"] is True
    assert alices.call("GET", path).status_code == 404
    kept = alices.get(f"projects/{project.json()['project']['id']}")["project"]
    assert (kept["avatarId"], kept["avatarImageUrl"]) == (None, PICTURE)


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"name": "REQUIRED", "baseImageUrl": "REQUIRED"}),
        (
            {**AVATAR, "gender": 1, "style": "x" * 101, "sourceType": "drawn", "seedUsed": -1},
            {"gender": "INVALID", "style": "MAX_LENGTH", "sourceType": "INVALID_CHOICE", "seedUsed": "MIN_VALUE"},
        ),
    ],
)
def test_a_wrong_avatar_is_refused_with_every_fault(
    alices: Customer, body: dict[str, Any], faults: dict[str, str]
) -> None:
    assert faults_of(alices.post(AVATARS, body)) == faults


# --- Wishes --------------------------------------------------------------------------------------


def test_a_wish_is_kept_and_listed(alices: Customer) -> None:
    category = make_category("yoga-wellness")
    answer = alices.post("requests", {**WISH, "categoryId": str(category.pk), "useCase": "ads"})
    made = answer.json()["request"]
    assert (answer.status_code, made["status"], made["categoryId"]) == (201, "pending", str(category.pk))
    assert (made["votesCount"], made["adminNotes"], made["completedPoseId"]) == (0, None, None)
    assert alices.get("requests")["requests"] == [made]
    assert alices.get("requests?status=approved")["requests"] == []


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"poseName": "REQUIRED", "description": "REQUIRED"}),
        ({"poseName": "ab", "description": "too short"}, {"poseName": "MIN_LENGTH", "description": "MIN_LENGTH"}),
        ({**WISH, "categoryId": str(uuid4())}, {"categoryId": "UNKNOWN"}),
        (
            {**WISH, "useCase": "x" * 201, "referenceImageUrl": "x"},
            {"useCase": "MAX_LENGTH", "referenceImageUrl": "NOT_WEB"},
        ),
    ],
)
def test_a_wrong_wish_is_refused(alices: Customer, body: dict[str, Any], faults: dict[str, str]) -> None:
    assert faults_of(alices.post("requests", body)) == faults
    assert not PoseWish.objects.exists()


# --- One's own figures ---------------------------------------------------------------------------


def test_nobody_has_figures_before_the_first_pose(alices: Customer) -> None:
    assert alices.get("stats") == {
        "totalPosesGenerated": 0,
        "totalProjects": 0,
        "recentGenerations": 0,
        "creditUsage": {"totalSpent": 0, "last30Days": 0, "averagePerGeneration": 0},
        "topUsedPoses": [],
    }


@pytest.mark.django_db(transaction=True)
def test_figures_are_net_of_refunds_and_ones_own(richs: Customer, bobs: Customer, simulator: Any) -> None:
    lean, run = make_pose("Lean"), make_pose("Run")
    richs.generated(lean, run, batchSize=1)
    generation_id = richs.generated(lean, batchSize=1)
    bobs.generated(run, batchSize=1)
    work()
    (pose,) = richs.poses(generation_id)
    richs.change(pose["id"], backgroundMode="solid_color", backgroundColor="#0000ff")
    work()
    simulator.faults("replicate", "bad-input", times=9)
    simulator.faults("stability", "bad-input", times=9)
    richs.generated(lean, batchSize=1)
    work()
    told = richs.get("stats")
    assert (told["totalPosesGenerated"], told["totalProjects"], told["recentGenerations"]) == (3, 3, 3)
    assert told["creditUsage"] == {"totalSpent": 100, "last30Days": 100, "averagePerGeneration": 33.3}
    assert [(one["poseName"], one["usageCount"]) for one in told["topUsedPoses"]] == [("Lean", 3), ("Run", 1)]
    assert LibraryPose.objects.get(name="Run").usage_count == 2
    assert Item.objects.filter(owner=richs.user).count() == 5
