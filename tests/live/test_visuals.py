"""`/ws/visual-generation`, as its contract tells it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from config.models import User
from generation import engine, events
from generation.engine import working
from generation.live import consumers
from generation.live.follow import Subscription
from generation.models import Event, EventKind, Item
from providers.errors import Refused, Unavailable
from tests.live.support import Client, Maker, connected, do, session_of, submit, submit_one, take, token_of, work_all

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]

PATH = "/ws/visual-generation"


def is_over(message: dict[str, Any]) -> bool:
    return message["data"]["event"] in ("request-completed", "request-failed", "request-cancelled")


@pytest.mark.parametrize("how", ["header", "query", "subprotocol"])
async def test_a_token_opens_the_socket(alice: User, how: str) -> None:
    token = await do(token_of, alice)
    client = {
        "header": lambda: Client(PATH, headers={"Authorization": f"Bearer {token}"}),
        "query": lambda: Client(f"{PATH}?token={token}"),
        "subprotocol": lambda: Client(PATH, subprotocols=["bearer", token]),
    }[how]()
    assert await client.connect() == (True, "bearer" if how == "subprotocol" else None)
    await client.say(type="ping")
    assert await client.hear() == {"type": "pong"}
    await client.disconnect()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer"}])
async def test_without_a_good_token_the_socket_is_closed_after_the_accept(headers: dict[str, str]) -> None:
    client = Client(PATH, headers=headers)
    assert (await client.connect())[0]
    assert await client.code() == 4401
    await client.disconnect()


async def test_a_session_cookie_is_no_token_here(alice: User) -> None:
    key = await do(session_of, alice)
    client = Client(PATH, headers={"Cookie": f"sessionid={key}", "Origin": "http://testserver"})
    await client.connect()
    assert await client.code() == 4401
    await client.disconnect()


async def test_a_subscriber_sees_a_snapshot_and_then_each_change_in_order(alice: User, maker: Maker) -> None:
    item = await do(submit_one, alice)
    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", requestId=item.public_id)
        snapshot = await client.hear()
        assert (snapshot["type"], snapshot["requestId"]) == ("update", item.public_id)
        assert snapshot["data"]["event"] == "snapshot"
        assert (snapshot["data"]["status"], snapshot["data"]["queuePosition"]) == ("queued", 1)
        await do(work_all)
        updates = await client.hear_until(is_over)
        assert updates[-1]["data"]["event"] == "request-completed"
        assert updates[-1]["data"]["message"]
        assert updates[-1]["data"]["result"]["imageUrl"].startswith("http://testserver/files/")
        assert "imageData" not in updates[-1]["data"]["result"]
        seqs = [message["data"]["seq"] for message in [snapshot, *updates]]
        assert seqs == sorted(set(seqs))
        assert await client.hears_nothing()


async def test_the_start_is_told_before_the_end(alice: User, maker: Maker) -> None:
    item = await do(submit_one, alice)
    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", requestId=item.public_id)
        await client.hear()
        claim = await do(take)
        await do(working.begin, claim)
        assert (await client.hear())["data"]["event"] == "request-started"


async def test_a_retry_and_the_final_failure_are_told_with_their_reason(alice: User, maker: Maker) -> None:
    item = await do(submit_one, alice)
    maker.acts = [Unavailable(), Refused()]
    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", requestId=item.public_id)
        await client.hear()
        claim = await do(take)
        await do(engine.work, claim)
        retrying = await client.hear_until(lambda message: message["data"]["event"] == "request-retrying")
        assert retrying[-1]["data"]["status"] == "queued"
        await do(work_all)
        data = (await client.hear_until(is_over))[-1]["data"]
        assert (data["event"], data["status"], data["creditsRefunded"]) == ("request-failed", "failed", 1)
        assert data["error"]["code"] == "INVALID_INPUT"


async def test_the_end_is_told_once_and_what_follows_it_is_a_snapshot(alice: User, maker: Maker) -> None:
    item = await do(submit_one, alice)
    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", requestId=item.public_id)
        await client.hear()
        await do(work_all)
        await client.hear_until(is_over)
        await do(lambda: engine.refund(item.pk, 1, reason="late", actor="stella", form_key="f1"))
        after = await client.hear()
        assert (after["data"]["event"], after["data"]["creditsRefunded"]) == ("snapshot", 1)
        assert await client.hears_nothing()


async def test_a_cancel_of_a_whole_batch_reaches_each_subscribed_member(alice: User) -> None:
    batch = await do(submit, alice, 3)
    names = await do(lambda: list(batch.items.values_list("public_id", flat=True)))
    async with connected(PATH, alice) as client:
        for name in names:
            await client.say(type="subscribe", requestId=name)
            await client.hear()
        await do(engine.cancel, batch.pk)
        ended = [await client.hear() for _ in names]
        assert {message["requestId"] for message in ended} == set(names)
        assert {message["data"]["event"] for message in ended} == {"request-cancelled"}


async def test_several_sockets_follow_one_request_and_share_its_text(alice: User, maker: Maker) -> None:
    item = await do(submit_one, alice)
    async with connected(PATH, alice) as one, connected(PATH, alice) as other:
        for client in (one, other):
            await client.say(type="subscribe", requestId=item.public_id)
            await client.hear()
        await do(work_all)
        assert (await one.hear_until(is_over))[-1] == (await other.hear_until(is_over))[-1]


@pytest.mark.parametrize(
    "name",
    ["vga_unknown", "bobs", "x" * 65, "a\0b", "\ud800", "ü"],  # the database could not be asked for most
    ids=["unknown", "foreign", "long", "nul", "half-a-pair", "letter"],
)
async def test_unknown_and_foreign_ids_are_not_found_and_the_connection_stays(
    alice: User, bob: User, name: str
) -> None:
    foreign = await do(submit_one, bob)
    name = foreign.public_id if name == "bobs" else name
    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", requestId=name)
        assert await client.hear() == {
            "type": "error",
            "requestId": name,
            "code": "NOT_FOUND",
            "error": "Request not found",
        }
        assert await client.hears_nothing()


async def test_two_people_never_hear_each_other(alice: User, bob: User, maker: Maker) -> None:
    hers, his = await do(submit_one, alice), await do(submit_one, bob)
    async with connected(PATH, alice) as alices, connected(PATH, bob) as bobs:
        await alices.say(type="subscribe", requestId=hers.public_id)
        await bobs.say(type="subscribe", requestId=his.public_id)
        await alices.hear()
        await bobs.hear()
        await do(work_all)
        for client, item in ((alices, hers), (bobs, his)):
            heard = await client.hear_until(is_over)
            assert {message["requestId"] for message in heard} == {item.public_id}
            assert await client.hears_nothing()


async def test_after_unsubscribe_there_are_no_updates(alice: User, maker: Maker) -> None:
    item = await do(submit_one, alice)
    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", requestId=item.public_id)
        await client.hear()
        await client.say(type="unsubscribe", requestId=item.public_id)
        assert await client.hear() == {"type": "unsubscribed", "requestId": item.public_id}
        await do(work_all)
        assert await client.hears_nothing()


@pytest.mark.parametrize(
    "text",
    ["not json", "[]", '"text"', "{}", '{"type": 7}', '{"type": "dance"}', '{"type": "subscribe"}']
    + ['{"type": "subscribe", "requestId": 5}', '{"type": "subscribe", "requestId": ""}', "[" * 5000]
    + ['{"type": "ping", "x": "%s"}' % ("x" * 20000)],
)
async def test_what_cannot_be_understood_is_said_and_the_connection_stays(alice: User, text: str) -> None:
    async with connected(PATH, alice) as client:
        await client.send_text(text)
        answer = await client.hear()
        assert (answer["type"], answer["code"]) == ("error", "INVALID_MESSAGE")
        assert await client.hears_nothing()


@pytest.mark.parametrize(("frame", "answer"), [(b'{"type": "ping"}', "pong"), (b"\xff\xfe", "error"), (b"", "error")])
async def test_a_frame_may_be_binary(alice: User, frame: bytes, answer: str) -> None:
    async with connected(PATH, alice) as client:
        await client.send_input({"type": "websocket.receive", "bytes": frame})
        assert (await client.hear())["type"] == answer


async def test_a_connection_follows_a_bounded_number_of_requests(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MOST_SUBSCRIPTIONS", 2)
    names = await do(lambda: [item.public_id for item in submit(alice, 3).items.order_by("index")])
    async with connected(PATH, alice) as client:
        for name in names[:2]:
            await client.say(type="subscribe", requestId=name)
            await client.hear()
        await client.say(type="subscribe", requestId=names[2])
        assert (await client.hear())["code"] == "TOO_MANY_SUBSCRIPTIONS"
        await client.say(type="subscribe", requestId=names[1])  # again is not one more
        assert (await client.hear())["data"]["event"] == "snapshot"


async def test_a_burst_of_changes_is_one_message_with_the_newest_state(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subscription, "interval_s", 0.4)
    item = await do(submit_one, alice)

    def progress(percent: int) -> None:
        with events.change(item.request_id) as change:
            Item.objects.filter(pk=item.pk).update(status="WAITING", progress=percent)
            change.record(EventKind.PROGRESS, item.pk, progress=percent)

    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", requestId=item.public_id)
        await client.hear()
        for percent in range(10, 60):
            await do(progress, percent)
        heard = await client.hear_until(lambda message: message["data"]["progress"] == 59)
        assert len(heard) < 10
        assert heard[-1]["data"]["seq"] == (await do(Event.objects.order_by("-seq").first)).seq
        assert await client.hears_nothing()


async def test_a_disabled_person_is_sent_away_at_the_next_subscribe(alice: User) -> None:
    item = await do(submit_one, alice)
    async with connected(PATH, alice) as client:
        await do(lambda: User.objects.filter(pk=alice.pk).update(is_active=False))
        await client.say(type="subscribe", requestId=item.public_id)
        assert await client.code() == 4401


async def test_the_socket_ends_when_its_token_does(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.live.auth.token_expiry", lambda raw: timezone.now())
    async with connected(PATH, alice) as client:
        assert await client.hears_nothing()  # checked again, and still good
        await do(lambda: User.objects.filter(pk=alice.pk).update(is_active=False))
        assert await client.code() == 4401


async def test_an_expired_token_is_refused_and_no_guess(alice: User, settings: Any) -> None:
    from rest_framework_simplejwt.tokens import AccessToken

    settings.REFUSED_TOKEN_LIMIT = 1
    token = AccessToken.for_user(alice)
    token.set_exp(lifetime=-timedelta(seconds=1))
    for _ in range(2):
        client = Client(PATH, headers={"Authorization": f"Bearer {token}"})
        await client.connect()
        assert await client.code() == 4401
        await client.disconnect()


async def test_many_refused_tokens_of_one_address_are_told_to_slow_down(settings: Any) -> None:
    settings.REFUSED_TOKEN_LIMIT = 1
    codes = []
    for _ in range(2):
        client = Client(PATH, headers={"Authorization": "Bearer nonsense"})
        await client.connect()
        codes.append(await client.code())
        await client.disconnect()
    assert codes == [4401, 4429]


async def test_a_socket_that_brings_no_token_is_no_guess(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REFUSED_TOKEN_LIMIT = 1
    monkeypatch.setattr("generation.live.socket.Socket.first_message_s", 0.05)
    for _ in range(2):
        client = Client(PATH)
        await client.connect()
        assert await client.code() == 4401
        await client.disconnect()


async def test_a_page_of_another_site_is_turned_away(alice: User, settings: Any) -> None:
    token = await do(token_of, alice)
    headers = {"Authorization": f"Bearer {token}", "Origin": "https://elsewhere.example"}
    client = Client(PATH, headers=headers)
    await client.connect()
    assert await client.code() == 4403
    await client.disconnect()
    settings.CORS_ALLOWED_ORIGINS = ["https://elsewhere.example"]
    async with connected(PATH, headers=headers) as welcome:
        assert await welcome.hears_nothing()


async def test_an_unknown_path_and_a_foreign_host_are_refused_before_the_accept() -> None:
    for client in (Client("/ws/nowhere/at/all"), Client(PATH, headers={})):
        if client.scope["path"] == PATH:
            client.scope["headers"] = [(b"host", b"evil.example")]
        assert not (await client.connect())[0]
        await client.wait()


async def test_emptying_redis_loses_nothing(alice: User, maker: Maker) -> None:
    from config.api import redis

    item = await do(submit_one, alice)
    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", requestId=item.public_id)
        await client.hear()
        await asyncio.to_thread(redis.client().flushdb)
        await do(work_all)
        assert (await client.hear_until(is_over))[-1]["data"]["status"] == "completed"
