"""Every page of the console, and the dashboard of the busiest customer, with 100,000 requests in the table.

Each call is the whole WSGI application with a session, as a browser makes it: what the server does. `bench.paint`
measures the browser too.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any
from wsgiref.util import setup_testing_defaults

import psutil
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from django.urls import reverse

from bench import desk
from bench.copies import Copies
from bench.figures import Figure, spread
from bench.fill import bulk
from bench.submit import Samples
from config.asgi import wsgi as application  # after what the web process does at its start
from config.models import User
from generation import engine
from generation.admin.menu import GROUPS, link
from generation.claim import claim
from generation.live import pulse
from generation.models import Asset, AssetKind, Request

REQUESTS, SAMPLES, WARM_UP = 100_000, 20, 3
# Shares of what there is: made, failed, waiting.
SHARES = {"made": 0.6, "failed": 0.2, "waiting": 0.2}
LIMIT_MS = 300
OF_ROWS = ("generation", "credits", "config", "providers")


def measure(scale: float) -> list[Figure]:
    measured = [_measured(address, cookie) for address, cookie in addresses(scale)]
    return sorted(measured, key=lambda figure: -figure.value)


def addresses(scale: float) -> list[tuple[str, str]]:
    """Fill the desk; return each page's address and the session of who looks at it."""
    (person,) = desk.people(1)
    work = _work(person)
    copies = Copies()
    with bulk():
        for name, share in SHARES.items():
            copies.of(work[name].pk, int(REQUESTS * scale * share))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    staff = _session(User.objects.create_user("staff", is_staff=True, is_superuser=True))
    session = _session(person)
    return [*((one, staff) for one in _console(work)), *((one, session) for one in _dashboard(work))]


def _work(person: User) -> dict[str, Request]:
    """Let one picture be made and one fail, and leave a third waiting."""
    with desk.running(desk.simulator(delay_s=0)):
        made = engine.submit(desk.picture_plan(person, 1))
        _work_off()
        fault = {"provider": "openai", "fault": "bad-input", "times": 9}
        for vendor in ("openai", "huggingface"):
            desk.simulator_says("POST", "_faults", {**fault, "provider": vendor})
        failed = engine.submit(desk.picture_plan(person, 2))
        _work_off()
    return {"made": made, "failed": failed, "waiting": engine.submit(desk.picture_plan(person, 3))}


def _work_off() -> None:
    while taken := claim(1):
        engine.work(taken[0])


def _console(work: dict[str, Request]) -> list[str]:
    """The sidebar's pages, and of each table the page of its newest row; of requests, the one with a picture."""
    found = [link(address) for _, entries in GROUPS for *_, address in entries]
    for model in admin.site._registry:
        if model._meta.app_label in OF_ROWS and (row := _newest(model, work)):
            found.append(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk]))
    return found


def _newest(model: Any, work: dict[str, Request]) -> Any:
    return work["made"] if model is Request else model._base_manager.order_by("-pk").first()


def _dashboard(work: dict[str, Request]) -> list[str]:
    asset = Asset.objects.get(request=work["made"], kind=AssetKind.IMAGE)
    plain = ("home", "work", "gallery", "credits", "make", "stories", "poses", "poses-new", "story-new")
    return [
        *(reverse(f"app-{name}") for name in plain),
        reverse("app-request", args=[work["made"].pk]),
        reverse("app-picture", args=[asset.pk]),
    ]


def _measured(address: str, session: str) -> Figure:
    samples, cookie = Samples(), f"{settings.SESSION_COOKIE_NAME}={session}"
    for _ in range(WARM_UP):
        _get(address, cookie)
    before = _database_ms()
    for _ in range(SAMPLES):
        pulse.forget()  # as the first who looks
        samples.take(lambda: _get(address, cookie))
    database = (_database_ms() - before) / SAMPLES
    size = len(_body(address, cookie)[1]) / 1024
    busy = f"CPU {sum(samples.cpu) / SAMPLES:.0f} here, {database:.0f} in the database"
    note = f"{spread(samples.wall, 90)}; {busy}; {size:.0f} KB"
    return Figure(named(address), samples.p50, "ms", limit=LIMIT_MS, note=note)


def _database_ms() -> float:
    """How long the database's own processes for us have been busy, in ms: on a machine with other work that says more
    than the clock does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state IS NOT NULL")
        times = [psutil.Process(pid).cpu_times() for (pid,) in cursor.fetchall()]
    return 1000 * sum(one.user + one.system for one in times)


def named(address: str) -> str:
    """An address without the ids that a run happened to give."""
    return "/".join("…" if len(part) > 30 or part.isdecimal() else part for part in address.split("/"))


def _session(person: User) -> str:
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def _get(address: str, cookie: str) -> int:
    return _body(address, cookie)[0]


def _body(address: str, cookie: str) -> tuple[int, bytes]:
    """A call as a WSGI server makes it, until the answer is closed."""
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": address, "QUERY_STRING": "", "HTTP_COOKIE": cookie}
    setup_testing_defaults(environ)
    environ |= {"HTTP_HOST": "localhost", "HTTP_ACCEPT": "text/html"}
    statuses: list[str] = []
    answer = application(environ, lambda status, headers, exc_info=None: statuses.append(status))
    body = b"".join(answer)
    answer.close()
    return int(statuses[0][:3]), body
