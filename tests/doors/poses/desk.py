"""The pose-generator door as its clients meet it, and a desk that works when it is told to.

`Customer` calls the API over Django's own handlers with a real token and checks every answer it sees: exactly the
documented fields, no vendor's name. `work()` plays the worker in this thread until nothing is left to do.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from PIL import Image

from config.models import User
from credits import ledger
from credits.models import Account
from generation import audit, chores, engine, posemap, storage
from generation.claim import claim
from generation.doors.poses import answers, record_answers
from generation.models import Asset, Attempt, Item, ItemStatus, LibraryPose, PoseCategory, PoseProject, Request
from providers.models import Lane
from tests.doors.visuals.desk import Caller, assert_documented, assert_no_vendor, assert_problem

API = "/api/apps/pose-generator"
AVATARS = "/api/apps/avatar-creator/avatars"
PICTURE = "https://pictures.example.com/me.png"
PAST = "2000-01-01T00:00:00Z"

# The body of the original guide, but for the id of the project.
GUIDES_BODY = {"generationType": "TEXT_DESCRIPTION", "textPrompt": "test", "batchSize": 2}

# Which document each route answers with, by method and path.
DOCUMENTS: list[tuple[str, str, Any]] = [
    ("POST", r"/generate", answers.PosesSubmitted),
    ("GET", r"/generations", answers.Generations),
    ("GET", r"/generations/[^/]+", answers.OneGeneration),
    ("GET", r"/generations/[^/]+/results", answers.PoseResults),
    ("GET", r"/generations/[^/]+/poses", answers.Poses),
    ("POST", r"/poses/[^/]+/background", answers.ChangeSubmitted),
    ("POST", r"/poses/[^/]+/regenerate-export", answers.MadeExport),
    ("GET", r"/library", record_answers.Library),
    ("GET", r"/library/[^/]+", record_answers.OneLibraryPose),
    ("GET", r"/categories", record_answers.Categories),
    ("GET", r"/projects", record_answers.Projects),
    ("POST", r"/projects", record_answers.OneProject),
    ("GET", r"/projects/[^/]+", record_answers.OneProjectWithGenerations),
    ("PUT", r"/projects/[^/]+", record_answers.OneProject),
    ("DELETE", r"/projects/[^/]+", record_answers.Done),
    ("GET", r"/requests", record_answers.Wishes),
    ("POST", r"/requests", record_answers.WishAnswer),
    ("GET", r"/stats", record_answers.PoseStats),
    ("GET", r"/credits", record_answers.PoseCredits),
    ("GET", r"/health", record_answers.PoseHealth),
    ("GET", r"/recovery/status", record_answers.Recovery),
    ("POST", r"/recovery/trigger", record_answers.Recovered),
    ("GET", r"/metrics", record_answers.PoseMetrics),
    ("GET", r"/metrics/top-users", record_answers.TopUsers),
    ("GET", r"/metrics/popular-poses", record_answers.PopularPoses),
    ("GET", r"/metrics/errors", record_answers.Errors),
    ("GET", r"/admin/pose-requests", record_answers.Wishes),
    ("GET", r"/admin/pose-requests/stats", record_answers.WishStats),
    ("GET", r"/admin/pose-requests/popular", record_answers.WishList),
    ("GET", r"/admin/pose-requests/[^/]+", record_answers.OneWish),
    ("POST", r"/admin/pose-requests/[^/]+/[^/]+", record_answers.WishAnswer),
    ("PUT", r"/admin/pose-requests/[^/]+/notes", record_answers.WishAnswer),
    ("GET", r"/avatar-creator/avatars", record_answers.Avatars),
    ("POST", r"/avatar-creator/avatars", record_answers.OneAvatar),
    ("GET", r"/avatar-creator/avatars/[^/]+", record_answers.OneAvatar),
    ("PUT", r"/avatar-creator/avatars/[^/]+", record_answers.OneAvatar),
    ("DELETE", r"/avatar-creator/avatars/[^/]+", record_answers.Done),
]


def document_of(method: str, path: str) -> Any:
    plain = path.split("?")[0].removeprefix(API).removeprefix("/api/apps")
    # The later of two patterns that fit is the nearer: `stats` is no id.
    fitting = [one for verb, pattern, one in DOCUMENTS if verb == method and re.fullmatch(pattern, plain)]
    return min(fitting, key=lambda one: plain.endswith(("stats", "popular")) and one is record_answers.OneWish)()


@cache
def _operations() -> list[tuple[str, re.Pattern[str], set[str]]]:
    """Method, path and documented statuses of each operation of the API; what is spelled out before what is not."""
    told = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [
        (method.upper(), re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), set(operation["responses"]))
        for path, methods in sorted(told.items(), key=lambda one: "{" in one[0])
        for method, operation in methods.items()
    ]


def statuses_of(method: str, path: str) -> set[str]:
    return next(told for verb, known, told in _operations() if verb == method and known.fullmatch(path.split("?")[0]))


class Customer(Caller):
    """Somebody who calls the API. Each call returns Django's response; every 2xx is held against OpenAPI."""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call a route of this door, or one of another by its whole path."""
        whole = path if path.startswith("/") else f"{API}/{path}"
        answer = self.ask(method, whole, body, **headers)
        if answer.streaming:
            return answer
        assert_no_vendor(answer.content.decode())
        assert_no_vendor(str(dict(answer.headers)))
        if answer.status_code < 300 or whole.endswith("/health"):
            assert str(answer.status_code) in statuses_of(method, whole)
            assert_documented(answer.json(), document_of(method, whole))
        else:
            assert_problem(answer)
        return answer

    def get(self, path: str) -> dict[str, Any]:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.json()
        document: dict[str, Any] = answer.json()
        return document

    def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("POST", path, {} if body is None else body, **headers)

    # --- Arranging ---

    def project(self, name: str = "Spring", **fields: Any) -> PoseProject:
        assert self.user
        return PoseProject.objects.create(
            owner=self.user, name=name, avatar_image_url=PICTURE, avatar_source="UPLOAD", **fields
        )

    def generate(self, body: Mapping[str, Any] | None = None, *, key: str = "", **fields: Any) -> Any:
        """Ask for poses: the guide's text, with other fields where they are given."""
        given = {**(GUIDES_BODY if body is None else body), **fields}
        if "projectId" not in given:
            given["projectId"] = str(self.project().pk)
        return self.post("generate", given, key=key)

    def generated(self, *poses: LibraryPose, **fields: Any) -> str:
        """Ask for poses, of the library when some are given, and return the generation's id."""
        gallery = {"generationType": "GALLERY_REFERENCE", "selectedPoseIds": [str(pose.pk) for pose in poses]}
        answer = self.generate(gallery, **fields) if poses else self.generate(**fields)
        assert answer.status_code == 202, answer.json()
        generation_id: str = answer.json()["generationId"]
        return generation_id

    def generation(self, generation_id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.get(f"generations/{generation_id}")["generation"]
        return document

    def poses(self, generation_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"generations/{generation_id}/poses")["poses"]
        return found

    def finished_pose(self, **fields: Any) -> dict[str, Any]:
        """Have one pose made."""
        generation_id = self.generated(batchSize=1, **fields)
        work()
        (pose,) = self.poses(generation_id)
        assert pose["status"] == "completed", pose
        return pose

    def change(self, pose_id: str, *, key: str = "", **fields: Any) -> Any:
        return self.post(f"poses/{pose_id}/background", fields, key=key)

    def fetched(self, link: str) -> bytes:
        answer = self.http.get(link.removeprefix("http://testserver"))
        assert answer.status_code == 200
        try:
            return b"".join(answer.streaming_content)  # type: ignore[arg-type]
        finally:
            answer.close()

    def picture(self, link: str) -> Image.Image:
        return Image.open(io.BytesIO(self.fetched(link)))


def make_unlimited(user: User, quota: int, **fields: Any) -> None:
    Account.objects.filter(owner=user).update(unlimited_active=True, unlimited_daily_quota=quota, **fields)


# --- The library ---------------------------------------------------------------------------------


@cache
def _drawn(name: str) -> bytes:
    """A standing figure, another one for each name."""
    out = io.BytesIO()
    posemap.draw_map(_figure(name), 256, 256).save(out, "PNG")
    return out.getvalue()


def _figure(name: str) -> list[tuple[float, float]]:
    lean = sum(name.encode()) % 7 / 100
    points = [(50, 15), (50, 25), (42, 25), (38, 38), (36 + 100 * lean, 50), (58, 25), (62, 38), (64, 50)]
    points += [(45, 50), (44, 70), (44, 90), (55, 50), (56, 70), (56, 90), (48, 13), (52, 13), (46, 14), (54, 14)]
    return [(x / 100, y / 100) for x, y in points]


def make_category(name: str, parent: PoseCategory | None = None) -> PoseCategory:
    return PoseCategory.objects.get_or_create(
        name=name, defaults={"slug": name, "display_name": name.title(), "parent": parent}
    )[0]


def make_pose(name: str, category: str = "editorial", *, map_key: str | None = None, **fields: Any) -> LibraryPose:
    """A pose of the library with a drawn map; map_key "" leaves it without one."""
    pose = LibraryPose(
        category=make_category(category, make_category("fashion")),
        name=name,
        description=f"{name}, seen from the front.",
        keypoints=_figure(name),
        **fields,
    )
    if map_key is None:
        pose.map_key = storage.pose_key(pose.pk, "map", "0" * 12)
        storage.save(pose.map_key, io.BytesIO(_drawn(name)))
    pose.save()
    return pose


# --- Working -------------------------------------------------------------------------------------


def pose_item(pose_id: str) -> Item:
    return Item.objects.select_related("request").get(public_id=pose_id)


def change_of(pose_id: str) -> Item:
    """The newest change of a pose's background."""
    newest = Request.objects.filter(group=f"pose:{pose_id}").order_by("-created_at")[:1]
    return Item.objects.select_related("request").get(request=newest)


def work(most: int = 5000, *, until: Any = None) -> None:
    """Play the worker until nothing is left to do, or `until` says so. Time passes as it is needed.

    Needs real transactions: a step gives its connection back.
    """
    for _ in range(most):
        if until and until():
            return
        if taken := claim(1):
            engine.work(taken[0])
            continue
        if chores.do_next():
            continue
        if not Item.objects.filter(status__in=[ItemStatus.HELD, ItemStatus.WAITING]).exists():
            return
        let_time_pass()
    pytest.fail("the work does not end")


def let_time_pass() -> None:
    """Let retries, questions to vendors and cool-downs fall due."""
    Item.objects.filter(status=ItemStatus.HELD, hold_reason="retry").update(run_after=PAST)
    engine.release_due()
    Attempt.objects.filter(poll_at__isnull=False).update(poll_at=PAST)
    engine.poll()
    Lane.objects.update(cooldown_until=None, probe_at=None)


def assert_books_are_right() -> None:
    """The ledger's chain is whole, and what items say of money is what was posted."""
    assert ledger.check() == []
    assert audit.check() == []


def faults_of(answer: Any) -> dict[str, str]:
    """field -> code of a 400."""
    assert answer.status_code == 400, answer.json()
    assert answer.json()["code"] == "VALIDATION_ERROR"
    return {fault["field"]: fault["code"] for fault in answer.json()["errors"]}


def stored_keys() -> set[str]:
    return set(Asset.objects.values_list("key", flat=True))
