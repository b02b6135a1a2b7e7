"""No page and no list asks a question for each row: ten thousand rows cost no more queries than ten."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework_simplejwt.tokens import AccessToken

from bench.copies import Copies
from config.models import User
from generation.live import pulse
from generation.models import Item, Request
from tests.site.house import House
from tests.site.pages import PAGES, Page, one_of_each
from tests.site.routes import CUSTOMER, ROUTES, Route

pytestmark = pytest.mark.django_db

ROWS = 10_000
# Whatever there is less of on a desk of that size.
FEWER = 1000
# Beyond this many a page does more than it shows.
MOST = 30
# Copies of each kind of work; fewer wait than are counted exactly, because beyond that one query more is asked.
SHARES = {"picture": 5000, "failed": 2000, "batch": 1000, "waiting": 500, "held": 300, "poses": 600, "model": 600}
# What shows one thing of many parts, with how many more of them.
WIDER = {"batch": 200, "poses": 100}
# Other tables: how many copies of which row, and what differs in each; `n` runs from 1.
OTHERS: dict[str, tuple[int, str, dict[str, str]]] = {
    "credits_entry": (
        *(ROWS, "r.id = (SELECT max(id) FROM credits_entry)"),
        {"id": "r.id + n", "seq": "r.seq + n", "reference": "r.reference || n"},
    ),
    "config_user": (
        *(ROWS, "r.username = 'newcomer'"),
        {"id": "md5('user' || n)::uuid", "username": "'crowd-' || n", "storage_id": "'crowd-' || n"},
    ),
    "credits_account": (
        *(ROWS, "r.owner_id = (SELECT id FROM config_user WHERE username = 'newcomer')"),
        {"owner_id": "md5('user' || n)::uuid"},
    ),
    "config_staffact": (FEWER, "r.id = (SELECT max(id) FROM config_staffact)", {"id": "r.id + n"}),
    "config_approval": (FEWER, "true", {"id": "r.id + n", "form_key": "md5('key' || n)"}),
    "generation_chore": (
        *(FEWER, "r.id = (SELECT max(id) FROM generation_chore)"),
        {"id": "r.id + n", "key": "r.key || n"},
    ),
    "generation_auditrun": (FEWER, "r.id = (SELECT max(id) FROM generation_auditrun)", {"id": "r.id + n"}),
    "generation_bulk": (FEWER, "r.verb = 'hold'", {"id": "md5('bulk' || n)::uuid"}),
    "generation_librarypose": (FEWER, "r.name = 'Walking'", {"id": "md5('pose' || n)::uuid", "name": "r.name || n"}),
    "generation_storysession": (
        FEWER,
        "true",
        {"id": "r.id + n", "session_id": "r.session_id || n", "request_id": "NULL"},
    ),
    "generation_avatar": (FEWER, "true", {"id": "md5('avatar' || n)::uuid"}),
    "generation_posewish": (FEWER, "true", {"id": "md5('wish' || n)::uuid"}),
    "generation_poseproject": (FEWER, "true", {"id": "md5('project' || n)::uuid"}),
}


@pytest.mark.timeout(300)  # it fills and reads a big desk, on a machine that may have other work
def test_ten_thousand_rows_cost_no_more_queries_than_ten(house: House) -> None:
    ContentType.objects.get_for_models(*apps.get_models())  # each process asks for these once
    counted = Counted(house)
    few = counted.all()
    crowd(house)
    many = counted.all()
    assert min(Request.objects.count(), Item.objects.count()) >= ROWS
    assert {name: (few[name], many[name]) for name in few if many[name] > few[name]} == {}
    assert {name: count for name, count in many.items() if count > MOST} == {}


class Counted:
    """Opens every page, each kind once, and calls every route that reads; counts what each asks of the database."""

    def __init__(self, house: House) -> None:
        self._house = house
        people = (house.alice, house.newcomer, house.stella)
        self._clients: dict[User | None, Client] = {None: Client(), **{person: Client() for person in people}}
        for person in people:
            self._clients[person].force_login(person)
        self._token = f"Bearer {AccessToken.for_user(house.alice)}"

    def all(self) -> dict[str, int]:
        pages = [*one_of_each(), *(page for page in PAGES if not page.is_whole)]
        # An archive reads its files, and gives the connection back for it.
        reads = [one for one in ROUTES if (one.method, one.who) == ("GET", CUSTOMER) and not one.path.endswith("-zip")]
        return {page.name: self._page(page) for page in pages} | {one.path: self._route(one) for one in reads}

    def _page(self, page: Page) -> int:
        client = self._clients[page.person(self._house)]
        return self._count(client, page.address(self._house), page.status)

    def _route(self, route: Route) -> int:
        return self._count(self._clients[None], route.address(self._house), route.ok, Authorization=self._token)

    @staticmethod
    def _count(client: Client, address: str, status: int, **headers: str) -> int:
        pulse.forget()
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(address, headers=headers)
        assert answer.status_code == status, address
        return len(asked)


def crowd(house: House) -> None:
    """Make ten thousand of what there is one of."""
    copies = Copies()
    for name, count in SHARES.items():
        copies.of(getattr(house, name).pk, count)
    for name, count in WIDER.items():
        widen(getattr(house, name), count)
    for table, (count, mine, changes) in OTHERS.items():
        copies.rows(table, mine, changes, first=1, last=count)


def widen(request: Request, count: int) -> None:
    """Give a request more items, each like its first."""
    first = request.items.order_by("index")[0].pk
    item_id = {"item_id": f"2000000000 + {first} * 1000 + n"}
    changes = {
        "generation_item": {"id": item_id["item_id"], "public_id": "md5(r.public_id || n)::uuid", "index": "100 + n"},
        "generation_attempt": {**item_id, "id": "3000000000 + r.id * 1000 + n"},
        "generation_asset": {**item_id, "id": "md5(r.id::text || n)::uuid", "key": "r.key || '/' || n"},
    }
    for table, differs in changes.items():
        column = "id" if table == "generation_item" else "item_id"
        Copies.rows(table, f"r.{column} = %(item)s", differs, item=first, first=1, last=count)
