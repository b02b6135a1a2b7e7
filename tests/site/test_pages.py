"""The table of pages says the truth: it has every route, each page opens for whom it is, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from tests.site.house import House
from tests.site.pages import CUSTOMER, NO_PAGE, PAGES, ROOMS, STAFF, VISITOR, Page

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]


def routes() -> Iterator[str]:
    """The names of all under /app/ and /admin/."""
    for address, name in _walk(get_resolver().url_patterns):
        if address.startswith(("app/", "admin/")):
            yield name


def _walk(patterns: list[Any], address: str = "", space: str = "") -> Iterator[tuple[str, str]]:
    for one in patterns:
        whole = address + str(one.pattern)
        if isinstance(one, URLPattern):
            yield whole, space + (one.name or "")
        else:
            yield from _walk(one.url_patterns, whole, space + (f"{one.namespace}:" if one.namespace else ""))


def refused() -> set[str]:
    """Pages for adding and removing in rooms where nobody may."""
    return {room.route("add") for room in ROOMS if not room.adds} | {
        room.route("delete") for room in ROOMS if not room.deletes
    }


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    named = {name for name in routes() if not name.endswith(":")}  # without a name: what only leads on
    known = {page.route for page in PAGES} | NO_PAGE.keys() | refused()
    assert sorted(named - known) == [], "a page without a row in tests/site/pages.py"
    assert sorted(known - named) == [], "a row without a route"
    assert not {page.route for page in PAGES} & NO_PAGE.keys()


def test_names_tell_pages_apart() -> None:
    names = [page.name for page in PAGES]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_page_opens_for_whom_it_is(client: Client, house: House) -> None:
    wrong = []
    for page in PAGES:
        sign_in(client, page, house)
        answer = client.get(page.address(house))
        if answer.status_code != page.status or (page.status == 200 and not is_html(answer, page)):
            wrong.append(f"{page.name} {page.address(house)}: {answer.status_code} {answer.get('Location', '')}")
    assert wrong == []


def sign_in(client: Client, page: Page, house: House) -> None:
    person = page.person(house)
    if person is None:
        client.logout()
    elif client.session.get("_auth_user_id") != str(person.pk):
        client.force_login(person)


def is_html(answer: Any, page: Page) -> bool:
    return answer["Content-Type"].startswith("text/html") and ("<html" in answer.text) == page.is_whole


def test_nobody_sees_a_page_before_signing_in(client: Client, house: House) -> None:
    for page in (page for page in PAGES if page.who != VISITOR):
        answer = client.get(page.address(house))
        login = "/admin/login/" if page.who == STAFF else "/app/login"
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, login), page.name


def test_no_customer_sees_the_console(client: Client, house: House) -> None:
    client.force_login(house.alice)
    for page in (page for page in PAGES if page.who == STAFF):
        answer = client.get(page.address(house))
        assert answer.status_code in (302, 403), page.name
        assert answer.get("Location", "/admin/login/").startswith("/admin/login/"), page.name


def test_nobody_sees_what_is_anothers(client: Client, house: House) -> None:
    client.force_login(house.newcomer)
    for page in (page for page in PAGES if page.who == CUSTOMER and page.args(house) and not page.is_common):
        assert client.get(page.address(house)).status_code == 404, page.name


def test_staff_need_the_permission_of_each_page_and_no_other(client: Client, house: House) -> None:
    client.force_login(house.sam)
    for page in (page for page in PAGES if page.needs):
        house.sam.user_permissions.clear()
        assert client.get(page.address(house)).status_code == 403, page.name
        for needed in page.needs:
            app, code = needed.split(".")
            house.sam.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=code))
        assert client.get(page.address(house)).status_code == page.status, page.name


def test_nothing_is_added_or_removed_where_the_desk_keeps_the_books(client: Client, house: House) -> None:
    client.force_login(house.stella)
    for room in ROOMS:
        if not room.adds:
            assert client.get(reverse(room.route("add"))).status_code == 403, room.model
        if not room.deletes:
            address = reverse(room.route("delete"), args=[room.row(house).pk])
            assert client.get(address).status_code == 403, room.model
            assert client.post(address, {"post": "yes"}).status_code == 403, room.model
