"""A request of this door, followed on /ws/live and spelled for a door's own socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from config.models import User
from generation.doors.makeit3d import present
from generation.live import reader
from generation.live.reader import ask as do
from generation.models import EventKind, Item
from tests.doors.makeit3d.desk import Customer, item_of
from tests.doors.visuals.desk import assert_no_vendor, work
from tests.live.support import connected

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def quiet_after(transactional_db: None) -> Iterator[None]:
    """No read still under way when the tables are emptied."""
    yield
    for _ in range(reader.THREADS):
        reader._pool.submit(lambda: None).result(5)


def is_over(message: dict[str, Any]) -> bool:
    return message.get("status") in ("completed", "failed", "cancelled")


@pytest.mark.parametrize("by", ["request", "item", "all"])
async def test_a_request_is_followed_to_its_end(alice: User, by: str) -> None:
    request_id = await do(lambda: Customer(alice).asked("text-to-image", provider="stability", task_id="chair"))
    item = await do(item_of, request_id)
    async with connected("/ws/live", alice) as client:
        await client.say(type="subscribe", request={"request": request_id, "item": item.public_id, "all": None}[by])
        assert (await client.hear())["type"] == "subscribed"
        snapshot = await client.hear()
        assert (snapshot["type"], snapshot["request"]) == ("snapshot", request_id)
        assert (snapshot["door"], snapshot["group"], snapshot["status"]) == ("makeit3d", "chair", "queued")
        await do(work)
        heard = await client.hear_until(is_over)
        (shown,) = heard[-1]["items"]
        assert (heard[-1]["status"], shown["status"], shown["progress"]) == ("completed", "succeeded", 100)
        assert f"/files/images/chair/{request_id}_0.png?" in shown["image_url"]
        assert shown["thumbnail_url"]
        assert [message["seq"] for message in heard] == sorted({message["seq"] for message in heard})
        assert_no_vendor(str(heard))


async def test_bob_hears_nothing_of_alices_request(alice: User, bob: User) -> None:
    request_id = await do(lambda: Customer(alice).asked("text-to-image", provider="stability"))
    async with connected("/ws/live", bob) as client:
        await client.say(type="subscribe", request=request_id)
        assert (await client.hear())["code"] == "NOT_FOUND"
        await client.say(type="subscribe")
        assert (await client.hear())["type"] == "subscribed"
        await do(work)
        assert await client.hears_nothing()


async def test_a_model_is_told_with_its_link(alice: User) -> None:
    request_id = await do(lambda: Customer(alice).asked("text-to-model", provider="tripo"))
    async with connected("/ws/live", alice) as client:
        await client.say(type="subscribe", request=request_id)
        await client.hear()
        await client.hear()
        await do(work)
        heard = await client.hear_until(is_over)
        assert f"{request_id}_model.glb?" in heard[-1]["items"][0]["model_url"]


@pytest.mark.django_db(transaction=True)
def test_an_update_is_the_row_with_what_happened_and_a_number(alices: Customer) -> None:
    item = item_of(alices.asked("text-to-image", provider="stability"))
    update = present.present_event(item, EventKind.STARTED, 7, "http://testserver/")
    assert (update["event"], update["seq"], update["progress"]) == ("started", 7, 0)
    row = present.present_item(Item.objects.get(), "http://testserver/")
    assert {name: value for name, value in update.items() if name in row} == row
    assert present.present_event(item, None, 7, "http://testserver/")["event"] == "snapshot"
