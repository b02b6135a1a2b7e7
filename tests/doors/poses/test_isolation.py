"""Nobody sees or uses another's things: not in lists, and not in what is asked for.

That no route finds them by their ids, or without a token, is proved for all doors in tests/site/test_routes.py.
"""

from __future__ import annotations

import pytest

from generation.models import Item
from tests.doors.poses.desk import AVATARS, PICTURE, Customer, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

LISTS = ["generations", "projects", "requests", AVATARS, "stats", "credits"]


@pytest.fixture
def bobs_things(bobs: Customer) -> dict[str, str]:
    avatar = bobs.post(AVATARS, {"name": "Bert", "baseImageUrl": PICTURE}).json()["avatar"]["id"]
    project = bobs.project("Bobs")
    generation = bobs.generated(projectId=str(project.pk), batchSize=1)
    work()
    bobs.post("requests", {"poseName": "Bobs wish", "description": "Only bob knows of it."})
    pose = bobs.poses(generation)[0]["id"]
    return {"generation": generation, "pose": pose, "project": str(project.pk), "avatar": avatar}


@pytest.mark.parametrize("path", LISTS)
def test_lists_hold_ones_own_only(alices: Customer, bobs: Customer, bobs_things: dict[str, str], path: str) -> None:
    for text in (str(alices.get(path)), str(alices.get(f"{path}?userId={bobs.user.pk}"))):  # type: ignore[union-attr]
        assert not [one for one in (*bobs_things.values(), "Bobs") if one in text]


def test_anothers_project_and_avatar_cannot_be_generated_with(alices: Customer, bobs_things: dict[str, str]) -> None:
    for fields, code in (
        ({"projectId": bobs_things["project"]}, "PROJECT_NOT_FOUND"),
        ({"avatarId": bobs_things["avatar"]}, "AVATAR_NOT_FOUND"),
    ):
        answer = alices.generate(**fields)
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert Item.objects.count() == 1


def test_an_idempotency_key_is_ones_own(alices: Customer, bobs: Customer) -> None:
    answers = [customer.generate(key="the-same-key") for customer in (alices, bobs)]
    assert answers[0].json()["generationId"] != answers[1].json()["generationId"]
