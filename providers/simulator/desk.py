"""What the simulator remembers: settings, faults that wait, calls seen, jobs at work, files made."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from providers.simulator import pictures
from providers.simulator.faults import NAMES, Fault
from providers.simulator.pictures import Wish
from providers.simulator.wire import Request

MOST_KEPT = 5000
EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/webp": "webp",
    "model/gltf-binary": "glb",
    "image/svg+xml": "svg",
}


@dataclass
class Seen:
    """One call as it came in and how it was answered. `fields` is what the vendor would have read."""

    provider: str
    operation: str
    method: str
    path: str
    prompt: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    authorized: bool = False
    fault: str = ""
    status: int = 0
    job: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


@dataclass
class Job:
    """A call at work at an asynchronous vendor. `seconds` from its start to its end."""

    id: str
    wish: Wish
    prompt: str
    seed: int
    seconds: float
    began: float = field(default_factory=time.monotonic)
    is_cancelled: bool = False
    is_black: bool = False

    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return 1.0 if self.seconds <= 0 else min(1.0, (time.monotonic() - self.began) / self.seconds)


@dataclass(frozen=True)
class Kept:
    """A file that a result links to."""

    vendor: str
    job: Job
    content_type: str
    body: bytes
    at: float = field(default_factory=time.monotonic)


@dataclass
class Settings:
    """delay_s: how long making takes. picture_bytes: pad every picture to this size and reuse it (bench).

    link_s: how long the links of results live; 0 is for ever. poll_gap_s: who asks about one call sooner than
    this is refused by a vendor that minds. webhooks_to: the host that webhooks go to instead of the public one.
    webhooks: vendor -> the address that it was told once, for one that is not told with each call.
    """

    delay_s: float = 1.5
    picture_bytes: int = 0
    link_s: float = 0.0
    poll_gap_s: float = 10.0
    webhooks_to: str = ""
    webhooks: dict[str, str] = field(default_factory=dict)


class Desk:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.settings = Settings()
        self.faults: list[Fault] = []
        self.calls: deque[Seen] = deque(maxlen=MOST_KEPT)
        self.jobs: dict[str, Job] = {}
        self.files: dict[str, Kept] = {}
        self.spent: Counter[str] = Counter()  # vendor -> units of our account there
        self.memory: dict[str, Any] = {}  # vendor -> what its protocol remembers beside all this

    # --- Faults ----------------------------------------------------------------------------------

    def script(self, body: dict[str, Any]) -> Fault:
        """Queue a fault; raises ValueError for a name that does not exist."""
        known = {"provider", "fault", "times", "operation", "match"}
        name = str(body.get("fault"))
        if name not in NAMES:
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(NAMES)}")
        fault = Fault(
            provider=str(body["provider"]),
            name=name,
            times=int(body.get("times", 1)),
            operation=str(body.get("operation") or ""),
            match=str(body.get("match") or ""),
            params={key: value for key, value in body.items() if key not in known},
        )
        self.faults.append(fault)
        return fault

    def strike(self, seen: Seen, *, linked: bool = False) -> Fault | None:
        """The fault that meets this call, used up by one. linked: the result of this call comes behind a link."""
        for fault in self.faults:
            if fault.strikes(seen.provider, seen.operation, seen.prompt, linked=linked):
                fault.used += 1
                seen.fault = fault.name
                return fault
        return None

    # --- Calls, jobs, files ----------------------------------------------------------------------

    def see(self, provider: str, operation: str, request: Request, **facts: Any) -> Seen:
        seen = Seen(provider, operation, request.method, request.path, **facts)
        seen.headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        seen.authorized = "authorization" in request.headers
        self.calls.append(seen)
        return seen

    def start(self, wish: Wish, prompt: str, seed: int, fault: Fault | None) -> Job:
        job = Job(secrets.token_hex(16), wish, prompt, seed, self.delay_s(fault))
        self.add(job)
        return job

    def add(self, job: Job) -> None:
        """Remember a call at work; a protocol may have a kind of its own."""
        self.jobs[job.id] = job
        while len(self.jobs) > MOST_KEPT:
            self.jobs.pop(next(iter(self.jobs)))

    def keep(self, vendor: str, job: Job, content_type: str, body: bytes, name: str = "") -> str:
        """Keep a file for download; returns its path. name: where the vendor's links end in one."""
        path = f"/files/{secrets.token_hex(12)}" + (f"/{name}" if name else f".{EXTENSIONS[content_type]}")
        self.files[path] = Kept(vendor, job, content_type, body)
        while len(self.files) > 500:
            self.files.pop(next(iter(self.files)))
        return path

    def delay_s(self, fault: Fault | None) -> float:
        if fault and fault.name == "slow":
            return float(fault.params.get("delay_s", 10.0))
        return self.settings.delay_s

    async def draw(self, wish: Wish) -> pictures.Picture:
        """A picture, drawn in a thread unless it is known already."""
        if self.settings.picture_bytes:
            wish = wish.padded(self.settings.picture_bytes)
        if found := pictures.known(wish):
            return found
        return await asyncio.to_thread(pictures.draw, wish)

    def report(self, provider: str = "", operation: str = "") -> list[dict[str, Any]]:
        return [
            asdict(seen) for seen in self.calls if provider in ("", seen.provider) and operation in ("", seen.operation)
        ]
