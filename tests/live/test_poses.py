"""`/ws/pose-generator`, as its contract tells it, and the Redis channel beside it."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis.asyncio import Redis

from config.models import User
from generation import engine, events
from generation.live.consumers import Following, Readers
from generation.live.hub import Hint, Hub
from generation.live.socket import Socket
from generation.models import Request
from providers.errors import Refused, Unavailable
from tests.live.pose_desk import PATH, PoseClient, change_background, generate, opened, told, work
from tests.live.support import Maker, do, token_of, work_all

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]


# --- Coming in -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["header", "query", "subprotocol", "auth", "type auth", "subscribe"])
async def test_a_token_opens_the_socket_and_it_says_so_once(alice: User, how: str) -> None:
    token = await do(token_of, alice)
    client = {
        "header": lambda: PoseClient(PATH, headers={"Authorization": f"Bearer {token}"}),
        "query": lambda: PoseClient(f"{PATH}?token={token}"),
        "subprotocol": lambda: PoseClient(PATH, subprotocols=["bearer", token]),
    }.get(how, lambda: PoseClient(PATH))()
    assert await client.connect() == (True, "bearer" if how == "subprotocol" else None)
    match how:
        case "auth":
            await client.say(event="auth", token=token)
        case "type auth":
            await client.say(type="auth", token=token)
        case "subscribe":
            await client.say(type="subscribe", token=token)
    connected = await client.hear()
    assert (connected["event"], connected["userId"]) == ("connected", str(alice.pk))
    assert connected["message"]
    if how == "subscribe":
        assert await client.hear() == {"event": "subscribed", "generationId": None}
    assert await client.hears_nothing()
    await client.disconnect()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer"}])
async def test_a_bad_or_missing_token_is_told_before_the_close(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Socket, "first_message_s", 0.01)
    client = PoseClient(PATH, headers=headers)
    assert (await client.connect())[0]
    error = await client.hear()
    assert (error["event"], error["code"]) == ("error", "TOKEN_INVALID")
    assert error["message"]
    assert await client.code() == 4401
    await client.disconnect()


@pytest.mark.parametrize(
    "first", [{"event": "auth", "token": "nonsense"}, {"event": "auth"}, {"event": "ping"}, {"type": "subscribe"}]
)
async def test_the_first_frame_must_bring_a_good_token(first: dict[str, Any]) -> None:
    client = PoseClient(PATH)
    await client.connect()
    await client.say(**first)
    assert (await client.hear())["code"] == "TOKEN_INVALID"
    assert await client.code() == 4401
    await client.disconnect()


async def test_the_socket_ends_when_its_token_does(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.live.auth.token_expiry", lambda raw: timezone.now())
    async with opened(alice) as client:
        assert await client.hears_nothing()
        await do(lambda: User.objects.filter(pk=alice.pk).update(is_active=False))
        assert await client.code() == 4401


async def test_a_fresh_token_of_the_same_person_may_be_sent(alice: User, bob: User) -> None:
    async with opened(alice) as client:
        await client.say(event="auth", token=await do(token_of, alice))
        assert await client.hear() == {"event": "authenticated"}
        await client.say(event="auth", token=await do(token_of, bob))
        assert (await client.hear())["code"] == "TOKEN_INVALID"
        assert await client.code() == 4401


async def test_a_page_of_another_site_is_turned_away(alice: User, settings: Any) -> None:
    headers = {"Authorization": f"Bearer {await do(token_of, alice)}", "Origin": "https://elsewhere.example"}
    client = PoseClient(PATH, headers=headers)
    await client.connect()
    assert await client.code() == 4403
    await client.disconnect()
    settings.CORS_ALLOWED_ORIGINS = ["https://elsewhere.example"]
    welcome = PoseClient(PATH, headers=headers)
    await welcome.connect()
    assert (await welcome.hear())["event"] == "connected"
    await welcome.disconnect()


# --- What is told --------------------------------------------------------------------------------


async def test_started_every_fifth_pose_the_last_and_one_end_are_told(alice: User, maker: Maker) -> None:
    maker.acts = [Refused(), Refused()]
    async with opened(alice) as client:
        generation = await do(generate, alice, 12)
        await do(work_all)
        heard = await client.hear_end()
        assert told(heard) == [
            ("started", 0, None, 12),
            ("progress", 3, 2, 12),
            ("progress", 8, 2, 12),
            ("progress", 10, 2, 12),
            ("completed", 10, 2, 12),
        ]
        assert {message["event"] for message in heard} == {"pose-generation-update"}
        assert {message["generationId"] for message in heard} == {str(generation.pk)}
        assert {message["userId"] for message in heard} == {str(alice.pk)}
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message["timestamp"]) for message in heard)
        assert heard[0]["message"]
        assert [message["percentage"] for message in heard[1:4]] == [25, 67, 83]
        assert heard[-1]["creditRefunded"] == 2
        assert not any("snapshot" in message for message in heard)
        assert await client.hears_nothing()


async def test_the_end_is_told_once_even_when_something_follows_it(alice: User, maker: Maker) -> None:
    async with opened(alice) as client:
        generation = await do(generate, alice, 2)
        await do(work_all)
        await client.hear_end()
        pose = await do(generation.items.first)
        await do(lambda: engine.refund(pose.pk, 1, reason="late", actor="stella", form_key="f1"))
        await Hub.here().look()
        assert await client.hears_nothing()


async def test_a_generation_of_which_nothing_was_made_has_failed(alice: User, maker: Maker) -> None:
    maker.acts = [Unavailable() for _ in range(3)]
    async with opened(alice) as client:
        await do(generate, alice, 1)
        await do(work_all)
        heard = await client.hear_end()
        assert told(heard) == [("started", 0, None, 1), ("progress", 0, 1, 1), ("failed", 0, None, 1)]
        assert (heard[-1]["code"], heard[-1]["creditRefunded"]) == ("PROVIDER_MAX_RETRIES_EXCEEDED", 1)
        assert heard[-1]["error"]
        assert await client.hears_nothing()


async def test_poses_that_are_cancelled_end_it_once(alice: User, maker: Maker) -> None:
    async with opened(alice) as client:
        generation = await do(generate, alice, 7)
        await do(work, 1)
        await do(engine.cancel, generation.pk)
        heard = await client.hear_end()
        assert told(heard)[1:] == [("progress", 1, 4, 7), ("progress", 1, 6, 7), ("completed", 1, 6, 7)]
        assert await client.hears_nothing()


async def test_a_reopened_generation_starts_and_ends_again(alice: User, maker: Maker) -> None:
    maker.acts = [Refused()]
    async with opened(alice) as client:
        generation = await do(generate, alice, 3)
        await do(work_all)
        await client.hear_end()
        await do(lambda: engine.reopen(generation.pk, actor="stella"))
        await do(work_all)
        assert told(await client.hear_end()) == [
            ("started", 2, None, 3),
            ("progress", 3, 0, 3),
            ("completed", 3, 0, 3),
        ]
        assert await client.hears_nothing()


async def test_every_socket_of_the_owner_hears_and_nobody_else(alice: User, bob: User, maker: Maker) -> None:
    async with opened(alice) as one, opened(alice) as other, opened(bob) as bobs:
        hers, his = await do(generate, alice, 2), await do(generate, bob, 1)
        await do(work_all)
        for client, generation in ((one, hers), (other, hers), (bobs, his)):
            heard = await client.hear_end()
            assert {message["generationId"] for message in heard} == {str(generation.pk)}
            assert await client.hears_nothing()


async def test_requests_of_other_doors_are_not_spoken_of(alice: User, maker: Maker) -> None:
    from tests.live.support import submit

    async with opened(alice) as client:
        await do(submit, alice, 2)
        await do(work_all)
        await Hub.here().look()
        assert await client.hears_nothing()


# --- Changes of backgrounds ----------------------------------------------------------------------


async def test_the_end_of_a_background_change_is_told(alice: User, maker: Maker) -> None:
    generation = await do(generate, alice, 1)
    await do(work_all)
    pose = await do(generation.items.first)
    async with opened(alice) as client:
        assert (await client.hear())["type"] == "completed"
        await do(change_background, pose)
        await do(work_all)
        done = await client.hear()
        assert done["timestamp"]
        assert done["imageUrl"].startswith("http://testserver/files/")
        assert done | {"timestamp": "", "imageUrl": ""} == {
            "event": "pose-generation-update",
            "type": "background_change_complete",
            "generationId": str(generation.pk),
            "userId": str(alice.pk),
            "timestamp": "",
            "poseId": pose.public_id,
            "imageUrl": "",
            "thumbnailUrl": None,
        }
        maker.acts = [Refused()]
        await do(change_background, pose)
        await do(work_all)
        failed = await client.hear()
        assert (failed["type"], failed["poseId"]) == ("background_change_failed", pose.public_id)
        assert (failed["error"], failed["creditRefunded"]) == ("The input could not be processed.", 1)
        assert await client.hears_nothing()


async def test_a_change_that_ended_while_nobody_listened_is_in_the_snapshot(alice: User, maker: Maker) -> None:
    generation = await do(generate, alice, 1)
    await do(work_all)
    await do(change_background, await do(generation.items.first))
    await do(work_all)
    async with opened(alice) as client:
        heard = [await client.hear(), await client.hear()]
        assert [message["type"] for message in heard] == ["completed", "background_change_complete"]
        assert all(message["snapshot"] for message in heard)


# --- Cut in the middle ---------------------------------------------------------------------------


async def test_after_a_reconnect_the_state_is_right(alice: User, maker: Maker) -> None:
    maker.acts = [Refused()]
    async with opened(alice) as client:
        await do(generate, alice, 12)
        await do(work, 7)
        await client.hear_until(lambda message: message["type"] == "progress")
    async with opened(alice) as client:
        snapshot = [await client.hear(), await client.hear()]
        assert told(snapshot) == [("started", 6, None, 12), ("progress", 6, 1, 12)]
        assert all(message["snapshot"] for message in snapshot)
        await do(work, 3)
        live = await client.hear()
        assert (told([live]), "snapshot" in live) == ([("progress", 9, 1, 12)], False)
    await do(work_all)
    async with opened(alice) as client:
        [end] = await client.hear_end()
        assert (told([end]), end["snapshot"]) == ([("completed", 11, 1, 12)], True)
        assert await client.hears_nothing()


async def test_an_end_of_long_ago_is_told_only_to_who_asks(alice: User, maker: Maker) -> None:
    generation = await do(generate, alice, 1)
    await do(work_all)
    await do(lambda: Request.objects.filter(pk=generation.pk).update(finished_at=timezone.now() - timedelta(hours=1)))
    async with opened(alice) as client:
        assert await client.hears_nothing()
        await Hub.here().look()
        assert await client.hears_nothing()
        await client.say(event="subscribe", generationId=str(generation.pk))
        assert await client.hear() == {"event": "subscribed", "generationId": str(generation.pk)}
        assert told([await client.hear()]) == [("completed", 1, 0, 1)]


async def test_what_happens_while_one_comes_in_is_told_once_and_after_the_welcome(
    alice: User, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = Hub.join

    async def join_amid_hints(hub: Hub, listener: Any) -> None:
        await join(hub, listener)
        generation = await do(generate, alice, 1)
        await do(work_all)
        listener.hear(Hint(generation.pk, None, "submitted", 1))
        await asyncio.gather(*Readers.here().poses._wanted.values())

    monkeypatch.setattr(Hub, "join", join_amid_hints)
    async with opened(alice) as client:
        assert told(await client.hear_end()) == [("completed", 1, 0, 1)]
        assert await client.hears_nothing()


async def test_nothing_is_said_of_a_generation_that_has_not_begun(alice: User) -> None:
    await do(generate, alice, 1)
    async with opened(alice) as client:
        assert await client.hears_nothing()


async def test_an_end_without_a_hint_arrives_all_the_same(
    alice: User, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(alice) as client:
        await do(generate, alice, 1)
        await do(work, 0)
        monkeypatch.setattr(events, "announce", lambda change: None)
        new = await do(generate, alice, 1)
        await do(work_all)
        await Hub.here().look()
        ended = {(await client.hear_end())[-1]["generationId"] for _ in range(2)}
        assert str(new.pk) in ended
        await Hub.here().look()
        assert await client.hears_nothing()


# --- One generation ------------------------------------------------------------------------------


async def test_after_a_subscribe_only_that_generation_is_told_and_without_an_id_all_again(
    alice: User, maker: Maker
) -> None:
    wanted, other = await do(generate, alice, 1), await do(generate, alice, 1)
    async with opened(alice) as client:
        await client.say(type="subscribe", generationId=str(wanted.pk))
        assert (await client.hear())["event"] == "subscribed"
        await do(work_all)
        assert {message["generationId"] for message in await client.hear_end()} == {str(wanted.pk)}
        pose = await do(other.items.first)
        await do(change_background, pose)
        await do(work_all)
        await do(change_background, await do(wanted.items.first))
        await do(work_all)
        change = await client.hear()
        assert (change["type"], change["generationId"]) == ("background_change_complete", str(wanted.pk))
        assert await client.hears_nothing()
        await client.say(event="subscribe")
        assert await client.hear() == {"event": "subscribed", "generationId": None}
        snapshot = [await client.hear() for _ in range(4)]
        assert {message["generationId"] for message in snapshot} == {str(wanted.pk), str(other.pk)}
        new = await do(generate, alice, 1)
        await do(work_all)
        assert (await client.hear_end())[-1]["generationId"] == str(new.pk)


@pytest.mark.parametrize("what", ["bobs", "unknown", "no uuid", "a change"])
async def test_a_foreign_generation_is_not_found_and_all_goes_on(
    alice: User, bob: User, maker: Maker, what: str
) -> None:
    his, hers = await do(generate, bob, 1), await do(generate, alice, 1)
    change = await do(change_background, await do(hers.items.first))
    name = {"bobs": str(his.pk), "unknown": str(uuid.uuid4()), "no uuid": "gen-7", "a change": str(change.pk)}[what]
    async with opened(alice) as client:
        await client.say(event="subscribe", generationId=name)
        assert await client.hear() == {
            "event": "error",
            "code": "NOT_FOUND",
            "message": "Generation not found",
            "generationId": name,
        }
        await do(work_all)
        assert (await client.hear_end())[-1]["generationId"] == str(hers.pk)


@pytest.mark.parametrize(
    "text",
    ["not json", "[]", "{}", '{"event": 7}', '{"event": "dance"}', '{"event": "auth"}', '{"type": "unsubscribe"}']
    + ['{"event": "subscribe", "generationId": 5}', r'{"event": "subscribe", "generationId": "a\u0000b"}'],
)
async def test_what_cannot_be_understood_is_said_and_the_connection_stays(alice: User, text: str) -> None:
    async with opened(alice) as client:
        await client.send_text(text)
        answer = await client.hear()
        assert (answer["event"], answer["code"]) == ("error", "INVALID_MESSAGE")
        assert await client.hears_nothing()


async def test_a_ping_is_answered_with_the_time(alice: User) -> None:
    async with opened(alice) as client:
        await client.say(type="ping")
        pong = await client.hear()
        assert pong["event"] == "pong"
        assert pong["timestamp"].endswith("Z")


async def test_a_disabled_person_is_sent_away_at_the_next_subscribe(alice: User) -> None:
    async with opened(alice) as client:
        await do(lambda: User.objects.filter(pk=alice.pk).update(is_active=False))
        await client.say(event="subscribe")
        assert await client.code() == 4401


async def test_only_so_many_are_kept_in_mind(alice: User, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    from generation.live import consumers

    monkeypatch.setattr(consumers, "MOST_FOLLOWED", 2)
    async with opened(alice) as client:
        for _ in range(4):
            new = await do(generate, alice, 1)
            await do(work_all)
            assert (await client.hear_end())[-1]["generationId"] == str(new.pk)
        [listener] = Hub.here()._listeners[alice.pk]
        assert isinstance(listener, Following)
        assert len(listener._subscriptions) == 2


# --- The Redis channel ---------------------------------------------------------------------------


async def test_subscribers_of_the_persons_redis_channel_are_told_too(
    alice: User, bob: User, maker: Maker, settings: Any
) -> None:
    client = Redis.from_url(settings.REDIS_URL)
    async with client, client.pubsub() as ear:
        await ear.subscribe(f"pose-generation:{alice.pk}")
        maker.acts = [Refused()]
        generation = await do(generate, alice, 6)
        await do(generate, bob, 1)
        await do(work_all)
        await do(change_background, await do(generation.items.last))
        await do(work_all)
        heard: list[dict[str, Any]] = []
        async with asyncio.timeout(10):
            while not heard or heard[-1]["type"] != "background_change_complete":
                message = await ear.get_message(ignore_subscribe_messages=True, timeout=5)
                heard += [json.loads(message["data"])] if message else []
    of = {"generationId": str(generation.pk)}
    assert heard == [
        {"type": "started", **of, "completed": 0, "total": 6},
        {"type": "progress", **of, "completed": 4, "total": 6},
        {"type": "progress", **of, "completed": 5, "total": 6},
        {"type": "completed", **of, "completed": 5, "total": 6},
        {"type": "background_change_complete", **of, "completed": 1, "total": 1},
    ]


async def test_with_redis_down_or_a_bug_in_the_telling_the_work_is_done(
    alice: User, maker: Maker, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DOOR_CHANNELS = {"poses": "tests.live.test_poses.faulty"}
    generation = await do(generate, alice, 2)
    await do(work_all)
    assert (await do(Request.objects.get, pk=generation.pk)).status == "COMPLETED"
    assert "a fault in the telling" in caplog.text


def faulty(change: events.Change) -> list[tuple[str, str]]:
    raise KeyError("a fault in the telling")


async def test_only_changes_that_say_something_ask_the_database(
    alice: User, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from generation.doors.poses import telling

    asked: list[Any] = []
    standings = telling.standings
    monkeypatch.setattr(telling, "standings", lambda wanted: asked.append(wanted) or standings(wanted))
    await do(generate, alice, 3)
    assert not asked
    await do(work_all)
    assert len(asked) == 1 + 3  # the start, and the end of each pose
