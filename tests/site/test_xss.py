"""Whatever strangers write stays text: every text that they control holds what a browser would run, on every page.

A column is theirs unless it stands in OURS, so that a new one is tried without a word. The texts come by the
doors where they take them, and by SQL everywhere else: what a check forgets tomorrow must be harmless on the pages.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.apps import apps
from django.db import connection, models, transaction
from django.test import Client
from django.urls import reverse

from providers import webhooks
from tests.doors.makeit3d.desk import Customer as Modeller
from tests.doors.poses.desk import Customer as Poser
from tests.doors.stories.desk import Author, story
from tests.doors.visuals.desk import Customer
from tests.pages import NASTY, live_nodes
from tests.site import house as houses
from tests.site.house import House
from tests.site.pages import PAGES, STAFF, Page, one_of_each

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

ALL = " ".join(NASTY)
LINK = "javascript:window.pwned=1"
# What a stranger sends with everything, as far as it fits.
SHORT = '"><img src=x onerror="window.pwned=1">'

# Words of the desk's own, which no stranger chooses: states, names of ours, keys, digests.
_OURS = """
    door status hold_reason lane priority provider model operation stage outcome kind step cancel_refund verb
    public_id key content_type sha256 map_key preview_key thumbnail_key subject reference form_key row directory
    error_code price_key keep_codes parts steps results session_id storage_id password digest ending tier
    operation_key breaker alias slug icon color difficulty gender_suitability source_type avatar_source keypoints
    method path fingerprint values args issuer revoked_by
"""
OURS = frozenset(_OURS.split())
# Theirs for all that they are called like a word of ours.
THEIRS = {("config.User", "subject"), ("generation.Chore", "key")}
# Keys of JSON columns whose values a stranger writes; others hold ids and words that code looks up.
_WRITTEN = """
    pageId projectId textPrompt promptUsed backgroundPrompt backgroundImageUrl backgroundColor avatarAttributes
    task_id given ignored style title message template_title reason actor text subject rule imageStyle
"""
WRITTEN = frozenset(_WRITTEN.split())


@pytest.fixture(scope="module")
def poisoned(house: House) -> House:
    by_the_doors(house)
    poison()
    return house


def by_the_doors(house: House) -> None:
    """Send nasty texts wherever a door takes them: in prompts, names, metadata, keys, files and webhooks."""
    visuals, modeller, poser = Customer(house.alice), Modeller(house.alice), Poser(house.alice)
    metadata = {"imageStyle": SHORT, "aspectRatio": "wide", SHORT: ALL}
    sent = visuals.submit(prompt=ALL, pageId=SHORT, projectId=SHORT, metadata=metadata, key=quote(SHORT))
    assert sent.status_code == 200, sent.json()
    assert modeller.post("text-to-image", prompt=ALL, provider="provider_d").status_code == 200
    assert modeller.post("text-to-image", prompt="A chair", task_id=SHORT).status_code in (200, 422)
    assert poser.generate(textPrompt=ALL[:480]).status_code == 202
    author = Author(house.alice)
    author.put("segments.md", story(1, SHORT).replace("Part 1", SHORT), session="nasty")
    assert author.start("nasty").status_code in (200, 404)
    address = f"/hooks/provider_e/{webhooks.token('provider_e')}"
    assert Client().post(address, {"id": ALL, "error": ALL}, content_type="application/json").status_code == 401
    houses.work()


def poison() -> None:
    """Write nasty texts into every column that is not ours, each row's different where it must be."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for model in apps.get_models():
            if model._meta.app_label in ("config", "credits", "generation", "providers") and model._meta.managed:
                for number, row in enumerate(model._base_manager.all()):
                    changes = {field.attname: bad(field, row, number) for field in texts_of(model)}
                    if changes:
                        model._base_manager.filter(pk=row.pk).update(**changes)


def texts_of(model: type[models.Model]) -> list[models.Field]:
    kinds = (models.CharField, models.TextField, models.JSONField)
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, kinds)
        and not field.primary_key
        and (field.name not in OURS or (model._meta.label, field.name) in THEIRS)
    ]


def bad(field: models.Field, row: Any, number: int) -> Any:
    value = getattr(row, field.attname)
    if isinstance(field, models.JSONField):
        return bad_json(value)
    if field.name == "group" and row.door in ("poses", "stories"):
        return value  # the id of a project, or a session's checked name
    if field.name.endswith("_url"):
        return LINK
    text = f"{SHORT if (field.max_length or 1000) < len(ALL) + 20 else ALL}{number}"
    return text if not field.max_length or len(text) <= field.max_length else "<svg/onload=pwned>"[: field.max_length]


def bad_json(value: Any, key: str = "") -> Any:
    if key == "metadata" or key in WRITTEN:
        return {**value, SHORT: ALL} if isinstance(value, dict) else [ALL] if isinstance(value, list) else ALL
    if isinstance(value, dict):
        return {name: bad_json(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [bad_json(inner, key) for inner in value]
    return value


def test_nothing_that_a_stranger_wrote_is_alive_on_any_page(poisoned: House) -> None:
    clients: dict[Any, Client] = {}
    alive, silent = {}, []
    for page in PAGES:
        answer = opened(clients, page, poisoned, page.address(poisoned))
        if found := live_nodes(answer.text):
            alive[page.name] = found[:3]
        if "pwned" not in answer.text:
            silent.append(page.name)
    assert alive == {}
    # That the rest shows some of it, as text, is what makes this a proof.
    assert len(silent) < len(PAGES) / 3, silent


def opened(clients: dict[Any, Client], page: Page, house: House, address: str) -> Any:
    person = page.person(house)
    if person not in clients:
        clients[person] = Client()
        if person:
            clients[person].force_login(person)
    answer = clients[person].get(address)
    assert answer.status_code in (page.status, 302, 400, 404), (page.name, answer.status_code)
    return answer


# What pages read from their address.
_ASKED = """
    q s search page p o e part before from next like poses category state door lane owner age result asked status
    kind created_at_from created_at_to as period formats row
"""


def test_nothing_in_an_address_is_alive_on_the_page_that_it_leads_to(house: House) -> None:
    clients: dict[Any, Client] = {}
    for page in one_of_each():
        plain = page.address(house).partition("?")[0]
        answer = opened(clients, page, house, f"{plain}?{urlencode(dict.fromkeys(_ASKED.split(), LINK + ALL))}")
        assert live_nodes(answer.text) == [], page.name


def test_nothing_that_was_typed_into_a_form_is_alive_when_it_comes_back(house: House) -> None:
    alice, stella, nobody = Client(), Client(), Client()
    alice.force_login(house.alice)
    stella.force_login(house.stella)
    # The pages with their own forms, and the parts that are fetched while one fills them in.
    forms = [(alice, reverse(name)) for name in ("app-story-new", "app-poses-new", "app-story-outline", "app-pose-sum")]
    forms += [(alice, page.address(house)) for page in PAGES if page.route in ("app-make-visual", "app-make-operation")]
    forms += [(stella, page.address(house)) for page in PAGES if page.who == STAFF and "/verb/" in page.address(house)]
    forms += [(stella, reverse("admin:credits_price_add")), (stella, reverse("admin:config_user_add"))]
    forms += [(nobody, reverse("app-login")), (nobody, reverse("admin:login"))]
    for client, address in forms:
        names = {name for form in contexts(client.get(address)) for name in getattr(form, "fields", ())} | TYPED
        answer = client.post(address, dict.fromkeys(names, ALL) | {"row": "1"})
        assert answer.status_code < 500, address
        assert live_nodes(answer.text) == [], address


TYPED = {"text", "prompt", "session_id", "project_name", "avatar_name", "reason", "username", "password", "poses"}


def contexts(answer: Any) -> list[Any]:
    """The forms of a page."""
    found = [answer.context[name] for name in ("form", "adminform") if answer.context and name in answer.context]
    return [getattr(form, "form", form) for form in found]
