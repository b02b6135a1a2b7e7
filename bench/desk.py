"""What the groups share: people with credits, plans, an empty desk, and its parts as processes of their own."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from rest_framework_simplejwt.tokens import AccessToken

from config import env
from config.embedded import paths
from config.embedded.children import Part
from config.models import User
from credits import ledger, pricing
from generation import engine, queue
from generation.doors.visuals import plan as door
from generation.engine import resume
from generation.models import Item, Request
from generation.plan import Candidate, ItemPlan, Plan, StepPlan
from providers.models import Lane

LANE, OTHER_LANE = "provider_d", "provider_g"
RICH = 1_000_000
START_S = 60.0
# All that a group can leave behind; people, prices, lanes and migrations have tables of their own.
EMPTIED = (
    "generation_asset, generation_attempt, generation_event, generation_item, generation_request, generation_chore,"
    " generation_metricsrow, generation_auditrun, credits_entry, credits_quotaday, credits_account, config_idempotency,"
    " config_staffact, config_approval, generation_bulk, generation_librarypose, generation_posecategory"
)


def machine() -> dict[str, Any]:
    """Say what the figures were measured on, and how durable PostgreSQL was."""
    with connection.cursor() as cursor:
        names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
        database = dict(zip(names, cursor.fetchone(), strict=True))
    cpus, memory = psutil.cpu_count(), psutil.virtual_memory().total
    return {"cpus": cpus, "memory_gb": round(memory / 2**30), "python": platform.python_version(), **database}


def empty() -> None:
    """Empty the tables, under a role in which the ledger's own refusal does not fire, and let every lane flow."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL session_replication_role = replica; TRUNCATE {EMPTIED} RESTART IDENTITY CASCADE")
        User.objects.all().delete()
        Lane.objects.exclude(name="desk").update(cap=None, paused=False, breaker="closed", cooldown_until=None)
    queue.bells().connection.flushdb()


# --- People and what they want -------------------------------------------------------------------


def people(count: int, name: str = "person") -> list[User]:
    """Make people who can pay for everything."""
    password = make_password(None)
    made = [User(username=f"{name}-{n}", password=password) for n in range(count)]
    for one in made:
        one.storage_id = str(one.pk)
    with transaction.atomic():
        User.objects.bulk_create(made)
        for one in made:
            ledger.open_account(one)
            ledger.grant(one.pk, RICH, reference=f"bench:{one.pk}", description="For the bench")
    return made


def token(user: User) -> str:
    return str(AccessToken.for_user(user))


def body(number: int) -> dict[str, Any]:
    """A submit to the visual-generation door as its contract shows one."""
    return {
        "type": "illustration",
        "prompt": f"Picture {number}: a lighthouse on a cliff, with gulls around it and a storm far out at sea",
        "priority": "normal",
        "projectId": "project-1",
        "pageId": f"page-{number}",
        "metadata": {"aspectRatio": "square", "imageStyle": "detailed", "maxAttempts": 3},
    }


def picture_plan(owner: User, number: int) -> Plan:
    """Plan one picture with its thumbnail, as the visual-generation door does."""
    wish = door.Wish.of(body(number))
    return door.plan_one(wish, owner.pk, pricing.quotes([wish.price_key]))


def bare_plan(owner: User, number: int) -> Plan:
    """Plan an item of a single step, priced like a picture."""
    step = StepPlan(name="generate", operation="text-to-image", candidates=(Candidate(LANE),))
    item = ItemPlan(public_id=f"bare-{number}", steps=(step,), price_key="visual_cover", price=4)
    return Plan(door="visuals", owner_id=owner.pk, items=(item,), description="For the bench")


@contextmanager
def all_at_once() -> Iterator[None]:
    """Let nothing begin inside; afterwards the desk is open and the bells ring."""
    Lane.objects.filter(name="desk").update(paused=True)
    yield
    resume("desk")
    queue.ring(settings.WORKER_THREADS)


def submit_all(plans: Iterator[Plan]) -> list[Request]:
    return [engine.submit(plan) for plan in plans]


def await_end(count: int, timeout_s: float, watch: Callable[[], None] = lambda: None) -> None:
    """Wait until so many requests have ended, calling `watch` about ten times a second. Raises RuntimeError."""
    deadline = time.monotonic() + timeout_s
    while (ended := Request.objects.filter(finished_at__isnull=False).count()) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {ended} of {count} requests ended within {timeout_s:.0f} s")
        watch()
        time.sleep(0.1)
    if failed := Item.objects.exclude(status="SUCCEEDED").count():
        raise RuntimeError(f"{failed} items did not succeed")


def began_to_end_s() -> float:
    """From the first claim to the last item's end, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM (SELECT max(finished_at) FROM generation_item)"
            " - (SELECT min(started_at) FROM generation_attempt))::float8"
        )
        return float(cursor.fetchone()[0])


# --- Processes -----------------------------------------------------------------------------------


@contextmanager
def running(*parts: Part) -> Iterator[list[psutil.Process]]:
    """Start parts and stop them at the end; what they complained about is shown when something goes wrong."""
    with ExitStack() as started:
        for part in parts:
            started.callback(part.stop)
            part.start()
        for part in parts:
            if not part.await_ready(START_S):
                raise RuntimeError(f"{part.name} did not start; its log ends with:\n{part.last_lines()}")
        try:
            yield [psutil.Process(part.process.pid) for part in parts if part.process]
        finally:
            for part in parts:
                if part.log.read_text().strip():
                    print(f"[{part.name}] said, among others:\n{part.last_lines(5)}", file=sys.stderr)
            connection.close()


def workers(count: int, *, threads: int, module: str = "") -> list[Part]:
    """Worker processes; `module` runs instead of manage.py's rqworker, with the same arguments."""
    how = ["--worker-class", "generation.worker.ThreadedWorker", "--serializer", "rq.serializers.JSONSerializer"]
    program = ["-m", module] if module else ["manage.py", "rqworker"]
    argv = [*program, "generation", *how, "--skip-checks"]
    surroundings = {**os.environ, "WORKER_THREADS": str(threads), "WORKER_DRAIN_S": "1"}
    known = len(queue.workers())
    return [
        _python(f"worker-{n}", *argv, surroundings=surroundings, is_ready=lambda: len(queue.workers()) >= known + count)
        for n in range(1, count + 1)
    ]


def simulator(*, delay_s: float, picture_bytes: int = 0) -> Part:
    """The simulator, on a port that the settings of this process and of later ones name."""
    port = free_port()
    os.environ["SIMULATOR_URL"] = settings.SIMULATOR_URL = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        if not is_open(port):
            return False
        simulator_says("POST", "_settings", {"delay_s": delay_s, "picture_bytes": picture_bytes})
        return True

    argv = ["-m", "config.embedded.simulate", str(port)]
    return _python("simulator", *argv, is_ready=is_ready)


def simulator_says(method: str, path: str, content: Any = None) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, f"{settings.SIMULATOR_URL}/{path}", json=content, timeout=10)
    answer.raise_for_status()
    return answer.json()


def web(port: int) -> Part:
    """One web process, started as `make run` starts it."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--timeout-graceful-shutdown", "3"]
    quiet = ["--no-access-log", "--no-server-header", "--no-proxy-headers", "--log-level", "warning"]
    argv = ["-m", "uvicorn", "config.asgi:application", *where, *quiet]
    return _python("web", *argv, is_ready=lambda: is_open(port))


def client(module: str, content: Any) -> Part:
    """A client in a process of its own: reads its task from a file, and writes what it measured beside it."""
    task = paths.state_dir() / f"{module}.json"
    task.write_text(json.dumps(content))
    answer(module).unlink(missing_ok=True)
    return _python(module, "-m", module, str(task), str(answer(module)))


def answer(module: str) -> Path:
    """Where the client of that module leaves its answer."""
    return paths.state_dir() / f"{module}.answer.json"


def await_answer(part: Part, timeout_s: float) -> Any:
    assert part.process is not None
    if part.process.wait(timeout_s) != 0:
        raise RuntimeError(f"{part.name} failed; its log ends with:\n{part.last_lines()}")
    return json.loads(answer(part.name).read_text())


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU seconds that these processes have used, all their living and past children included."""
    total = 0.0
    for process in processes:
        for one in [process, *process.children(recursive=True)]:
            times = one.cpu_times()
            total += times.user + times.system
        past = process.cpu_times()
        total += past.children_user + past.children_system
    return total


def services() -> list[psutil.Process]:
    """PostgreSQL and Redis, which the runner started before anything else."""
    names = ("postgres", "redis-server")
    return [child for child in psutil.Process().children() if child.name() in names]


def _python(
    name: str,
    *argv: str,
    surroundings: dict[str, str] | None = None,
    is_ready: Callable[[], bool] = lambda: True,
) -> Part:
    log = paths.state_dir() / "logs" / f"{name}.log"
    log.write_text("")
    return Part(
        name, [sys.executable, *argv], log, env=surroundings or os.environ, cwd=env.ROOT, is_ready=is_ready, grace_s=5
    )


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
