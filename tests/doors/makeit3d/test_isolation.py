"""Nobody learns of anybody else's work: not by ids, task ids, file paths, links, lists or the socket."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from generation import storage
from generation.doors.makeit3d.catalogue import OPERATIONS
from generation.models import Asset, Item, ItemStatus, Request
from tests.doors.makeit3d.desk import Customer, item_of, items_of, refusal_of
from tests.doors.visuals.desk import assert_no_vendor, work
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]

PERSONAL = ("instance", "trace_id")


def same(*answers: Any) -> bool:
    """Do these refusals tell exactly the same?"""
    bodies = [{key: value for key, value in one.json().items() if key not in PERSONAL} for one in answers]
    return all(body == bodies[0] for body in bodies) and len({one.status_code for one in answers}) == 1


@pytest.fixture
def bobs_picture(bobs: Customer) -> tuple[str, str]:
    """A finished picture of Bob's: its request and its link."""
    request_id = bobs.asked("text-to-image", provider="openai", task_id="chair")
    work()
    return request_id, bobs.status(request_id)["asset_url"]


def test_ids_and_task_ids_of_others_are_missing(alices: Customer, bobs_picture: tuple[str, str]) -> None:
    request_id, _ = bobs_picture
    missing = alices.call("GET", "/tasks/00000000-0000-4000-8000-000000000000/status")
    for name in (request_id, request_id.upper(), "chair", item_of(request_id).public_id):
        answer = alices.call("GET", f"/tasks/{name}/status")
        assert refusal_of(answer) == (404, "TASK_NOT_FOUND")
        assert same(answer, missing)


def test_the_same_task_id_belongs_to_each_of_them_alone(
    alices: Customer, bobs: Customer, bobs_picture: tuple[str, str]
) -> None:
    mine = alices.asked("text-to-image", provider="openai", task_id="chair", n=2)
    work()
    assert len(alices.rows("images", task_id="chair")) == 2
    assert len(bobs.rows("images", task_id="chair")) == 1
    assert alices.status("chair")["credits_charged"] == 4
    keys = set(Asset.objects.filter(kind="image").values_list("key", flat=True))
    assert keys == {f"images/chair/{mine}_{index}.png" for index in range(2)} | {
        f"images/chair/{bobs_picture[0]}_0.png"
    }


def test_lists_hold_ones_own_rows_only(alices: Customer, bobs_picture: tuple[str, str]) -> None:
    for table in ("images", "models"):
        for query in ({}, {"task_id": "chair"}, {"status": "complete"}):
            assert alices.page(table, **query) == {"count": 0, "results": []}


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.inputs], ids=lambda one: one.name)
def test_no_route_takes_anothers_file(alices: Customer, bobs: Customer, operation: Any) -> None:
    """Nor a guessed path, nor a link with a good signature that came from its owner."""
    body = alices.body_of(operation.name)
    for field in operation.inputs:
        what = "model" if field.word == "model" else "picture"
        theirs = bobs.link_to(what)
        guessed = f"http://testserver/files/{storage.input_key(alices.user.pk, alices.user.pk, 'png')}"  # type: ignore[union-attr]
        answers = [
            alices.post(operation.name, {**body, field.name: [link] if field.most else link})
            for link in (theirs, theirs.partition("?")[0], guessed)
        ]
        assert [refusal_of(one) for one in answers] == [(404, "INPUT_ASSET_NOT_FOUND")] * 3
        assert same(*answers)
    assert alices.balance == 100
    assert not Request.objects.exists()


def test_a_draft_of_another_or_of_nobody_is_missing(alices: Customer, bobs: Customer) -> None:
    theirs = bobs.asked("text-to-model", provider="tripo")
    work()
    model = item_of(theirs)
    assert model.status == ItemStatus.SUCCEEDED
    answers = [
        alices.post("refine-model", draft_model_task_id=name)
        for name in (theirs, model.public_id, "00000000-0000-4000-8000-000000000000", "chair")
    ]
    assert [refusal_of(one) for one in answers] == [(404, "DRAFT_MODEL_NOT_FOUND")] * 4
    assert same(*answers)
    assert alices.balance == 100


# --- Files ---------------------------------------------------------------------------------------


def test_a_link_works_for_whoever_holds_it_and_only_as_it_is(alices: Customer, bobs_picture: tuple[str, str]) -> None:
    _, link = bobs_picture
    assert alices.fetched(link).startswith(b"\x89PNG")
    path = link.removeprefix("http://testserver")
    key = urlsplit(path).path.removeprefix("/files/")
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    later, signature = int(query["expires"]) + 3600, query["signature"]
    other = Asset.objects.get(kind="thumbnail").key
    altered = [
        f"/files/{key}",
        f"/files/{key}?expires={query['expires']}",
        f"/files/{key}?expires={query['expires']}&signature=",
        f"/files/{key}?expires={query['expires']}&signature={signature[:-1]}",
        f"/files/{key}?expires={query['expires']}&signature={signature.swapcase()}",
        f"/files/{key}?expires={later}&signature={signature}",
        f"/files/{key}?expires=1&signature={signature}",
        f"/files/{other}?expires={query['expires']}&signature={signature}",
        f"/files/images/../{key}?expires={query['expires']}&signature={signature}",
    ]
    for one in altered:
        for customer in (alices, Customer(None)):
            assert customer.http.get(one, headers=customer.given).status_code == 404, one


def test_an_expired_link_leads_nowhere(alices: Customer, bobs_picture: tuple[str, str]) -> None:
    key = Asset.objects.get(kind="image").key
    expired = storage._signed(key, int(time.time()) - 1)
    assert alices.http.get(expired).status_code == 404
    assert alices.fetched(storage._signed(key, int(time.time()) + 60)).startswith(b"\x89PNG")


def test_no_answer_or_row_names_a_vendor(alices: Customer, simulator: Remote) -> None:
    """Each answer is looked at where it is given; here are the rows, as somebody with the database alone sees them."""
    simulator.faults("stability", "filtered")
    for body in (
        {"provider": "stability"},
        {"provider": "recraft", "model": "recraftv2", "style": "line_art"},
        {"provider": "openai", "style": "vivid"},
        {"provider": "flux"},
    ):
        alices.asked("text-to-image", **body)
    alices.asked("text-to-model", provider="tripo", model_version="v2.0-20240919")
    work()
    for model in (Request, Item, Asset):
        for row in model.objects.values():  # type: ignore[attr-defined]
            assert_no_vendor(str(row))
    assert [len(items_of(row["celery_task_id"])) for row in alices.rows("images")] == [1, 1, 1, 1]
