"""How the console spells rows: names that people know, no program's data, and what a row is about by its own name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config import spelling, subjects
from config.models import StaffAct, User
from credits.models import Account
from generation.models import Asset, Attempt, Event
from providers.models import Lane
from tests.pages import finish, submit


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"code": "TIMEOUT", "wait_s": 2.391}, "code TIMEOUT, wait 2.4 s"),
        ({"took_ms": 1250, "progress": 7}, "took 1.2 s, progress 7 %"),
        ({"ageRange": "30-40", "body_type": "tall"}, "age range 30-40, body type tall"),
        ({"tags": ["a", "b"], "more": {"x": 1}, "is_new": True}, "tags a, b, more x 1, is new yes"),
        ({"done": 1, "missed": 0, "form": "9aa2bde0"}, "done 1"),
    ],
    ids=["waits", "units", "names", "nested", "form"],
)
def test_data_is_said_in_words(data: dict[str, Any], line: str) -> None:
    assert spelling.said(data) == line


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('HTTP 400: {"error": {"message": "A \\"bad\\" word.", "code": 1}}', 'HTTP 400: A "bad" word.'),
        ('HTTP 503: {"detail": "cut in the mid', "HTTP 503: cut in the mid"),
        ('HTTP 500: {"id": 3}', 'HTTP 500: {"id": 3}'),
        ("no answer within 90 s", "no answer within 90 s"),
    ],
    ids=["whole", "cut", "wordless", "plain"],
)
def test_of_a_providers_answer_its_message_is_told(answer: str, told: str) -> None:
    assert spelling.plainly(answer) == told


def test_fields_are_called_by_names_that_people_know() -> None:
    names = ("created_at", "duration_ms", "sha256", "size_bytes")
    found = {field.name: spelling.heading(field) for model in (Asset, Event) for field in model._meta.fields}
    assert {name: found[name] for name in names if name in found} == {
        "created_at": "Created",
        "sha256": "SHA-256",
        "size_bytes": "Size",
    }
    assert spelling.usd(Decimal("0.031825")) == "$0.0318"
    assert (spelling.size(87_088), spelling.size(5_000_000)) == ("85 KB", "4.8 MB")


@pytest.mark.django_db
def test_a_page_to_look_at_names_what_is_empty_in_one_line(staff: Client, alice: User) -> None:
    item = finish(submit(alice)).items.get()
    attempt = Attempt.objects.create(
        item=item, step=1, fence=7, lane="internal", operation="thumbnail", started_at=timezone.now()
    )
    page = staff.get(reverse("admin:generation_attempt_change", args=[attempt.pk])).text
    assert "provider&#x27;s id" in page
    assert page.count("provider&#x27;s id") == 1
    assert '<label for="id_remote_id"' not in page
    assert f'<a href="{reverse("admin:generation_item_change", args=[item.pk])}">{item.public_id}</a>' in page


@pytest.mark.django_db
def test_what_staff_did_is_about_rows_by_their_names(staff: Client, stella: User, alice: User) -> None:
    item = submit(alice).items.get()
    account = Account.objects.get(owner=alice)
    about = [f"item:{item.pk}", f"account:{account.pk}", "lane:provider_d", "item:no", "ledger", "item:999999999"]
    for subject in about:
        StaffAct.objects.create(
            actor=stella, verb="hold", subject=subject, reason="so", outcome={"form": "0", "done": 1}
        )
    names = subjects.named(about)
    assert names[f"item:{item.pk}"].endswith(f">item {item.public_id}</a>")
    assert names[f"account:{account.pk}"].endswith(">account alice</a>")
    assert [names[subject] for subject in about[3:]] == about[3:]
    page = staff.get(reverse("admin:config_staffact_changelist")).text
    for subject in about[:3]:
        assert names[subject] in page
    act = StaffAct.objects.get(subject=about[0])
    page = staff.get(reverse("admin:config_staffact_change", args=[act.pk])).text
    assert names[about[0]] in page
    assert "&quot;form&quot;" not in page


@pytest.mark.django_db
def test_naming_many_subjects_asks_once_per_kind(alice: User) -> None:
    wanted = [f"item:{item.pk}" for item in submit(alice, 3).items.all()] + [
        f"lane:{lane.name}" for lane in Lane.objects.all()
    ]
    with CaptureQueriesContext(
        connection,
    ) as asked:
        subjects.named(wanted)
    assert len(asked) == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("route", "steps"),
    [
        ("index", ["Desk"]),
        ("generation_item_queue", ["Work", "Queue"]),
        ("generation_item_quarantine", ["Work", "Quarantine"]),
        ("providers_lane_providers", ["Providers"]),
        ("auth_group_changelist", ["House", "Groups"]),
        ("credits_entry_changelist", ["Credits", "Ledger"]),
        ("password_change", ["Password change"]),
    ],
)
def test_the_head_of_a_page_calls_it_as_the_menu_does(staff: Client, route: str, steps: list[str]) -> None:
    address = reverse(f"admin:{route}")
    page = staff.get(address, follow=True).text
    head = page[page.index("<h1") : page.index("</h1>")]
    places = [head.find(f">{step}<") for step in steps]
    assert -1 not in places
    assert places == sorted(places)
    assert head.count("chevron_right") == len(steps) - 1
