"""Nobody sees, changes or learns of another's things, on any route; and every route that there is stands here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from generation.models import Item, PoseProject, Request
from tests.doors.poses.desk import AVATARS, PICTURE, Customer, work
from tests.doors.poses.test_staff import STAFF_ONLY

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

BLUE = {"backgroundMode": "solid_color", "backgroundColor": "#0000ff"}
# Each route that names one thing, with a body that would do for its owner.
BY_ID: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "generations/{generation}", None),
    ("GET", "generations/{generation}/results", None),
    ("GET", "generations/{generation}/poses", None),
    ("GET", "generations/{generation}/export-zip", None),
    ("POST", "poses/{pose}/background", BLUE),
    ("POST", "poses/{pose}/regenerate-export", {"format": "tiktok"}),
    ("GET", "projects/{project}", None),
    ("PUT", "projects/{project}", {"projectName": "Mine"}),
    ("DELETE", "projects/{project}", None),
    ("GET", AVATARS + "/{avatar}", None),
    ("PUT", AVATARS + "/{avatar}", {"name": "Mine"}),
    ("DELETE", AVATARS + "/{avatar}", None),
]
LISTS = ["generations", "projects", "requests", AVATARS, "stats", "credits"]
# What everybody may see alike.
SHARED = ["library", "library/{library_pose}", "categories", "health"]


@pytest.fixture
def bobs_things(bobs: Customer) -> dict[str, str]:
    avatar = bobs.post(AVATARS, {"name": "Bert", "baseImageUrl": PICTURE}).json()["avatar"]["id"]
    project = bobs.project("Bobs")
    generation = bobs.generated(projectId=str(project.pk), batchSize=1)
    work()
    bobs.post("requests", {"poseName": "Bobs wish", "description": "Only bob knows of it."})
    pose = bobs.poses(generation)[0]["id"]
    return {"generation": generation, "pose": pose, "project": str(project.pk), "avatar": avatar}


@pytest.mark.parametrize(("method", "path", "body"), BY_ID)
def test_anothers_thing_is_as_missing_as_none(
    alices: Customer, bobs: Customer, bobs_things: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    nothing = dict.fromkeys(bobs_things, "00000000-0000-4000-8000-000000000000")
    refused = alices.call(method, path.format(**bobs_things), body)
    unknown = alices.call(method, path.format(**nothing), body)
    assert refused.status_code == unknown.status_code == 404
    assert refused.json()["code"] == unknown.json()["code"]
    assert refused.json()["message"] == unknown.json()["message"]
    assert alices.balance == 100
    assert (Request.objects.count(), PoseProject.objects.get().name) == (1, "Bobs")
    assert bobs.generation(bobs_things["generation"])["status"] == "completed"


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


def routes(resolver: Any, before: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        path = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        elif isinstance(entry, URLPattern):
            yield path


def test_no_route_is_forgotten_here() -> None:
    mine = {path.removeprefix("api/apps/pose-generator/") for path in routes(get_resolver()) if "api/apps/" in path}
    plain = {path.replace("<str:", "{").replace(">", "}") for path in mine}
    known = {path for _, path, _ in BY_ID} | set(LISTS) | set(SHARED) | {path for _, path in STAFF_ONLY} | {"generate"}
    shapes = {shape(path.removeprefix("/")) for path in known}
    assert {shape(path) for path in plain} == shapes


def shape(path: str) -> str:
    """A path with its ids left out."""
    return "/".join("-" if part.startswith("{") or part.count("-") == 4 else part for part in path.split("/"))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", [*LISTS, "library", "categories", "generate"])
def test_without_a_token_nothing_is_told(method: str, path: str) -> None:
    answer = Customer(None).call(method, path, {} if method == "POST" else None)
    assert (answer.status_code, answer.json()["code"]) == (401, "NOT_AUTHENTICATED")
