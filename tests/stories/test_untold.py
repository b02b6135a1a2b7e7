"""A vendor that fails is named nowhere that a customer can look: answers, events, views, files, sockets, pages.

Each vendor is made to refuse in its own words behind a door that uses it; then everything that its customer can read
is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as desk_settings
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils.module_loading import import_string

from config.models import User
from generation.models import Attempt, Event, Item, Request
from providers import registry
from providers.transport import Answer
from tests.doors.makeit3d.desk import Customer as Modeller
from tests.doors.poses.desk import Customer as Poser
from tests.doors.poses.desk import make_pose, work
from tests.doors.stories.desk import SESSION, Author, story
from tests.doors.visuals.desk import DRAGON, Customer, assert_no_vendor
from tests.generation.conftest import media
from tests.simulator import Remote

__all__ = ["media"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media")]

# Brands behind the vendors' names, which their own texts are full of.
BRANDS = ("stable-", "stable diffusion", "gpt-", "dall-e", "sdxl", "black-forest", "fal.ai", "hugging face")
TABLES = (
    *("generation_requests", "generation_queue", "pose_generations", "generated_poses", "images", "models"),
    *("user_credits", "credit_transactions", "credits"),
)
PAGES = ("app-home", "app-work", "app-gallery", "app-poses", "app-stories", "app-credits", "app-credits-file")


def ask_for_a_thing(operation: str, vendor: str) -> Callable[[User, Any], None]:
    return lambda user, settings: Modeller(user).asked(operation, provider=vendor) and None


def ask_for_a_visual(user: User, settings: Any) -> None:
    settings.VISUAL_PROVIDER_ORDER = ["huggingface"]
    assert Customer(user).submit(DRAGON).status_code == 200


def ask_for_a_pose(user: User, settings: Any) -> None:
    settings.POSE_PROVIDER_ORDER = ["stability"]
    Poser(user).generated(make_pose("Walking"), batchSize=1)


def ask_for_a_story(user: User, settings: Any) -> None:
    Author(user).started(story(1), num_images=1, max_passes=1)


CASES = {
    "stability": ask_for_a_thing("text-to-image", "stability"),
    "stability, poses": ask_for_a_pose,
    "recraft": ask_for_a_thing("text-to-image", "recraft"),
    "tripo": ask_for_a_thing("text-to-model", "tripo"),
    "openai": ask_for_a_thing("text-to-image", "openai"),
    "replicate": ask_for_a_thing("text-to-image", "flux"),
    "replicate, stories": ask_for_a_story,
    "huggingface": ask_for_a_visual,
    "openrouter": ask_for_a_story,
}


@pytest.mark.parametrize("case", CASES)
def test_a_vendor_that_fails_is_named_nowhere(
    alice: User, simulator: Remote, settings: Any, media: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    vendor = case.partition(",")[0]
    monkeypatch.setattr(Answer, "excerpt", lambda answer, limit=0: f"{vendor} says: gpt-image-2 and sdxl are no words")
    simulator.faults(vendor, "bad-input", times=99)
    CASES[case](alice, settings)
    work()
    aliases = [one.alias for one in registry.VENDORS if vendor in (*one.names, one.key)]
    assert Attempt.objects.filter(provider__in=aliases).exclude(error_code="").exists()
    told = dict(everything_told(alice, media))
    assert len(told) > 20
    for where, text in told.items():
        assert_no_vendor(f"{where}: {text}")
        assert not [brand for brand in BRANDS if brand in text.lower()], f"{where}: {text[:2000]}"


def test_every_vendor_has_a_case() -> None:
    assert {one.key or one.names[0] for one in registry.VENDORS} == {case.partition(",")[0] for case in CASES}


def everything_told(user: User, media: Path) -> Iterator[tuple[str, str]]:
    """Where a customer can look, and what is told there."""
    yield from rows()
    yield from files(media)
    yield from documents()
    yield from pages(user)


def rows() -> Iterator[tuple[str, str]]:
    """Events, the tables that the source systems' operators read, and the reasons of failures."""
    for event in Event.objects.all():
        yield f"event {event.pk}", f"{event.kind} {event.data}"
    for item in Item.objects.all():
        yield f"item {item.public_id}", f"{item.error_code} {item.error_message} {item.params}"
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table}")
            yield f"table {table}", str([column.name for column in cursor.description]) + str(cursor.fetchall())


def files(media: Path) -> Iterator[tuple[str, str]]:
    """What lies in the store: every name, and every text."""
    for path in media.rglob("*"):
        text = path.read_text() if path.suffix in (".json", ".md", ".csv") else ""
        yield f"file {path.relative_to(media)}", text


def documents() -> Iterator[tuple[str, str]]:
    """What sockets say of an item, whichever of its events was the last."""
    for event in Event.objects.exclude(item=None).select_related("item__request"):
        assert event.item
        spell = import_string(f"{desk_settings.DOORS[event.item.door]}.present.present_event")
        document = spell(event.item, event.kind, event.seq, "http://testserver/")
        yield f"message of event {event.pk}", json.dumps(document, default=str)


def pages(user: User) -> Iterator[tuple[str, str]]:
    client = Client()
    client.force_login(user)
    addresses = [reverse(name) for name in PAGES]
    for request in Request.objects.all():
        addresses += [reverse(name, args=[request.pk]) for name in ("app-request", "app-receipt")]
        addresses += [reverse("app-generation", args=[request.pk])] * (request.door == "poses")
        addresses += [reverse("app-story", args=[SESSION])] * (request.door == "stories")
    for item in Item.objects.filter(door="poses"):
        addresses.append(reverse("app-pose", args=[item.public_id]))
    for address in addresses:
        answer = client.get(address, follow=True)
        assert answer.status_code == 200, address
        yield f"page {address}", b"".join(answer).decode()
