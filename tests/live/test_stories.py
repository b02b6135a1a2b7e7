"""`/ws/story-images` and its aliases, as the story-images contract tells them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.db import transaction

from config.models import User
from generation import chores, engine, storage
from generation.doors.stories import mirror, starting
from generation.doors.stories.places import usual
from generation.live import stories
from generation.live.hub import Hub
from generation.models import Event, Item, StorySession
from providers.base import Call, Made, Pending
from tests.doors.stories.desk import story
from tests.live.support import Client, Maker, connected, do, session_of, token_of, work_all

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]

PATH, SESSION = "/ws/story-images", "session456"


class Drawer(Maker):
    """Draws, and finds what it drew clean."""

    def _act(self, call: Call) -> Made | Pending:
        if call.operation == "verify-image":
            verdict = {"has_text": False, "has_annotations": False, "confidence": 1.0}
            return Made((), 0, "main", extra=verdict)  # type: ignore[arg-type]
        return super()._act(call)


@pytest.fixture
def drawer(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> Drawer:
    drawer = Drawer()
    monkeypatch.setattr("providers.registry.adapter", lambda alias: drawer)
    return drawer


def start(owner: User, session: str = SESSION, segments: int = 1, images: int = 1) -> None:
    """What the API does, without HTTP."""
    place = usual(owner.storage_id, session)
    storage.replace(place.source, io.BytesIO(story(segments).encode()))
    ready = starting.prepare(session, place, {"num_images": images})
    with transaction.atomic():
        begun = starting.begin(ready, owner.pk)
    starting.announce(begun)


def finish() -> None:
    work_all()
    while chores.do_next():
        pass


def is_end(message: dict[str, Any]) -> bool:
    return bool(message["type"] == "story_image_complete")


async def subscribed(client: Client, session: str = SESSION) -> None:
    await client.say(type="subscribe", session_id=session)
    assert await client.hear() == {"type": "subscribed", "session_id": session}


# --- Who comes in --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PATH, "/ws", f"/ws/{SESSION}"])
@pytest.mark.parametrize("how", ["header", "query", "subprotocol"])
async def test_a_token_opens_the_socket_by_each_of_its_paths(alice: User, path: str, how: str) -> None:
    token = await do(token_of, alice)
    client = {
        "header": lambda: Client(path, headers={"Authorization": f"Bearer {token}"}),
        "query": lambda: Client(f"{path}?token={token}"),
        "subprotocol": lambda: Client(path, subprotocols=["bearer", token]),
    }[how]()
    assert await client.connect() == (True, "bearer" if how == "subprotocol" else None)
    if SESSION in path:
        assert await client.hear() == {"type": "subscribed", "session_id": SESSION}
    assert await client.hears_nothing()
    await client.disconnect()


async def test_without_a_token_the_socket_is_closed_after_the_accept(alice: User) -> None:
    key = await do(session_of, alice)
    for headers in (
        {},
        {"Authorization": "Bearer nonsense"},
        {"Cookie": f"sessionid={key}", "Origin": "http://testserver"},
    ):
        client = Client(PATH, headers=headers)
        assert (await client.connect())[0]
        assert await client.code() == 4401
        await client.disconnect()


async def test_other_sockets_keep_their_paths(alice: User) -> None:
    async with connected("/ws/live", alice) as client:
        await client.say(type="subscribe", session_id="x")
        assert "session_id" not in await client.hear()


@pytest.mark.parametrize("path", [f"{PATH}?session_id={SESSION}", f"/ws?session_id={SESSION}", f"/ws/{SESSION}"])
async def test_a_session_in_the_address_is_subscribed_at_once(alice: User, drawer: Drawer, path: str) -> None:
    await do(start, alice)
    async with connected(path, alice) as client:
        assert await client.hear() == {"type": "subscribed", "session_id": SESSION}
        snapshot = await client.hear()
        assert (snapshot["type"], snapshot["progress"]["segments_total"]) == ("story_image_progress", 1)
        assert snapshot["progress"]["current_segment"] is None


@pytest.mark.parametrize(
    "message",
    [
        {"type": "subscribe"},
        {"type": "subscribe", "session_id": 7},
        {"type": "subscribe", "session_id": "a b"},
        {"type": "subscribe", "session_id": ".."},
        {"type": "unsubscribe"},
        {"type": "dance"},
        {"session_id": SESSION},
        [],
    ],
)
async def test_a_bad_message_is_answered_and_the_socket_stays(alice: User, message: Any) -> None:
    async with connected(PATH, alice) as client:
        await client.send_text(json.dumps(message))
        answer = await client.hear()
        assert (answer["type"], answer["code"]) == ("error", "INVALID_MESSAGE")
        assert answer["error"]
        assert await client.hears_nothing()


async def test_a_connection_follows_only_so_many_sessions(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "MOST_SUBSCRIPTIONS", 2)
    async with connected(PATH, alice) as client:
        for name in ("one", "two", "one"):
            await subscribed(client, name)
        await client.say(type="subscribe", session_id="three")
        assert (await client.hear())["code"] == "TOO_MANY_SUBSCRIPTIONS"
        await client.say(type="unsubscribe", session_id="one")
        assert await client.hear() == {"type": "unsubscribed", "session_id": "one"}
        await subscribed(client, "three")


# --- What is told --------------------------------------------------------------------------------


async def test_who_subscribed_before_the_start_hears_it_from_its_first_message_on(alice: User, drawer: Drawer) -> None:
    async with connected(PATH, alice) as client:
        await subscribed(client)
        assert await client.hears_nothing()
        await do(start, alice, SESSION, 2, 2)
        await do(finish)
        heard = await client.hear_until(is_end)
        assert heard[0]["progress"]["current_segment"] is None
        percentages = [message["progress"]["overall_percentage"] for message in heard[:-1]]
        assert percentages == sorted(percentages)
        assert set(percentages) == {0, 50, 100}
        steps = [message["progress"]["current_segment_progress"] for message in heard[1:-1]]
        assert {step["current_step"] for step in steps} == {"generating", "verifying", "saving", "completed"}
        assert heard[-1]["status"] == "success"
        assert await client.hears_nothing()


async def test_who_comes_late_hears_the_last_that_was_said(alice: User, drawer: Drawer) -> None:
    await do(start, alice)
    await do(finish)
    async with connected(PATH, alice) as client:
        await subscribed(client)
        snapshot = await client.hear()
        assert (snapshot["type"], snapshot["status"]) == ("story_image_complete", "success")
        assert await client.hears_nothing()


async def test_an_old_story_is_told_after_its_events_were_pruned(alice: User, drawer: Drawer) -> None:
    await do(start, alice)
    await do(finish)
    await do(Event.objects.all().delete)
    async with connected(PATH, alice) as client:
        await subscribed(client)
        assert (await client.hear())["status"] == "success"


async def test_a_session_that_is_started_again_is_told_anew(alice: User, drawer: Drawer) -> None:
    await do(start, alice)
    await do(finish)
    async with connected(PATH, alice) as client:
        await subscribed(client)
        assert is_end(await client.hear())
        await do(start, alice)
        await do(finish)
        heard = await client.hear_until(is_end)
        assert heard[0]["progress"]["segments_completed"] == 0
        assert sum(map(is_end, heard)) == 1


async def test_an_end_is_told_also_when_the_next_run_has_begun_before_it_was_read(
    alice: User, drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(PATH, alice) as client:
        await subscribed(client)
        await do(start, alice)
        assert (await client.hear())["progress"]["segments_completed"] == 0
        with monkeypatch.context() as patch:
            patch.setattr("generation.events._publisher.send", lambda group, message: None)
            await do(finish)
            await do(start, alice)
        await Hub.here().look()
        heard = await client.hear_until(
            lambda message: not is_end(message) and not message["progress"]["current_segment"]
        )
        assert [is_end(one) for one in heard[-2:]] == [True, False]
        await do(finish)
        assert sum(map(is_end, await client.hear_until(is_end))) == 1


async def test_nobody_hears_of_another_persons_session(alice: User, bob: User, drawer: Drawer) -> None:
    async with connected(PATH, bob) as client:
        await subscribed(client)
        await do(start, alice)
        await do(finish)
        await Hub.here().look()
        assert await client.hears_nothing()
        await subscribed(client)
        assert await client.hears_nothing()


async def test_the_end_is_told_after_its_files_are_stored_and_not_before(alice: User, drawer: Drawer) -> None:
    async with connected(PATH, alice) as client:
        await subscribed(client)
        await do(start, alice)
        await do(work_all)
        heard = await client.hear_until(lambda message: message["progress"]["overall_percentage"] == 100)
        assert not any(map(is_end, heard))
        assert await client.hears_nothing()
        await do(finish)
        end = await client.hear()
        assert is_end(end)
        assert await do(storage.has, end["results"]["status_s3_key"])


async def test_an_end_arrives_also_when_no_hint_does(
    alice: User, drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.events._publisher.send", lambda group, message: None)
    async with connected(PATH, alice) as client:
        await subscribed(client)
        await do(start, alice)
        await do(finish)
        assert await client.hears_nothing()
        await Hub.here().look()
        assert is_end((await client.hear_until(is_end))[-1])
        assert await client.hears_nothing()


async def test_a_start_that_is_taken_back_is_not_followed_by_an_earlier_end(
    alice: User, drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await do(start, alice)
    await do(finish)
    async with connected(PATH, alice) as client:
        await subscribed(client)
        assert is_end(await client.hear())

        def fail(request_id: Any) -> str:
            raise storage.StorageError("away")

        with monkeypatch.context() as patch:
            patch.setattr(mirror, "mirror", fail)
            with pytest.raises(Exception, match="storage"):
                await do(start, alice)
        await Hub.here().look()
        await client.say(type="ping")
        heard = await client.hear_until(lambda message: message["type"] == "pong")
        assert not any(map(is_end, heard[:-1]))


async def test_a_run_that_is_called_off_ends_with_its_error(alice: User, drawer: Drawer) -> None:
    async with connected(PATH, alice) as client:
        await subscribed(client)
        await do(start, alice, SESSION, 2)
        await do(lambda: engine.cancel(StorySession.objects.get().request_id))  # type: ignore[arg-type]
        await do(finish)
        end = (await client.hear_until(is_end))[-1]
    assert (end["status"], end["error"]["code"]) == ("failed", "CANCELLED")
    assert [one["error_code"] for one in end["results"]["errors"]] == ["CANCELLED"] * 2
    assert await do(Item.objects.count) == 2
