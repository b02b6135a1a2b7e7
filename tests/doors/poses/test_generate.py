"""POST /generate: what is taken and refused, what it costs, and that a refusal costs nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from config.models import User
from credits.models import QuotaDay
from generation import exports
from generation.models import Item, LibraryPose, Request
from tests.doors.poses.desk import GUIDES_BODY, Customer, faults_of, make_pose, make_unlimited, pose_item

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("simulator")]

COLOR = {"useBackgroundChanger": True, "backgroundMode": "solid_color", "backgroundColor": "#1a2B3c"}


def assert_nothing_happened(customer: Customer) -> None:
    assert customer.balance == 100
    assert not Request.objects.exists()


# --- What it is taken as -------------------------------------------------------------------------


def test_the_guides_own_example_makes_two_poses(alices: Customer) -> None:
    body = json.dumps({"projectId": str(alices.project().pk), **GUIDES_BODY})
    answer = alices.call("POST", "generate", body, content_type="application/x-www-form-urlencoded")
    told = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/apps/pose-generator/generations/{told['generationId']}"
    assert told == {
        "generationId": told["generationId"],
        "status": "pending",
        "totalPosesExpected": 2,
        "creditCharged": 60,
        "estimatedCompletionTime": 60,
        "message": "2 poses are in the queue.",
    }
    assert alices.balance == 40


@pytest.mark.parametrize(
    ("fields", "poses"),
    [
        ({}, 4),
        ({"batchSize": 2}, 2),
        ({"variationCount": 3}, 3),
        ({"batchSize": 2, "variationCount": 3}, 3),
        ({"batchSize": None, "variationCount": None}, 4),
    ],
)
def test_text_mode_counts_variations_and_else_the_batch(richs: Customer, fields: dict[str, Any], poses: int) -> None:
    body = {"generationType": "TEXT_DESCRIPTION", "textPrompt": "a dancer"}
    assert richs.generate(body, **fields).json()["totalPosesExpected"] == poses


def test_gallery_mode_makes_variations_of_each_pose_once(richs: Customer, three_poses: list[LibraryPose]) -> None:
    one, two, three = three_poses
    chosen = [str(one.pk), str(two.pk).upper(), str(one.pk), str(two.pk), str(three.pk)]
    generation_id = richs.generated(selectedPoseIds=chosen, generationType="GALLERY_REFERENCE", batchSize=2)
    poses = richs.poses(generation_id)
    assert [pose["variationKey"] for pose in poses] == [
        f"{pose.pk}-v{number}" for pose in three_poses for number in (1, 2)
    ]
    assert {pose["poseLibraryId"] for pose in poses} == {str(pose.pk) for pose in three_poses}
    assert all(0 <= pose["seedUsed"] <= 999_999 for pose in poses)
    assert richs.balance == 1000 - 6 * 30


def test_each_use_of_a_library_pose_is_counted(richs: Customer, three_poses: list[LibraryPose]) -> None:
    for _ in range(2):
        richs.generated(three_poses[0], batchSize=1)
    assert richs.get(f"library/{three_poses[0].pk}")["pose"]["usageCount"] == 2
    assert richs.get(f"library/{three_poses[1].pk}")["pose"]["usageCount"] == 0


def test_the_background_changer_costs_ten_more(alices: Customer) -> None:
    assert alices.generate(**COLOR).json()["creditCharged"] == 80


def test_both_names_of_export_formats_are_taken_together(alices: Customer) -> None:
    generation_id = alices.generated(exportFormats=["ig-story", "tiktok"], outputFormats=["tiktok", "lazada"])
    assert alices.generation(generation_id)["exportFormats"] == ["ig-story", "tiktok", "lazada"]


def test_the_projects_avatar_speaks_unless_another_is_named(alices: Customer) -> None:
    def avatar(name: str, **attributes: str) -> Any:
        body = {"name": name, "baseImageUrl": "https://example.com/a.png", **attributes}
        return alices.post("/api/apps/avatar-creator/avatars", body).json()["avatar"]

    anna = avatar("Anna", gender="female", ageRange="young adult", ethnicity="Sundanese", hairColor="black")
    budi = avatar("Budi", gender="male", style="streetwear")
    project = alices.project(avatar_id=anna["id"])
    by_project = alices.generation(alices.generated(projectId=str(project.pk), batchSize=1))
    assert json.loads(by_project["avatarAttributes"]) == {
        "gender": "female",
        "ageRange": "young adult",
        "ethnicity": "Sundanese",
    }
    assert by_project["poses"][0]["promptUsed"].startswith("young adult Sundanese female, test, professional")
    named = alices.generation(alices.generated(projectId=str(project.pk), avatarId=budi["id"], batchSize=1))
    assert named["poses"][0]["promptUsed"].startswith("male, streetwear style, test, ")
    used = alices.get(f"/api/apps/avatar-creator/avatars/{budi['id']}")["avatar"]
    assert (used["usageCount"], bool(used["lastUsedAt"])) == (1, True)


# --- What is refused -----------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"generationType": None}, {"generationType": "NULL"}),
    ({"generationType": "gallery"}, {"generationType": "INVALID_CHOICE"}),
    ({"projectId": "x" * 65}, {"projectId": "MAX_LENGTH"}),
    ({"textPrompt": " "}, {"textPrompt": "REQUIRED"}),
    ({"textPrompt": "x" * 501}, {"textPrompt": "MAX_LENGTH"}),
    ({"textPrompt": 7}, {"textPrompt": "INVALID"}),
    ({"batchSize": 0}, {"batchSize": "MIN_VALUE"}),
    ({"batchSize": 11}, {"batchSize": "MAX_VALUE"}),
    ({"batchSize": "2"}, {"batchSize": "INVALID"}),
    ({"variationCount": 21}, {"variationCount": "MAX_VALUE"}),
    ({"useBackgroundChanger": "yes"}, {"useBackgroundChanger": "INVALID"}),
    ({"useBackgroundChanger": True}, {"backgroundMode": "REQUIRED"}),
    ({"useBackgroundChanger": True, "backgroundMode": "blur"}, {"backgroundMode": "INVALID_CHOICE"}),
    ({"useBackgroundChanger": True, "backgroundMode": "ai_generate"}, {"backgroundPrompt": "REQUIRED"}),
    ({"useBackgroundChanger": True, "backgroundMode": "solid_color"}, {"backgroundColor": "REQUIRED"}),
    ({"useBackgroundChanger": True, "backgroundMode": "upload"}, {"backgroundImageUrl": "REQUIRED"}),
    ({"backgroundColor": "red"}, {"backgroundColor": "NOT_COLOUR"}),
    ({"backgroundPrompt": "x" * 301}, {"backgroundPrompt": "MAX_LENGTH"}),
    ({"backgroundImageUrl": "ftp://example.com/a.png"}, {"backgroundImageUrl": "NOT_WEB"}),
    ({"exportFormats": "tiktok"}, {"exportFormats": "NOT_A_LIST"}),
    ({"exportFormats": ["tiktok", "myspace"]}, {"exportFormats[1]": "UNKNOWN"}),
    ({"exportFormats": exports.names()[:11]}, {"exportFormats": "MAX_LENGTH"}),
    ({"exportFormats": exports.names()[:6], "outputFormats": exports.names()[6:11]}, {"exportFormats": "MAX_LENGTH"}),
    ({"generationType": "GALLERY_REFERENCE"}, {"selectedPoseIds": "REQUIRED"}),
    ({"generationType": "GALLERY_REFERENCE", "selectedPoseIds": []}, {"selectedPoseIds": "REQUIRED"}),
    ({"generationType": "GALLERY_REFERENCE", "selectedPoseIds": ["nobody"]}, {"selectedPoseIds[0]": "UNKNOWN"}),
    (
        {"generationType": "GALLERY_REFERENCE", "selectedPoseIds": [str(uuid4()) for _ in range(201)]},
        {"selectedPoseIds": "MAX_LENGTH"},
    ),
    (
        {"generationType": "GALLERY_REFERENCE", "selectedPoseIds": [str(uuid4()) for _ in range(126)]},
        {"batchSize": "TOO_MANY"},
    ),
    # All at once, and what one field calls for beside what is wrong with another.
    (
        {"batchSize": 99, "useBackgroundChanger": True, "exportFormats": ["x"], "textPrompt": None},
        {
            "batchSize": "MAX_VALUE",
            "backgroundMode": "REQUIRED",
            "exportFormats[0]": "UNKNOWN",
            "textPrompt": "REQUIRED",
        },
    ),
]


@pytest.mark.parametrize(("fields", "faults"), WRONG)
def test_a_wrong_body_is_refused_with_every_fault(
    alices: Customer, fields: dict[str, Any], faults: dict[str, str]
) -> None:
    body = {"generationType": "TEXT_DESCRIPTION", "textPrompt": "test", **fields}
    assert faults_of(alices.generate(body)) == faults
    assert_nothing_happened(alices)


def test_many_mentions_of_few_poses_are_few(richs: Customer, three_poses: list[LibraryPose]) -> None:
    chosen = [str(three_poses[0].pk)] * 300
    answer = richs.generate(generationType="GALLERY_REFERENCE", selectedPoseIds=chosen, batchSize=10)
    assert answer.json()["totalPosesExpected"] == 10


def test_an_unknown_format_is_told_the_names_that_are_known(alices: Customer) -> None:
    (fault,) = alices.generate(exportFormats=["myspace"]).json()["errors"]
    assert "shopee_product" in fault["message"]


def test_a_private_pose_is_as_unknown_as_none(alices: Customer) -> None:
    hidden = make_pose("Secret", is_public=False)
    body = {"generationType": "GALLERY_REFERENCE", "selectedPoseIds": [str(hidden.pk)]}
    assert faults_of(alices.generate(body)) == {"selectedPoseIds[0]": "UNKNOWN"}


@pytest.mark.parametrize("body", ["[]", '"text"', "nonsense", ""])
def test_a_body_that_is_no_object_is_refused(alices: Customer, body: str) -> None:
    assert alices.call("POST", "generate", body).status_code == 400
    assert_nothing_happened(alices)


@pytest.mark.parametrize("prompt", ["A NUDE figure", "like Hello   Kitty", "kill!", "(sex)"])
@pytest.mark.parametrize("field", ["textPrompt", "backgroundPrompt"])
def test_a_banned_word_is_refused_and_not_repeated(alices: Customer, prompt: str, field: str) -> None:
    answer = alices.generate(**{field: prompt})
    assert (answer.status_code, answer.json()["code"]) == (400, "INAPPROPRIATE_PROMPT")
    assert prompt.lower() not in answer.content.decode().lower()
    assert_nothing_happened(alices)


def test_an_avatar_says_no_banned_word_either(alices: Customer) -> None:
    body = {"name": "Eva", "baseImageUrl": "https://example.com/a.png", "gender": "female", "style": "naked"}
    avatar = alices.post("/api/apps/avatar-creator/avatars", body).json()["avatar"]
    for project in (alices.project(avatar_id=avatar["id"]), alices.project()):
        answer = alices.generate(projectId=str(project.pk), **({} if project.avatar_id else {"avatarId": avatar["id"]}))
        assert (answer.status_code, answer.json()["code"]) == (400, "INAPPROPRIATE_PROMPT")
    assert_nothing_happened(alices)


@pytest.mark.parametrize("prompt", ["Essex skyline", "a method actor", "supermario brothers", "skilled dancer"])
def test_a_word_within_a_word_is_no_banned_word(alices: Customer, prompt: str) -> None:
    assert alices.generate(textPrompt=prompt).status_code == 202


@pytest.mark.parametrize("project", ["nobody's", str(UUID(int=1)), "0" * 64])
def test_an_unknown_project_is_not_found(alices: Customer, project: str) -> None:
    answer = alices.generate(projectId=project)
    assert (answer.status_code, answer.json()["code"]) == (404, "PROJECT_NOT_FOUND")


def test_an_archived_project_takes_no_more(alices: Customer) -> None:
    answer = alices.generate(projectId=str(alices.project(status="archived").pk))
    assert (answer.status_code, answer.json()["code"]) == (400, "PROJECT_ARCHIVED")
    assert_nothing_happened(alices)


def test_an_unknown_avatar_is_not_found(alices: Customer) -> None:
    answer = alices.generate(avatarId="somebody")
    assert (answer.status_code, answer.json()["code"]) == (404, "AVATAR_NOT_FOUND")
    assert_nothing_happened(alices)


# --- Who pays ------------------------------------------------------------------------------------


def test_too_few_credits_are_told_and_nothing_is_stored(alices: Customer) -> None:
    answer = alices.generate(batchSize=4)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (402, "INSUFFICIENT_CREDITS")
    assert (told["required"], told["available"]) == (120, 100)
    assert_nothing_happened(alices)


def test_the_unlimited_tier_pays_with_its_quota_and_goes_first(alices: Customer, alice: User) -> None:
    make_unlimited(alice, 5)
    answer = alices.generate(batchSize=3, **COLOR).json()
    assert answer["creditCharged"] == 0
    assert alices.balance == 100
    item = pose_item(alices.poses(answer["generationId"])[0]["id"])
    assert item.weight == 100
    told = alices.get("credits")
    assert (told["balance"], told["unlimited"]["active"]) == (100, True)
    assert [told["unlimited"][name] for name in ("dailyQuota", "used", "remaining")] == [5, 3, 2]


def test_beyond_the_quota_no_credits_are_taken_instead(alices: Customer, alice: User) -> None:
    make_unlimited(alice, 3)
    alices.generate(batchSize=2)
    answer = alices.generate(batchSize=2)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (403, "INSUFFICIENT_QUOTA")
    assert (told["required"], told["available"]) == (2, 1)
    assert (alices.balance, Item.objects.count()) == (100, 2)


def test_a_new_day_has_a_new_quota(alices: Customer, alice: User) -> None:
    make_unlimited(alice, 2)
    QuotaDay.objects.create(account_id=alice.pk, day=timezone.now().date() - timedelta(days=1), used=2, quota=2)
    assert alices.generate(batchSize=2).status_code == 202
    assert alices.generate(batchSize=1).status_code == 403


def test_an_expired_tier_pays_with_credits(alices: Customer, alice: User) -> None:
    make_unlimited(alice, 50, unlimited_expires_at=timezone.now() - timedelta(seconds=1))
    assert alices.generate().json()["creditCharged"] == 60
    assert alices.balance == 40
    assert alices.get("credits")["unlimited"]["active"] is False


# --- Once ----------------------------------------------------------------------------------------


def test_a_repeat_with_its_key_is_answered_and_not_charged_again(alices: Customer) -> None:
    project = str(alices.project().pk)
    first = alices.generate(key="a-key-of-alices", projectId=project)
    again = alices.generate(key="a-key-of-alices", projectId=project)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert (alices.balance, Request.objects.count()) == (40, 1)


def test_a_refusal_for_lack_of_credits_is_kept_under_its_key(alices: Customer) -> None:
    project = str(alices.project().pk)
    answers = [alices.generate(key="a-key-of-alices", projectId=project, batchSize=4) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [402, 402]
    assert [answer.json()["required"] for answer in answers] == [120, 120]


def test_a_sixth_call_in_a_minute_must_wait(make_customer: Any) -> None:
    many = Customer(make_customer("many", 1000))
    project = str(many.project().pk)
    codes = [many.generate(projectId=project, batchSize=1).status_code for _ in range(5)]
    late = many.generate(projectId=project, batchSize=1)
    assert (codes, late.status_code) == ([202] * 5, 429)
    assert late.json()["code"] == "RATE_LIMIT_EXCEEDED"
    assert 1 <= int(late.headers["Retry-After"]) <= 60
