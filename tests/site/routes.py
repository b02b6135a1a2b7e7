"""Every route of the API: who may call it, and a call of Alice's that it answers with success.

`test_routes.py` holds this table against the URL configuration. A path stands here as it stands there, its converters
left out. What a call names in its path and body is Alice's own, so the same call by anybody else finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from generation.doors.makeit3d.catalogue import OPERATIONS
from generation.models import PoseProject
from tests.doors.makeit3d.desk import Customer as Modeller
from tests.doors.poses.desk import GUIDES_BODY
from tests.doors.visuals.desk import DRAGON
from tests.site.house import House, story_text

OPEN, CUSTOMER, STAFF = "open", "customer", "staff"
NEVER = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Route:
    """One method of one path.

    names: what stands in the path, by placeholder. body: JSON, or text for a file. ok: what Alice (of a staff's route
    stella, of an open one nobody) is answered. missing: the code of the 404 that everybody else gets; empty where the
    call names nothing of Alice's.
    """

    method: str
    path: str
    who: str = CUSTOMER
    names: Callable[[House], dict[str, Any]] = lambda house: {}
    body: Callable[[House], Any] = lambda house: None
    ok: int = 200
    missing: str = ""

    def address(self, house: House) -> str:
        return "/" + self.path.format(**self.names(house))

    def nowhere(self, house: House) -> str:
        """The same path with ids that nothing has."""
        names = {name: NEVER if name.endswith("_id") else value for name, value in self.names(house).items()}
        return "/" + self.path.format(**names)


AUTH = (
    Route("POST", "api/auth/token", OPEN, body=lambda house: {"username": "alice", "password": "alice"}),
    Route("POST", "api/auth/token/refresh", OPEN, body=lambda house: {"refresh": "nonsense"}, ok=401),
)

HOUSE = (
    Route("GET", "", OPEN),
    Route("GET", "health", OPEN),
    Route("GET", "health/ready", OPEN, ok=503),  # no worker runs here
    Route("GET", "metrics", OPEN, ok=401),  # staff's session, or a token of its own: tests/config_api/test_health.py
    Route("GET", "api/schema", OPEN),
    Route("GET", "api/docs", OPEN),
    Route("GET", "files/{key}", OPEN, lambda house: {"key": house.asset.key}, ok=404),  # by its signed link alone
    Route("POST", "hooks/{alias}/{token}", OPEN, lambda house: {"alias": "provider_e", "token": "guess"}, ok=404),
)

CREDITS = (
    Route("GET", "api/credits/balance"),
    Route("GET", "api/credits/history"),
    Route("GET", "api/credits/prices"),
)


def _item(house: House) -> dict[str, Any]:
    return {"request_id": house.item.public_id}


VISUALS = (
    Route("POST", "api/visual-generation/submit", body=lambda house: DRAGON),
    Route("POST", "api/visual-generation/batch", body=lambda house: {"requests": [DRAGON]}),
    Route("GET", "api/visual-generation/status/{request_id}", CUSTOMER, _item, missing="NOT_FOUND"),
    Route(
        *("GET", "api/visual-generation/batch/{batch_id}", CUSTOMER),
        lambda house: {"batch_id": house.batch.public_id},
        missing="NOT_FOUND",
    ),
    Route(
        *("DELETE", "api/visual-generation/cancel/{request_id}", CUSTOMER),
        lambda house: {"request_id": house.waiting.items.get().public_id},
        missing="NOT_FOUND",
    ),
    Route("GET", "api/visual-generation/queue/status"),
)


def _makeit3d() -> Iterator[Route]:
    for prefix in ("generate", "generation"):
        for operation in OPERATIONS:
            yield Route(
                "POST",
                f"{prefix}/{operation.name}",
                body=lambda house, name=operation.name: Modeller(house.alice).body_of(name),  # type: ignore[misc]
                missing="INPUT_ASSET_NOT_FOUND" if operation.inputs else "",
            )


MAKEIT3D = (
    *_makeit3d(),
    Route(
        *("GET", "tasks/{task_id}/status", CUSTOMER, lambda house: {"task_id": house.model.pk}),
        missing="TASK_NOT_FOUND",
    ),
    Route("GET", "api/images"),
    Route("GET", "api/models"),
    Route("POST", "api/assets", ok=422),  # a file, whole: tests/doors/makeit3d/test_uploads.py
)


def _session(house: House) -> dict[str, Any]:
    return {"session_id": house.session.session_id}


STORIES = (
    Route(
        *("POST", "api/process-story-segments", CUSTOMER),
        body=lambda house: {**_session(house), "s3_path": f"{house.session.directory}segments.md"},
        missing="SESSION_NOT_FOUND",
    ),
    Route("GET", "api/story-sessions/{session_id}", CUSTOMER, _session, missing="SESSION_NOT_FOUND"),
    Route(
        *("PUT", "api/story-sessions/{session_id}/files/{name}", CUSTOMER),
        lambda house: {**_session(house), "name": "segments.md"},
        lambda house: story_text(),
        missing="SESSION_NOT_FOUND",
    ),
)

# --- Poses ---------------------------------------------------------------------------------------

POSES = "api/apps/pose-generator/"
AVATARS = "api/apps/avatar-creator/avatars"
BLUE = {"backgroundMode": "solid_color", "backgroundColor": "#0000ff"}
PICTURE = "https://pictures.example.com/me.png"


def _project(house: House) -> PoseProject:
    return PoseProject.objects.get(pk=house.poses.group)


def _generation(house: House) -> dict[str, Any]:
    return {"generation_id": house.poses.pk}


def _pose(house: House) -> dict[str, Any]:
    return {"pose_id": house.pose.public_id}


def _in_project(house: House) -> dict[str, Any]:
    return {"project_id": _project(house).pk}


def _avatar(house: House) -> dict[str, Any]:
    return {"avatar_id": house.avatar.pk}


def _wish(house: House) -> dict[str, Any]:
    return {"wish_id": house.wish.pk}


def _of_poses() -> Iterator[Route]:
    def mine(method: str, path: str, names: Any, missing: str, body: Any = None, ok: int = 200) -> Route:
        return Route(method, path, CUSTOMER, names, lambda house: body, ok, missing)

    yield Route(
        *("POST", f"{POSES}generate", CUSTOMER),
        body=lambda house: {**GUIDES_BODY, "projectId": str(_project(house).pk)},
        ok=202,
        missing="PROJECT_NOT_FOUND",
    )
    for path in ("", "/results", "/poses", "/export-zip"):
        yield mine("GET", f"{POSES}generations/{{generation_id}}{path}", _generation, "GENERATION_NOT_FOUND")
    yield mine("POST", f"{POSES}poses/{{pose_id}}/background", _pose, "POSE_NOT_FOUND", BLUE, 202)
    yield mine("POST", f"{POSES}poses/{{pose_id}}/regenerate-export", _pose, "POSE_NOT_FOUND", {"format": "tiktok"})
    yield mine("GET", f"{POSES}projects/{{project_id}}", _in_project, "PROJECT_NOT_FOUND")
    yield mine("PUT", f"{POSES}projects/{{project_id}}", _in_project, "PROJECT_NOT_FOUND", {"projectName": "Mine"})
    yield mine("DELETE", f"{POSES}projects/{{project_id}}", _in_project, "PROJECT_NOT_FOUND")
    yield mine("GET", f"{AVATARS}/{{avatar_id}}", _avatar, "AVATAR_NOT_FOUND")
    yield mine("PUT", f"{AVATARS}/{{avatar_id}}", _avatar, "AVATAR_NOT_FOUND", {"name": "Mine"})
    yield mine("DELETE", f"{AVATARS}/{{avatar_id}}", _avatar, "AVATAR_NOT_FOUND")
    for path in ("generations", "library", "categories", "projects", "requests", "stats", "credits"):
        yield Route("GET", POSES + path)
    yield Route("GET", f"{POSES}library/{{pose_id}}", names=lambda house: {"pose_id": house.library_pose.pk})
    yield Route("GET", AVATARS)
    yield Route("POST", AVATARS, body=lambda house: {"name": "Robin", "baseImageUrl": PICTURE}, ok=201)
    project = {"projectName": "Spring", "avatarImageUrl": PICTURE, "avatarSource": "UPLOAD"}
    yield Route("POST", f"{POSES}projects", body=lambda house: project, ok=201)
    wish = {"poseName": "Handstand", "description": "On one hand, if that can be done."}
    yield Route("POST", f"{POSES}requests", body=lambda house: wish, ok=201)
    yield Route("GET", f"{POSES}health", OPEN)


def _of_staff() -> Iterator[Route]:
    for path in ("metrics", "metrics/top-users", "metrics/popular-poses", "metrics/errors", "recovery/status"):
        yield Route("GET", POSES + path, STAFF)
    yield Route("POST", f"{POSES}recovery/trigger", STAFF)
    wishes = f"{POSES}admin/pose-requests"
    for path in ("", "/stats", "/popular"):
        yield Route("GET", wishes + path, STAFF)
    yield Route("GET", f"{wishes}/{{wish_id}}", STAFF, _wish)
    for path in ("approve", "mark-in-progress"):
        yield Route("POST", f"{wishes}/{{wish_id}}/{path}", STAFF, _wish)
    reason = {"adminNotes": "It stands on its head already."}
    yield Route("POST", f"{wishes}/{{wish_id}}/reject", STAFF, _wish, lambda house: reason)
    yield Route(
        *("POST", f"{wishes}/{{wish_id}}/mark-completed", STAFF, _wish),
        lambda house: {"completedPoseId": str(house.library_pose.pk)},
    )
    yield Route("PUT", f"{wishes}/{{wish_id}}/notes", STAFF, _wish, lambda house: {"adminNotes": "Soon."})


ROUTES = (*AUTH, *HOUSE, *CREDITS, *VISUALS, *MAKEIT3D, *STORIES, *_of_poses(), *_of_staff())
