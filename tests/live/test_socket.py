"""What every socket does: bounds, slow readers, a real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from config.asgi import application
from config.logging import redact
from config.models import User
from generation.live import socket
from generation.live.reader import Reader
from generation.live.socket import Socket
from tests.live.support import Maker, do, submit_one, token_of, work_all

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]


class Wire:
    """The server's side of a connection whose client has stopped reading."""

    def __init__(self, user_token: str, *, stalls_after: int) -> None:
        self.scope = {
            "type": "websocket",
            "headers": [(b"authorization", f"Bearer {user_token}".encode())],
            "subprotocols": [],
        }
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.outgoing: list[dict[str, Any]] = []
        self._left = stalls_after

    async def send(self, message: dict[str, Any]) -> None:
        if self._left == 0 and message["type"] == "websocket.send":
            await asyncio.Event().wait()
        self._left -= message["type"] == "websocket.send"
        self.outgoing.append(message)


class Flooding(Socket):
    """Pushes what it is told to."""

    send_s = 0.05

    def __init__(self, *args: Any, messages: int) -> None:
        super().__init__(*args)
        self._messages = messages

    async def let_in(self) -> None:
        for number in range(self._messages):
            self.push(json.dumps(number))


@pytest.mark.parametrize("messages", [1, socket.MOST_WAITING + 1])
async def test_a_slow_reader_is_closed(alice: User, messages: int) -> None:
    wire = Wire(await do(token_of, alice), stalls_after=0)
    await Flooding(wire.scope, wire.incoming.get, wire.send, messages=messages).run()
    assert wire.outgoing[-1]["code"] == socket.SLOW


async def test_big_messages_are_bounded_by_their_size(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "MOST_WAITING_CHARS", 100)
    waiting = Socket({"type": "websocket", "headers": []}, None, None)  # type: ignore[arg-type]
    for _ in range(10):
        waiting.push("x" * 50)
    assert waiting._closing == (socket.SLOW, "too slow")
    assert not waiting._outbox


async def test_a_client_that_pings_in_a_burst_and_reads_is_not_slow(alice: User) -> None:
    from tests.live.support import connected

    async with connected("/ws/live", alice) as client:
        for _ in range(2 * socket.MOST_WAITING):
            await client.say(type="ping")
        for _ in range(2 * socket.MOST_WAITING):
            assert await client.hear() == {"type": "pong"}


async def test_what_is_wanted_at_one_moment_is_read_once() -> None:
    rounds: list[list[int]] = []

    def read_many(keys: Any) -> dict[int, int | Exception]:
        rounds.append(list(keys))
        return {key: key * 10 if key else ValueError("zero") for key in keys}

    reader: Reader[int, int] = Reader(read_many)
    wanted = [reader.want(key) for key in (1, 2, 1, 0, 1)]
    found = await asyncio.gather(*wanted, return_exceptions=True)
    assert rounds == [[1, 2, 0]]
    assert [repr(one) for one in found] == ["10", "20", "10", "ValueError('zero')", "10"]


async def test_a_token_in_the_path_does_not_reach_the_log(alice: User) -> None:
    token = await do(token_of, alice)
    assert token not in redact(f'127.0.0.1:1 - "WebSocket /ws/visual-generation?token={token}" [accepted]')


async def test_over_a_real_server_with_a_real_client(
    alice: User, maker: Maker, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    item, token = await do(submit_one, alice), await do(token_of, alice)
    server = uvicorn.Server(
        uvicorn.Config(application, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws_ping_interval=None)
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())
    async with asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}"

        with pytest.raises(ConnectionClosed) as closed:
            async with connect(f"{url}/ws/visual-generation?token=nonsense") as stranger:
                await stranger.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
        with pytest.raises(Exception, match="403"):
            await connect(f"{url}/ws/no/where")

        async with connect(f"{url}/ws/visual-generation", subprotocols=["bearer", token]) as client:  # type: ignore[list-item]
            assert client.subprotocol == "bearer"
            await client.send(json.dumps({"type": "subscribe", "requestId": item.public_id}))
            assert json.loads(await client.recv())["data"]["event"] == "snapshot"
            await do(work_all)
            event = ""
            while event != "request-completed":
                event = json.loads(await client.recv())["data"]["event"]
            server.should_exit = True  # a deploy: the client is told to come back
            with pytest.raises(ConnectionClosed) as ended:
                await client.recv()
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1012
        await serving
    assert "Traceback" not in caplog.text
