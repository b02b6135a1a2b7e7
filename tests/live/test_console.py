"""`/ws/console`: staff watch numbered ticks."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ConnectionError

from config.models import User
from generation.live import totals
from generation.live.consumers import Console
from generation.live.ticker import Ticker
from tests.live.support import Client, Maker, connected, do, session_of, submit, take, token_of, work_all

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]

PATH = "/ws/console"


async def watching(user: User) -> Any:
    cookie = f"sessionid={await do(session_of, user)}"
    return connected(PATH, headers={"Cookie": cookie, "Origin": "http://testserver"})


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ticker, "tick_s", 0.01)


async def test_staff_see_numbered_ticks_with_the_desks_totals(stella: User, alice: User, maker: Maker) -> None:
    await do(submit, alice, 3)
    await do(take)
    async with await watching(stella) as client:
        first, second = await client.hear(), await client.hear()
        assert second["tick"] == first["tick"] + 1
        assert second["ticker"] == first["ticker"]
        assert first["queue"]["by_status"] == {"queued": 2, "held": 0, "running": 1, "waiting": 0}
        assert first["queue"]["by_priority"] == {"urgent": 0, "high": 0, "normal": 2, "low": 0}
        assert (first["queue"]["waiting"], first["queue"]["in_progress"]) == (2, 1)
        assert first["queue"]["oldest_waiting_s"] >= 0
        lane = next(lane for lane in first["lanes"] if lane["name"] == "provider_d")
        assert (lane["waiting"], lane["in_flight"], lane["cap"], lane["state"]) == (2, 1, 50, "flowing")
        assert "desk" not in [lane["name"] for lane in first["lanes"]]


async def test_what_ended_in_the_last_minute_is_counted(stella: User, alice: User, maker: Maker) -> None:
    await do(submit, alice, 2)
    await do(work_all)
    async with await watching(stella) as client:
        assert (await client.hear())["last_minute"] == {"succeeded": 2, "failed": 0, "cancelled": 0}


async def test_one_read_is_shown_to_all_who_watch(
    stella: User, make_customer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = totals.read
    monkeypatch.setattr(totals, "read", lambda: reads.append(1) or read())
    other = await do(lambda: make_customer("stan", is_staff=True))
    async with await watching(stella) as one, await watching(other) as two:
        ones = {(await one.hear())["tick"] for _ in range(5)}
        twos = {(await two.hear())["tick"] for _ in range(5)}
        assert ones & twos
    assert len(reads) <= max(ones | twos) + 50


async def test_totals_that_could_not_be_read_leave_a_gap_in_the_numbers(
    stella: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, outcomes = totals.read, [0, 1, 0]

    def sometimes() -> dict[str, Any]:
        if outcomes and outcomes.pop(0):
            raise RuntimeError
        return read()

    monkeypatch.setattr(totals, "read", sometimes)
    async with await watching(stella) as client:
        assert [(await client.hear())["tick"] for _ in range(2)] == [1, 3]


async def test_a_slow_watcher_misses_ticks_instead_of_piling_them_up() -> None:
    console = Console({"type": "websocket", "headers": []}, None, None)  # type: ignore[arg-type]
    for number in range(10):
        console.show(f"tick {number}")
    assert [text for text, _ in console._outbox] == ["tick 0"]
    _, emptied = console._outbox.popleft()
    emptied()  # type: ignore[misc]
    console.show("tick 10")
    assert [text for text, _ in console._outbox] == ["tick 10"]


async def test_with_redis_down_the_workers_are_unknown_and_the_rest_is_told(
    stella: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> None:
        raise ConnectionError

    monkeypatch.setattr("generation.queue.workers", down)
    async with await watching(stella) as client:
        tick = await client.hear()
        assert tick["workers"] is None
        assert tick["queue"]["waiting"] == 0


async def test_customers_and_strangers_see_nothing(alice: User, stella: User) -> None:
    async with await watching(alice) as client:
        assert await client.code() == 4403
    async with connected(PATH) as client:
        assert await client.code() == 4401
    async with connected(PATH, stella) as client:  # a token is not a session
        assert await client.code() == 4401
    key = await do(session_of, stella)
    for headers in ({}, {"Origin": "https://evil.example"}):
        async with connected(PATH, headers={"Cookie": f"sessionid={key}", **headers}) as client:
            assert await client.code() == 4403


async def test_who_is_staff_no_longer_is_sent_away(stella: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.live.auth.CHECK_AGAIN_S", 0.05)
    async with await watching(stella) as client:
        await client.hear()
        await do(lambda: User.objects.filter(pk=stella.pk).update(is_staff=False))
        assert await client.code() == 4403


async def test_the_clock_stops_when_nobody_watches(stella: User) -> None:
    async with await watching(stella) as client:
        await client.hear()
        await client.say(type="dance")
        assert "INVALID_MESSAGE" in str(await client.hear_until(lambda message: message["type"] == "error"))
    assert Ticker.here()._task is None


async def test_a_token_in_the_query_opens_no_console(stella: User) -> None:
    client = Client(f"{PATH}?token={await do(token_of, stella)}")
    await client.connect()
    assert await client.code() == 4401
    await client.disconnect()
