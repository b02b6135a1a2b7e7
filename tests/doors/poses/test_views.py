"""The source system's tables as views: its operators' queries run as they are written, and nobody writes to them."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from generation.models import Request
from tests.doors.poses.desk import AVATARS, PICTURE, Customer, change_of, make_pose, work
from tests.doors.visuals.desk import rows
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

# The guide's queries for operators, letter for letter.
BREAKDOWN = """
SELECT status, COUNT(*)
FROM pose_generations
GROUP BY status;
"""
RECENT = """
SELECT id, status, posesCompleted, totalExpectedPoses, creditCharged, creditRefunded
FROM pose_generations
ORDER BY createdAt DESC
LIMIT 10;
"""
FAILED = """
SELECT generationId, errorMessage, COUNT(*)
FROM generated_poses
WHERE status = 'failed'
GROUP BY generationId, errorMessage;
"""
STATUS = """
SELECT id, status, creditCharged, creditRefunded, posesFailed
FROM pose_generations
WHERE id = 'gen_xyz';
"""
REFUNDS = """
SELECT *
FROM credits
WHERE referenceId = 'gen_xyz' AND type = 'refund';
"""
VIEWS = [
    *("pose_generations", "generated_poses", "pose_categories", "pose_library", "pose_generator_projects"),
    *("pose_selections", "pose_requests", "avatars", "credits"),
]


@pytest.fixture
def half_failed(richs: Customer, simulator: Remote) -> str:
    """A generation of two poses, one of which the vendors refuse."""
    for vendor in ("replicate", "stability"):
        simulator.faults(vendor, "bad-input", times=99, match="walking")
    generation_id = richs.generated(make_pose("Lean"), make_pose("Walking"), batchSize=1, exportFormats=["tiktok"])
    work()
    return generation_id


def test_the_operators_queries_run(richs: Customer, half_failed: str) -> None:
    waiting = richs.generated(batchSize=3)
    assert {row["status"]: row["count"] for row in rows(BREAKDOWN)} == {"completed": 1, "pending": 1}
    newest, older = rows(RECENT)
    assert (str(newest["id"]), newest["totalexpectedposes"], newest["creditcharged"]) == (waiting, 3, 90)
    assert (str(older["id"]), older["posescompleted"], older["creditrefunded"]) == (half_failed, 1, 30)
    (failed,) = rows(FAILED)
    assert (str(failed["generationid"]), failed["count"], bool(failed["errormessage"])) == (half_failed, 1, True)
    (status,) = rows(STATUS.replace("gen_xyz", half_failed))
    assert (status["posesfailed"], status["creditcharged"], status["creditrefunded"]) == (1, 60, 30)
    (refund,) = rows(REFUNDS.replace("gen_xyz", half_failed))
    assert (refund["amount"], refund["reference_type"], str(refund["user_id"])) == (
        30,
        "pose_generation",
        str(richs.user.pk),  # type: ignore[union-attr]
    )


def test_a_generation_and_its_poses_have_the_contracts_columns(richs: Customer, half_failed: str) -> None:
    (generation,) = rows("SELECT * FROM pose_generations")
    told = richs.generation(half_failed)
    columns = {
        "generation_type": "generationType",
        "total_expected_poses": "totalExpectedPoses",
        "poses_completed": "posesCompleted",
        "poses_failed": "posesFailed",
        "credit_charged": "creditCharged",
        "credit_refunded": "creditRefunded",
        "queue_job_id": "queueJobId",
        "batch_size": "batchSize",
        "progress": "progress",
        "status": "status",
        "project_id": "projectId",
        "use_background_changer": "useBackgroundChanger",
        "recovery_attempts": "recoveryAttempts",
    }
    assert {name: generation[name] for name in columns} == {name: told[word] for name, word in columns.items()}
    done, failed = sorted(rows("SELECT * FROM generated_poses"), key=lambda row: row["status"])
    pose = next(one for one in told["poses"] if one["status"] == "completed")
    columns = {
        "id": "id",
        "pose_library_id": "poseLibraryId",
        "variation_key": "variationKey",
        "seed_used": "seedUsed",
        "prompt_used": "promptUsed",
        "background_changed": "backgroundChanged",
    }
    assert {name: done[name] for name in columns} == {name: pose[word] for name, word in columns.items()}
    assert done["output_image_url"] == done["original_image_url"] == f"poses/{half_failed}/{pose['id']}.png"
    assert done["export_formats"] == f'{{"tiktok": "poses/{half_failed}/exports/{pose["id"]}_tiktok.jpg"}}'
    assert float(done["controlnet_weight"]) == 0.75
    assert (failed["output_image_url"], failed["thumbnail_url"], failed["export_formats"]) == (None, None, "{}")


def test_a_changed_background_is_shown_and_paid_for_the_pose(alices: Customer) -> None:
    pose = alices.finished_pose()
    alices.change(pose["id"], backgroundMode="solid_color", backgroundColor="#0000ff")
    work()
    (row,) = rows("SELECT * FROM generated_poses")
    job = change_of(pose["id"]).public_id
    assert row["output_image_url"] == f"poses/{pose['generationId']}/{pose['id']}_bg_{job}.png"
    assert (row["background_changed"], row["background_prompt"]) == (True, "#0000ff")
    assert len(rows("SELECT * FROM pose_generations")) == 1
    charges = rows("SELECT * FROM credits WHERE type = 'usage' ORDER BY id")
    assert [(one["amount"], one["reference_type"], one["reference_id"]) for one in charges] == [
        (-30, "pose_generation", pose["generationId"]),
        (-10, "pose_background", pose["id"]),
    ]
    (grant,) = rows("SELECT * FROM credits WHERE type = 'grant'")
    assert (grant["amount"], grant["balance"], grant["reference_type"]) == (100, 100, "grant")


def test_what_is_kept_beside_generations_has_its_tables(richs: Customer, half_failed: str) -> None:
    richs.post(AVATARS, {"name": "Anna", "baseImageUrl": PICTURE, "ageRange": "adult", "personaName": "Ann"})
    richs.post("requests", {"poseName": "Handstand", "description": "On one hand, please."})
    assert {row["name"]: row["pose_count"] for row in rows("SELECT * FROM pose_categories")} == {
        "fashion": 0,
        "editorial": 2,
    }
    library = rows("SELECT * FROM pose_library ORDER BY name")
    assert [(row["name"], row["usage_count"], row["popularity_score"]) for row in library] == [
        ("Lean", 1, 1),
        ("Walking", 1, 1),
    ]
    (project,) = rows("SELECT * FROM pose_generator_projects")
    assert (project["project_name"], project["total_generations"], project["total_poses_generated"]) == (
        "Spring",
        1,
        1,
    )
    assert {str(row["generation_id"]) for row in rows("SELECT * FROM pose_selections")} == {half_failed}
    (wish,) = rows("SELECT * FROM pose_requests")
    assert (wish["pose_name"], wish["status"]) == ("Handstand", "pending")
    (avatar,) = rows("SELECT * FROM avatars")
    assert (avatar["name"], avatar["age_range"], avatar["persona_name"], avatar["gender"]) == (
        "Anna",
        "adult",
        "Ann",
        None,
    )


def test_what_was_removed_is_gone_from_the_tables_too(alices: Customer) -> None:
    pose = alices.finished_pose()
    alices.call("DELETE", f"projects/{Request.objects.get().group}")
    for view in ("pose_generations", "generated_poses", "pose_generator_projects", "pose_selections"):
        assert rows(f"SELECT * FROM {view}") == []
    assert len(rows(f"SELECT * FROM credits WHERE reference_id = '{pose['generationId']}'")) == 1


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("statement", ["DELETE FROM {view}", "INSERT INTO {view} DEFAULT VALUES"])
def test_a_write_to_a_view_is_refused(alices: Customer, view: str, statement: str) -> None:
    with pytest.raises(DatabaseError, match="cannot (insert into|delete from) view"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement.format(view=view))
