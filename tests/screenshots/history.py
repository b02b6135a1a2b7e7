"""What the demo desk has seen: requests through every door, worked off by the real engine, spread over a week.

Each request is made by the API, as its client would, and worked off in this thread against the simulator. Only
then are its times moved, so that a week lies behind the desk: a database that is thrown away may be told a lie.
"""

from __future__ import annotations

import io
import itertools
import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import requests
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from config.api import personal
from config.models import User
from credits import ledger
from credits.models import Account
from generation.models import Avatar, LibraryPose, PoseCategory, PoseProject, PoseWish, Request
from providers.simulator import pictures
from tests.doors.poses.desk import work
from tests.screenshots import wishes

POSES_API = "/api/apps/pose-generator"
RECENT = timedelta(minutes=57)
WEEK = timedelta(days=6, hours=7)
dice = random.Random(11)


class Person:
    """A customer of the API. `post` raises when it is refused."""

    def __init__(self, name: str) -> None:
        self.user = User.objects.get(username=name)
        self.http = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(self.user)}"})

    def send(self, method: str, path: str, body: Any) -> dict[str, Any]:
        raw, kind = (body, "text/plain") if isinstance(body, bytes) else (json.dumps(body), "application/json")
        answer = self.http.generic(method, path, raw, content_type=kind)
        if answer.status_code >= 300:
            raise RuntimeError(f"{path} answered {answer.status_code}: {answer.content[:500]!r}")
        document: dict[str, Any] = answer.json()
        return document

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return self.send("POST", path, body)

    def draw(self, kind: str, prompt: str, **more: Any) -> None:
        self.post("/api/visual-generation/submit", type=kind, prompt=prompt, **more)

    def upload(self, body: bytes, name: str) -> str:
        file = io.BytesIO(body)
        file.name = name
        link: str = self.http.post("/api/assets", {"file": file}).json()["asset_url"]
        return link


def fill() -> None:
    """Make people and a week of work. The simulator answers at once meanwhile."""
    _simulator("_settings", {"delay_s": 0})
    _people()
    people = {name: Person(name) for name in wishes.CUSTOMERS}
    orders = [*_orders(people)]
    for when, order in zip(_times(len(orders)), orders, strict=True):
        known = set(Request.objects.values_list("pk", flat=True))
        order()
        work()
        _move(Request.objects.exclude(pk__in=known), when)
    _library(people)
    personal.make(people["mara"].user, "Nightly covers", days=90)


def fault(provider: str, name: str, **params: Any) -> None:
    _simulator("_faults", {"provider": provider, "fault": name, **params})


# --- Who, and what they ask for -------------------------------------------------------------------


def _people() -> None:
    for username, (name, credits) in wishes.CUSTOMERS.items():
        first, last = name.split()
        with transaction.atomic():
            user = User.objects.create_user(
                username, f"{username}@example.com", username, first_name=first, last_name=last
            )
            ledger.open_account(user)
            ledger.purchase(user.pk, credits, reference=f"order-{username}", description="Credits, studio pack")
    for username, name in wishes.STAFF.items():
        first, last = name.split()
        User.objects.create_superuser(username, f"{username}@example.com", username, first_name=first, last_name=last)
    with transaction.atomic():
        newcomer = User.objects.create_user(wishes.NEWCOMER, password=wishes.NEWCOMER)
        ledger.open_account(newcomer, signup_grant=False)
    Account.objects.filter(owner__username="lena").update(
        tier="studio", unlimited_active=True, unlimited_daily_quota=40
    )
    Account.objects.filter(owner__username="mara").update(tier="creator")


def _orders(people: dict[str, Person]) -> Iterator[Callable[[], None]]:
    """Everything that was asked for, the oldest first."""
    mara = people["mara"]
    yield from (_picture(people, n) for n in range(10))
    yield lambda: mara.post(
        "/api/visual-generation/batch",
        requests=[
            {"type": "illustration", "prompt": prompt, "pageId": f"page-{n}"} for n, prompt in enumerate(wishes.BATCH)
        ],
        batchOptions={"priority": "low"},
    )
    yield from (_thing(people[who], task, prompt) for who, task, prompt in wishes.THINGS)
    yield from (_failing(people[who], kind, prompt) for who, kind, prompt in wishes.FAILING[:2])
    yield _story(people["priya"], "tides-for-class-4")
    yield _poses(people["aiko"], "Editorial, March")
    # The last hour.
    yield from (_picture(people, n) for n in range(10, 34))
    yield _poses(mara, "Spring in the harbour")
    yield from (_picture(people, n) for n in range(34, 48))
    yield from (_failing(people[who], kind, prompt) for who, kind, prompt in wishes.FAILING[2:])
    yield from (_picture(people, n) for n in range(48, 64))
    yield _half_failing(mara)
    yield _story(mara, "how-tides-work")
    yield from (_picture(people, n) for n in range(64, 72))
    yield _thing(mara, "kitchen-jug", "A kitchen jug of blue enamel, plain background")
    yield from (_picture(people, n) for n in range(72, 76))


def _picture(people: dict[str, Person], number: int) -> Callable[[], None]:
    who, kind, prompt, more = wishes.PICTURES[number % len(wishes.PICTURES)]
    round_of = number // len(wishes.PICTURES)
    ratio = ("square", "landscape", "portrait", "wide")[number % 4]
    metadata = {"aspectRatio": ratio, "provider": ("provider_d", "provider_g", "provider_a", "provider_e")[number % 4]}
    text = prompt if not round_of else f"{prompt}, version {round_of + 1}"
    return lambda: people[who].draw(kind, text, metadata=metadata, **more)


def _thing(person: Person, task: str, prompt: str) -> Callable[[], None]:
    def order() -> None:
        body = pictures.draw(pictures.wish(prompt, 1, 768, 768, "png")).body
        link = person.upload(body, f"{task}.png")
        person.post("/generate/remove-background", provider="provider_a", task_id=task, input_image_asset_url=link)
        person.post("/generate/image-to-model", provider="provider_c", task_id=task, input_image_asset_urls=[link])

    return order


def _failing(person: Person, kind: str, prompt: str) -> Callable[[], None]:
    def order() -> None:
        vendor, alias = dice.choice((("openai", "provider_d"), ("stability", "provider_a")))
        fault(vendor, "filtered", match=prompt[:20])
        person.draw(kind, prompt, metadata={"provider": alias})

    return order


def _half_failing(person: Person) -> Callable[[], None]:
    """A batch of which some fail, for reasons of their own, after tries at several providers."""

    def order() -> None:
        prompts = [f"Harbour at {time}, watercolour" for time in ("dawn", "noon", "dusk", "midnight")]
        fault("openai", "filtered", match="at noon")
        fault("openai", "503", match="at dusk", times=2)
        fault("openai", "rate-limit", match="at midnight", retry_after="5")
        person.post(
            "/api/visual-generation/batch",
            requests=[
                {"type": "illustration", "prompt": prompt, "metadata": {"provider": "provider_d"}} for prompt in prompts
            ],
        )

    return order


def _story(person: Person, session: str) -> Callable[[], None]:
    def order() -> None:
        path = person.send("PUT", f"/api/story-sessions/{session}/files/segments.md", wishes.STORY.encode())["s3_path"]
        fault("openrouter", "verdict", has_text=True, has_annotations=False, confidence=0.93)
        person.post("/api/process-story-segments", session_id=session, s3_path=path, options={"num_images": 2})

    return order


def _poses(person: Person, name: str) -> Callable[[], None]:
    def order() -> None:
        project = PoseProject.objects.create(
            owner=person.user, name=name, avatar_source="UPLOAD", avatar_image_url="https://pictures.example.com/me.png"
        )
        chosen = LibraryPose.objects.order_by("category__display_order", "name")[:: 71 // wishes.POSES][: wishes.POSES]
        person.post(
            f"{POSES_API}/generate",
            projectId=str(project.pk),
            generationType="GALLERY_REFERENCE",
            selectedPoseIds=[str(pose.pk) for pose in chosen],
            batchSize=2,
            useBackgroundChanger=True,
            backgroundMode="ai_generate",
            backgroundPrompt="a pier in evening light",
            exportFormats=["instagram_post", "tiktok"],
        )

    return order


def _library(people: dict[str, Person]) -> None:
    """What customers keep beside their work, and what they wish for."""
    category = PoseCategory.objects.exclude(parent=None).first()
    for who, name, why, status in wishes.WISHES:
        PoseWish.objects.create(
            owner=people[who].user,
            pose_name=name,
            description=why,
            category=category,
            status=status,
            votes_count=dice.randint(1, 40),
        )
    for who, name in (("mara", "Ingrid, harbour pilot"), ("aiko", "Kenji, chef")):
        Avatar.objects.create(owner=people[who].user, name=name, attributes={"ageRange": "30-40"})


# --- When ----------------------------------------------------------------------------------------


def _times(count: int) -> list[datetime]:
    """A third over the week, the rest over the last hour, in order."""
    now = timezone.now()
    old = count // 3
    before = [now - WEEK + n * (WEEK - RECENT) / old for n in range(old)]
    return before + [now - RECENT + n * RECENT / (count - old) for n in range(count - old)]


# table -> (columns of time, its rows of one request)
_MOVED = {
    "generation_attempt": (
        "started_at ended_at accepted_at received_at poll_at park_until",
        "item_id IN (SELECT id FROM generation_item WHERE request_id = %(id)s)",
    ),
    "generation_asset": ("created_at", "request_id = %(id)s"),
    "generation_event": ("at", "request_id = %(id)s"),
    "credits_entry": (
        "created_at",
        "subject IN (SELECT 'request:' || %(text)s::text UNION ALL"
        " SELECT 'item:' || id FROM generation_item WHERE request_id = %(id)s)",
    ),
    "generation_storysession": ("created_at", "request_id = %(id)s"),
    "generation_item": (
        "created_at queued_at started_at first_started_at finished_at deadline_at",
        "request_id = %(id)s",
    ),
    "generation_request": ("created_at started_at finished_at", "id = %(id)s"),
}


def _move(made: Any, when: datetime) -> None:
    """Let these requests have been made then, wait a little, and take as long as real providers do."""
    for request, later in zip(made.order_by("created_at"), itertools.count(), strict=False):
        start = when + later * timedelta(seconds=20)
        wait, took = min(30.0, dice.lognormvariate(0.9, 0.8)), dice.uniform(4, 19)
        first, last = request.started_at or request.created_at, request.finished_at or timezone.now()
        stretch = took / max(0.001, (last - first).total_seconds())
        values = {
            "id": request.pk,
            "text": str(request.pk),
            "old": first,
            "new": start + timedelta(seconds=wait),
            "stretch": stretch,
        }
        values["start"] = start
        moved = (
            "CASE WHEN {0} < %(old)s THEN greatest(%(start)s, %(new)s - (%(old)s - {0}) * %(stretch)s)"
            " ELSE %(new)s + ({0} - %(old)s) * %(stretch)s END"
        )
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for table, (columns, rows) in _MOVED.items():
                changes = ", ".join(f"{column} = {moved.format(column)}" for column in columns.split())
                cursor.execute(f"UPDATE {table} SET {changes} WHERE {rows}", values)


def _simulator(path: str, body: dict[str, Any]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.post(f"{settings.SIMULATOR_URL}/{path}", json=body, timeout=10).raise_for_status()
