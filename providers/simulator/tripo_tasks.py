"""Tasks and files at the simulated Tripo: their lives, what they cost, what they leave."""

from __future__ import annotations

import asyncio
import hashlib
import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from providers.simulator import media, models, pictures
from providers.simulator.desk import Desk, Job
from providers.simulator.faults import Fault
from providers.simulator.tripo_rules import TASK, TOKEN, Route, Wrong, price
from providers.simulator.wire import Request
from providers.sniff import PICTURES, look

NAME = "tripo"
QUEUED_SHARE = 0.1  # of a task's time is spent in the vendor's queue
START_CREDITS = 1_000_000.0
PREVIEW_PIXELS = 256
UPLOAD_BYTES = 150 * 1024 * 1024
ENDS = ("success", "failed", "cancelled", "banned", "expired")


@dataclass
class Task(Job):
    """state: as a fault has it, else by the time that has passed. mark: of the model that it makes."""

    route: Route = field(default_factory=lambda: Route("", {}))
    input: Mapping[str, Any] = field(default_factory=dict)
    credits: float = 0.0
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: str = ""
    error_code: int = 0
    mark: int = 0
    follower: asyncio.Task[None] | None = None

    def status(self) -> str:
        if self.state:
            return self.state
        share = self.share()
        return "success" if share >= 1 else "running" if share >= QUEUED_SHARE else "queued"

    def end(self, state: str, error_code: int) -> None:
        self.state, self.error_code = state, error_code


@dataclass(frozen=True)
class Upload:
    kind: str  # "picture" or "model"
    mark: int


@dataclass
class Memory:
    """What was uploaded, and tokens that wait for their PUT: token -> format."""

    uploads: dict[str, Upload] = field(default_factory=dict)
    awaited: dict[str, str] = field(default_factory=dict)


def memory(desk: Desk) -> Memory:
    found = desk.memory.setdefault(NAME, Memory())
    assert isinstance(found, Memory)
    return found


# --- Files ---------------------------------------------------------------------------------------


def new_token() -> str:
    return f"file_{uuid.uuid4()}"


def take_file(desk: Desk, token: str, body: bytes) -> None:
    """Keep an upload under its token. Raises Wrong for an empty file or one of a type that is not taken."""
    if not body:
        raise Wrong(2003, "The file is empty")
    if len(body) > UPLOAD_BYTES:
        raise Wrong(2021, "The file is too large")
    seen = look(io.BytesIO(body), len(body))
    if seen.content_type in PICTURES:
        if not (20 <= seen.width <= 6000 and 20 <= seen.height <= 6000):
            raise Wrong(2004, "The picture's sides must lie between 20 and 6000 pixels")
        kind = "picture"
    elif seen.content_type == "model/gltf-binary" or body[:1] in b"#vomgsu;{":
        kind = "model"
    else:
        raise Wrong(2004, "The file type is not supported")
    memory(desk).uploads[token] = Upload(kind, _mark(body))


def source(desk: Desk, value: Any, kind: str) -> int:
    """The mark of an `input`: a URL, a token of an upload, or an earlier task. Raises Wrong."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return _mark(value.encode())
    if isinstance(value, str) and TASK.fullmatch(value):
        task = find(desk, value)
        if kind == "picture" or task.route.type == "":
            raise Wrong(2006, "The source task has the wrong type")
        if task.status() != "success":
            raise Wrong(2007, "The source task has not succeeded")
        return task.mark
    if not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise Wrong(1004, "input must be a URL, a file token or a task id")
    upload = memory(desk).uploads.get(value)
    if upload is None:
        raise Wrong(1004, "The file token is unknown or has expired")
    if upload.kind != kind:
        raise Wrong(2004, "The file type is not supported")
    return upload.mark


def _mark(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:6], "big")


# --- Tasks ---------------------------------------------------------------------------------------


def tasks(desk: Desk) -> list[Task]:
    return [job for job in desk.jobs.values() if isinstance(job, Task)]


def find(desk: Desk, task_id: str) -> Task:
    """Raises Wrong for an id that nobody knows, or that belongs to somebody else."""
    task = desk.jobs.get(task_id)
    if not isinstance(task, Task):
        raise Wrong(2001, "Task not found", 404)
    return task


def begin(desk: Desk, route: Route, body: Mapping[str, Any], fault: Fault | None) -> Task:
    """Start a task. Raises Wrong when files or tasks that it names are not fit, or too many are at work."""
    mark = _mark_of(desk, route, body)
    at_work = [task for task in tasks(desk) if task.status() not in ENDS and _group(task.route) == _group(route)]
    most = 5 if str(body.get("model")).startswith("P1") else route.most_at_once
    if len(at_work) >= most:
        raise Wrong(2000, "You have exceeded the limit of generation", 429)
    prompt = str(body.get("prompt") or (body.get("texture_prompt") or {}).get("text") or "")
    seed = int(body.get("model_seed") or body.get("texture_seed") or 0)
    task = Task(
        id=str(uuid.uuid4()),
        wish=pictures.wish(f"{prompt} {mark}", seed, PREVIEW_PIXELS, PREVIEW_PIXELS, "webp"),
        prompt=prompt,
        seed=seed,
        seconds=desk.delay_s(fault),
        route=route,
        input=dict(body),
        credits=price(route, body),
        mark=_mark(f"{prompt} {mark} {seed}".encode()),
        state="queued" if fault and fault.name == "stuck" else "",
    )
    desk.add(task)
    return task


def _group(route: Route) -> str:
    """Task types that the vendor counts together."""
    return "generation" if route.type.endswith("_to_model") else route.type


def _mark_of(desk: Desk, route: Route, body: Mapping[str, Any]) -> int:
    match route.type:
        case "image_to_model":
            file = body.get("file")
            given = file.get("file_token") or file.get("url") if isinstance(file, dict) else body.get("input")
            if given is None:
                raise Wrong(1004, "Parameter input is missing")
            return source(desk, given, "picture")
        case "multiview_to_model":
            return _views(desk, body["inputs"])
        case "import_model" | "texture_model":
            for_texture = body.get("texture_prompt") or {}
            if "image" in for_texture:
                source(desk, for_texture["image"], "picture")
            return source(desk, body["input"], "model")
    return 0


def _views(desk: Desk, slots: Any) -> int:
    if not isinstance(slots, list) or len(slots) != 4:
        raise Wrong(1004, "inputs must hold 4 slots: front, left, back, right")
    marks = [source(desk, slot, "picture") for slot in slots if slot not in (None, {})]
    if slots[0] in (None, {}) or len(marks) < 2:
        raise Wrong(1004, "The front view and one more are required")
    return _mark(repr(marks).encode())


def balance(desk: Desk) -> dict[str, float]:
    """Credits are frozen while a task is at work, taken when it succeeds and set free when it does not."""
    taken = sum(task.credits for task in tasks(desk) if task.status() == "success")
    frozen = sum(task.credits for task in tasks(desk) if task.status() not in ENDS)
    return {"balance": START_CREDITS - taken - frozen, "frozen": frozen}


async def show(request: Request, desk: Desk, task: Task, fault: Fault | None = None) -> dict[str, Any]:
    """The task as the vendor tells it now. Links are signed anew each time."""
    if fault and fault.name in ("failed", "filtered"):
        code = 2008 if fault.name == "filtered" else int(fault.params.get("error_code", 1000))
        task.end(str(fault.params.get("status") or "failed"), code)
    status, progress = task.status(), int(100 * max(0.0, task.share() - QUEUED_SHARE) / (1 - QUEUED_SHARE))
    if fault and fault.name == "progress-backwards":
        percents = fault.params.get("percents") or [80, 20, 250]
        status, progress = "running", percents[min(fault.used, len(percents)) - 1]
    told: dict[str, Any] = {
        "task_id": task.id,
        "type": task.route.type,
        "status": status,
        "progress": 100 if status == "success" else 0 if status == "queued" else progress,
        "created_at": spell(task.created_at),
        "input": {key: value for key, value in task.input.items() if key != "file"},
        "output": {},
    }
    if status in ENDS:
        told["completed_at"] = spell(task.created_at + timedelta(seconds=task.seconds))
    if status == "success":
        told |= {"credits_consumed": task.credits, "output": await _output(request, desk, task, fault)}
    if status in ENDS and status != "success":
        told |= {"error_code": task.error_code, "error_message": "The task did not succeed"}
    return told


async def _output(request: Request, desk: Desk, task: Task, fault: Fault | None) -> dict[str, str]:
    if task.route.type == "import_model":
        return {}
    model = await asyncio.to_thread(models.glb, task.mark)
    preview = await desk.draw(task.wish)
    links = {
        "model_url": desk.keep(NAME, task, models.CONTENT_TYPE, model),
        "rendered_image_url": desk.keep(NAME, task, preview.content_type, preview.body),
    }
    found = {name: f"{media.link(request, path)}?sig={uuid.uuid4().hex}" for name, path in links.items()}
    if fault and fault.name == "private-link":
        found["model_url"] = str(fault.params.get("url") or "http://169.254.169.254/latest/meta-data/")
    if fault and fault.name == "short-count":
        del found["model_url"]
    return found


def spell(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
