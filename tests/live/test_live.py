"""`/ws/live`: one request or all of one's own, with what was missed."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from config.models import User
from generation import engine, events
from generation.live import consumers, documents
from generation.live.hub import Hub
from generation.models import Event, EventKind, Request
from tests.live.support import Client, Maker, connected, do, session_of, submit, submit_one, token_of, work_all

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]

PATH = "/ws/live"


def is_over(message: dict[str, Any]) -> bool:
    return message.get("status") in ("completed", "failed", "cancelled")


def kinds(heard: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for message in heard for event in message.get("events", [])]


async def subscribed(client: Client, **what: Any) -> None:
    await client.say(type="subscribe", **what)
    assert await client.hear() == {"type": "subscribed", "request": what.get("request")}


# --- Who may come in -----------------------------------------------------------------------------


async def test_a_page_of_ours_comes_in_by_its_session(alice: User) -> None:
    cookie = f"sessionid={await do(session_of, alice)}"
    async with connected(PATH, headers={"Cookie": cookie, "Origin": "http://testserver"}) as client:
        await subscribed(client)


@pytest.mark.parametrize("origin", ["https://evil.example", "https://testserver", "http://testserver:81", "null", None])
async def test_a_session_counts_for_nothing_from_another_page(alice: User, origin: str | None) -> None:
    headers = {"Cookie": f"sessionid={await do(session_of, alice)}", **({"Origin": origin} if origin else {})}
    async with connected(PATH, headers=headers) as client:
        assert await client.code() == 4403


async def test_a_page_that_cors_names_comes_in(alice: User, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    cookie = f"sessionid={await do(session_of, alice)}"
    async with connected(PATH, headers={"Cookie": cookie, "Origin": "https://app.example"}) as client:
        await subscribed(client)


async def test_behind_a_proxy_the_page_is_known_by_its_own_scheme(alice: User, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    headers = {"Cookie": f"sessionid={await do(session_of, alice)}", "Origin": "https://testserver"}
    async with connected(PATH, headers={**headers, "X-Forwarded-Proto": "https"}) as client:
        await subscribed(client)


@pytest.mark.parametrize("key", ["nonsense", ""])
async def test_a_session_that_is_none_opens_nothing(key: str) -> None:
    headers = {"Cookie": f"sessionid={key}", "Origin": "http://testserver"}
    async with connected(PATH, headers=headers) as client:
        await client.say(type="subscribe")
        assert await client.code() == 4401


async def test_a_logged_out_page_is_sent_away_at_the_next_subscribe(alice: User) -> None:
    from django.contrib.sessions.models import Session

    cookie = f"sessionid={await do(session_of, alice)}"
    async with connected(PATH, headers={"Cookie": cookie, "Origin": "http://testserver"}) as client:
        await subscribed(client)
        await do(Session.objects.all().delete)
        await client.say(type="subscribe")
        assert await client.code() == 4401


async def test_the_first_message_may_bring_the_token(alice: User) -> None:
    token = await do(token_of, alice)
    async with connected(PATH) as client:
        await client.say(type="auth", token=token)
        assert await client.hear() == {"type": "authenticated"}
        await subscribed(client)
    async with connected(PATH) as client:
        await client.say(type="subscribe", token=token)
        assert await client.hear() == {"type": "subscribed", "request": None}


@pytest.mark.parametrize("first", [{"type": "subscribe"}, {"type": "auth", "token": "nonsense"}, {"type": "ping"}])
async def test_without_a_token_the_first_message_ends_it(first: dict[str, Any]) -> None:
    async with connected(PATH) as client:
        await client.say(**first)
        assert await client.code() == 4401


async def test_who_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers.Live, "first_message_s", 0.01)
    async with connected(PATH) as client:
        assert await client.code() == 4401


async def test_a_query_token_is_not_taken_here(alice: User) -> None:
    async with connected(f"{PATH}?token={await do(token_of, alice)}") as client:
        await client.say(type="subscribe")
        assert await client.code() == 4401


async def test_a_fresh_token_keeps_the_socket_but_another_persons_ends_it(alice: User, bob: User) -> None:
    async with connected(PATH, alice) as client:
        await client.say(type="auth", token=await do(token_of, alice))
        assert await client.hear() == {"type": "authenticated"}
        await client.say(type="auth", token=await do(token_of, bob))
        assert await client.code() == 4401


# --- One request ---------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["uuid", "public id", "item's public id"])
async def test_a_request_is_followed_from_snapshot_to_end(alice: User, maker: Maker, by: str) -> None:
    request = await do(submit, alice, 2)
    item = await do(request.items.first)
    name = {"uuid": str(request.pk), "public id": request.public_id, "item's public id": item.public_id}[by]
    async with connected(PATH, alice) as client:
        await subscribed(client, request=name)
        snapshot = await client.hear()
        assert snapshot["type"] == "snapshot"
        assert {key: snapshot[key] for key in ("request", "public_id", "door", "group", "status", "progress")} == {
            "request": str(request.pk),
            "public_id": request.public_id,
            "door": "visuals",
            "group": "task-1",
            "status": "queued",
            "progress": 0,
        }
        assert [item["status"] for item in snapshot["items"]] == ["queued", "queued"]
        await do(work_all)
        heard = await client.hear_until(is_over)
        assert {message["type"] for message in heard} == {"event"}
        assert [message["seq"] for message in heard] == sorted({message["seq"] for message in heard})
        assert heard[-1]["progress"] == 100
        assert heard[-1]["counts"]["succeeded"] == heard[-1]["counts"]["total"] == 2
        assert kinds(heard).count("request-completed") == 1
        assert kinds(heard) == [event.kind for event in await do(lambda: list(_told(request)))][1:]
        last = {item["id"]: item for message in heard for item in message["items"]}
        assert all(item["image_url"].startswith("http://testserver/files/") for item in last.values())
        assert await client.hears_nothing()


def _told(request: Request) -> Any:
    return Event.objects.filter(request=request).order_by("seq")


async def test_a_change_shows_only_the_items_that_it_is_about(alice: User, maker: Maker) -> None:
    request = await do(submit, alice, 3)
    item = await do(lambda: request.items.get(index=1))
    async with connected(PATH, alice) as client:
        await subscribed(client, request=str(request.pk))
        await client.hear()
        await do(engine.cancel, request.pk, [item.pk])
        change = await client.hear()
        assert [one["id"] for one in change["items"]] == [item.public_id]
        assert change["items"][0]["status"] == "cancelled"
        assert change["counts"] == {**change["counts"], "total": 3, "queued": 2, "cancelled": 1}


async def test_what_was_missed_is_replayed_from_the_last_seq(alice: User, maker: Maker) -> None:
    request = await do(submit, alice)
    async with connected(PATH, alice) as client:
        await subscribed(client, request=str(request.pk))
        seen = (await client.hear())["seq"]
    await do(work_all)
    async with connected(PATH, alice) as client:
        await subscribed(client, request=str(request.pk), last_seq=seen)
        missed = await client.hear()
        rows = await do(lambda: list(_told(request)))
        assert missed["type"] == "event"
        assert [event["seq"] for event in missed["events"]] == [row.seq for row in rows if row.seq > seen]
        assert missed["status"] == "completed"
        # Nothing new since: nothing is told again, the end least of all.
        await subscribed(client, request=str(request.pk), last_seq=missed["seq"])
        assert await client.hears_nothing()


async def test_who_missed_too_much_gets_a_snapshot(alice: User, monkeypatch: pytest.MonkeyPatch, maker: Maker) -> None:
    monkeypatch.setattr(documents, "MOST_EVENTS", 2)
    request = await do(submit, alice, 2)
    await do(work_all)
    async with connected(PATH, alice) as client:
        await subscribed(client, request=str(request.pk), last_seq=1)
        message = await client.hear()
        assert (message["type"], message["status"]) == ("snapshot", "completed")


async def test_a_seq_from_another_desk_gets_a_snapshot(alice: User) -> None:
    request = await do(submit, alice)
    async with connected(PATH, alice) as client:
        await subscribed(client, request=str(request.pk), last_seq=10**9)
        assert (await client.hear())["type"] == "snapshot"


@pytest.mark.parametrize("what", ["bobs", "unknown uuid", "unknown name"])
async def test_foreign_and_unknown_requests_look_the_same(alice: User, bob: User, what: str) -> None:
    his = await do(submit, bob)
    name = {"bobs": str(his.pk), "unknown uuid": str(uuid.uuid4()), "unknown name": "vga_x"}[what]
    async with connected(PATH, alice) as client:
        await client.say(type="subscribe", request=name)
        assert await client.hear() == {
            "type": "error",
            "request": name,
            "code": "NOT_FOUND",
            "error": "Request not found",
        }
        assert await client.hears_nothing()


@pytest.mark.parametrize(
    "message",
    [{"type": "subscribe", "request": "a\0b"}, {"type": "unsubscribe", "request": "a\0b"}]
    + [
        {"type": "subscribe", "request": 7},
        {"type": "subscribe", "last_seq": "3"},
        {"type": "subscribe", "last_seq": -1},
    ]
    + [{"type": "subscribe", "last_seq": True}, {"type": "subscribe", "last_seq": 2**63}, {"type": "dance"}, {}],
)
async def test_what_cannot_be_understood_is_said(alice: User, message: dict[str, Any]) -> None:
    async with connected(PATH, alice) as client:
        await client.say(**message)
        assert (await client.hear())["code"] == "INVALID_MESSAGE"
        assert await client.hears_nothing()


async def test_the_number_of_followed_requests_is_bounded(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MOST_SUBSCRIPTIONS", 1)
    names = await do(lambda: [str(submit(alice).pk) for _ in range(2)])
    async with connected(PATH, alice) as client:
        await subscribed(client, request=names[0])
        await client.hear()
        await client.say(type="subscribe", request=names[1])
        assert (await client.hear())["code"] == "TOO_MANY_SUBSCRIPTIONS"


async def test_a_reopened_request_starts_and_ends_again(alice: User, maker: Maker) -> None:
    from providers.errors import Refused

    maker.acts = [Refused()]
    request = await do(submit, alice)
    async with connected(PATH, alice) as client:
        await subscribed(client, request=str(request.pk))
        await client.hear()
        await do(work_all)
        assert (await client.hear_until(is_over))[-1]["status"] == "failed"
        await do(lambda: engine.reopen(request.pk, actor="stella"))
        again = await client.hear()
        assert (again["status"], again["round"]) == ("running", 1)
        await do(work_all)
        assert (await client.hear_until(is_over))[-1]["status"] == "completed"


# --- All of one's own ----------------------------------------------------------------------------


async def test_all_of_ones_own_begins_with_the_newest_and_hears_of_new_ones(
    alice: User, bob: User, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "NEWEST_SHOWN", 2)
    older = await do(lambda: [submit(alice) for _ in range(3)])
    await do(submit, bob)
    async with connected(PATH, alice) as client:
        await subscribed(client)
        shown = [await client.hear() for _ in range(2)]
        assert [message["request"] for message in shown] == [str(request.pk) for request in older[1:]]
        new = await do(submit, alice)
        born = await client.hear()
        assert (born["type"], born["request"], kinds([born])) == ("event", str(new.pk), ["submitted"])
        assert [item["status"] for item in born["items"]] == ["queued"]
        await do(work_all)
        ended: set[str] = set()
        while len(ended) < 4:
            message = await client.hear()
            if is_over(message):
                ended.add(message["request"])
        assert ended == {str(request.pk) for request in [*older, new]}  # also the one that was not shown at first
        assert await client.hears_nothing()


async def test_after_unsubscribing_from_all_nothing_is_heard(alice: User, maker: Maker) -> None:
    await do(submit, alice)
    async with connected(PATH, alice) as client:
        await subscribed(client)
        await client.hear()
        await client.say(type="unsubscribe")
        assert await client.hear() == {"type": "unsubscribed", "request": None}
        await do(submit, alice)
        await do(work_all)
        assert await client.hears_nothing()


async def test_following_all_keeps_a_bounded_number(alice: User, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MOST_FOLLOWED", 2)
    async with connected(PATH, alice) as client:
        await subscribed(client)
        new = await do(lambda: [submit(alice) for _ in range(4)])
        await do(work_all)
        ended: set[str] = set()
        while len(ended) < 4:
            message = await client.hear()
            if is_over(message):
                ended.add(message["request"])
        assert ended == {str(request.pk) for request in new}


# --- When hints are lost -------------------------------------------------------------------------


async def test_an_end_without_a_hint_arrives_all_the_same(
    alice: User, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await do(submit, alice)
    async with connected(PATH, alice) as one, connected(PATH, alice) as all_of_them:
        await subscribed(one, request=str(request.pk))
        await subscribed(all_of_them)
        await one.hear()
        await all_of_them.hear()
        monkeypatch.setattr(events, "announce", lambda change: None)
        await do(work_all)
        new = await do(submit, alice)
        assert await one.hears_nothing()
        await Hub.here().look()
        assert is_over((await one.hear_until(is_over))[-1])
        heard = [await all_of_them.hear(), await all_of_them.hear()]
        assert {message["request"] for message in heard} == {str(request.pk), str(new.pk)}
        await Hub.here().look()
        assert await one.hears_nothing()
        assert await all_of_them.hears_nothing()


async def test_with_redis_down_sockets_open_and_look_by_themselves(
    alice: User, maker: Maker, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Hub, "deaf_look_s", 0.01)
    settings.CHANNEL_LAYERS = {
        "default": {**settings.CHANNEL_LAYERS["default"], "CONFIG": {"hosts": ["unix:///nowhere/redis.sock"]}}
    }
    request = await do(submit, alice)
    async with connected(PATH, alice) as client:
        await subscribed(client, request=str(request.pk))
        assert (await client.hear())["type"] == "snapshot"
        await do(work_all)
        assert (await client.hear_until(is_over))[-1]["status"] == "completed"
    assert caplog.text.count("hints cannot be heard") == 1


async def test_with_the_database_down_the_client_is_asked_to_come_back(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    async with connected(PATH, alice) as client:

        def down(*args: Any) -> None:
            raise OperationalError

        monkeypatch.setattr(consumers, "find_request", down)
        await client.say(type="subscribe", request="vga_x")
        assert await client.code() == 1013


async def test_a_bug_in_one_document_ends_only_its_sockets(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hers, his = await do(submit, alice), await do(submit, bob)
    spell = documents.spell_request

    def faulty(page: Any, request: Request, *args: Any) -> str:
        if request.pk == hers.pk:
            raise KeyError("bug")
        return spell(page, request, *args)

    monkeypatch.setattr(documents, "spell_request", faulty)
    async with connected(PATH, alice) as alices, connected(PATH, bob) as bobs:
        await asyncio.gather(alices.say(type="subscribe", request=str(hers.pk)), subscribed(bobs, request=str(his.pk)))
        assert (await bobs.hear())["type"] == "snapshot"
        assert await alices.code() == 1011
    assert "a bug in a socket" in caplog.text


async def test_when_the_last_socket_has_left_nothing_is_listened_for(alice: User) -> None:
    async with connected(PATH, alice) as client:
        await subscribed(client)
        hub = Hub.here()
        assert hub._ears
    assert not hub._ears
    assert hub._looking is None


def test_every_kind_of_event_is_documented() -> None:
    from config.env import ROOT

    text = (ROOT / "docs" / "live.md").read_text()
    assert [kind for kind in EventKind.values if f"`{kind}`" not in text] == []


async def test_a_single_item_request_is_followed_by_its_items_name(alice: User) -> None:
    item = await do(submit_one, alice)
    async with connected(PATH, alice) as client:
        await subscribed(client, request=item.public_id)
        assert (await client.hear())["request"] == str(item.request_id)
