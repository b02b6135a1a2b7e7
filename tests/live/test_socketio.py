"""Socket.IO's namespace `/pose-generator`: a real client, over a real server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn
from django.utils import timezone
from engineio.payload import Payload
from socketio import AsyncClient
from socketio.exceptions import ConnectionError

from config.asgi import application
from config.models import User
from generation.live import socketio, transport
from generation.live.auth import Token
from generation.live.hub import Hub
from generation.live.socket import Socket
from providers.errors import Refused
from tests.live.pose_desk import change_background, generate, opened, told, work
from tests.live.support import Maker, do, token_of, work_all

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]

NAMESPACE = "/pose-generator"
Heard = tuple[str, dict[str, Any]]


@pytest.fixture
async def base(settings: Any) -> AsyncIterator[str]:
    """A server on a port of its own."""
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    await socketio.shutdown()
    server.should_exit = True
    await serving


class Ear:
    """A client, and all that it heard."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._http = aiohttp.ClientSession()
        self.client = AsyncClient(reconnection=False, http_session=self._http)
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()
        self.client.on("*", self._hear, namespace=NAMESPACE)
        self.client.on("connect_error", self._refused, namespace=NAMESPACE)
        self.client.on("disconnect", self._left, namespace=NAMESPACE)
        self.refusal: Any = None
        self.left = asyncio.Event()

    async def _hear(self, event: str, payload: dict[str, Any]) -> None:
        self._heard.put_nowait((event, payload))

    async def _refused(self, why: Any) -> None:
        self.refusal = why

    async def _left(self, *why: Any) -> None:
        self.left.set()

    async def connect(self, token: str | None, transports: Any = None, **how: Any) -> None:
        auth = {"token": token} if token else None
        await self.client.connect(
            self.base, namespaces=[NAMESPACE], auth=auth, transports=transports, wait_timeout=10, **how
        )

    async def close(self) -> None:
        await self.client.disconnect()
        await self.client.eio.wait()  # what is still on its way would open another session
        await self._http.close()

    async def hear(self) -> Heard:
        return await asyncio.wait_for(self._heard.get(), 10)

    async def hear_until(self, is_it: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Hear updates up to and with the first that it is."""
        heard: list[dict[str, Any]] = []
        while not heard or not is_it(heard[-1]):
            event, payload = await self.hear()
            assert event == "pose-generation-update", (event, payload)
            heard.append(payload)
        return heard

    async def hear_end(self) -> list[dict[str, Any]]:
        return await self.hear_until(lambda payload: payload["type"] in ("completed", "failed"))

    async def say(self, event: str, **payload: Any) -> None:
        await self.client.emit(event, payload or None, namespace=NAMESPACE)

    async def hears_nothing(self) -> bool:
        await self.say("ping")
        return (await self.hear())[0] == "pong"


async def refused(base: str, token: str | None, transports: Any = None, **how: Any) -> Any:
    """Try to connect; return what the client was told."""
    ear = Ear(base)
    with pytest.raises(ConnectionError):
        await ear.connect(token, transports, **how)
    await ear.close()
    return ear.refusal


@asynccontextmanager
async def listening(base: str, user: User, **how: Any) -> AsyncIterator[Ear]:
    ear = Ear(base)
    await ear.connect(await do(token_of, user), **how)
    try:
        event, payload = await ear.hear()
        assert (event, payload["userId"]) == ("connected", str(user.pk))
        yield ear
    finally:
        await ear.close()


async def everyone_left(server: socketio.Server) -> None:
    async with asyncio.timeout(10):
        while server._tasks or Hub.here()._listeners:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], None])
async def test_started_progress_and_completed_are_received(
    base: str, alice: User, maker: Maker, transports: Any
) -> None:
    maker.acts = [Refused()]
    async with listening(base, alice, transports=transports) as ear:
        generation = await do(generate, alice, 6)
        await do(work_all)
        heard = await ear.hear_end()
        assert told(heard) == [
            ("started", 0, None, 6),
            ("progress", 4, 1, 6),
            ("progress", 5, 1, 6),
            ("completed", 5, 1, 6),
        ]
        assert {payload["generationId"] for payload in heard} == {str(generation.pk)}
        assert await ear.hears_nothing()
    await everyone_left(socketio.Server.here())


async def test_both_kinds_of_sockets_say_the_same(base: str, alice: User, maker: Maker) -> None:
    async with listening(base, alice) as ear, opened(alice) as plain:
        generation = await do(generate, alice, 2)
        await do(work_all)
        payloads, frames = await ear.hear_end(), await plain.hear_end()
        assert frames == [{"event": "pose-generation-update", **payload} for payload in payloads]
        await do(change_background, await do(generation.items.first))
        await do(work_all)
        [changed] = await ear.hear_until(lambda payload: "poseId" in payload)
        frame = await plain.hear()
        assert changed["imageUrl"].startswith(f"{base}/files/")
        assert frame | {"imageUrl": ""} == {"event": "pose-generation-update", **changed, "imageUrl": ""}


@pytest.mark.parametrize("way", ["polling", "websocket"])
@pytest.mark.parametrize("token", ["nonsense", "", "a b", "é"])
async def test_a_bad_token_is_a_connect_error(base: str, token: str, way: str) -> None:
    refusal = await refused(base, token, [way])
    assert refusal["message"]
    assert refusal["data"] == {"code": "TOKEN_INVALID"}
    assert not socketio.Server.here()._wires


async def test_a_token_may_come_in_a_header_or_the_query(base: str, alice: User) -> None:
    token = await do(token_of, alice)
    for how in ({"headers": {"Authorization": f"Bearer {token}"}}, {}):
        ear = Ear(base if how else f"{base}?token={token}")
        await ear.connect(None, **how)
        assert (await ear.hear())[0] == "connected"
        await ear.close()


async def test_tokens_of_the_handshake_are_not_logged(base: str, alice: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("socketio.client").setLevel(logging.ERROR)
    logging.getLogger("engineio.client").setLevel(logging.ERROR)
    async with listening(base, alice, transports=["polling"]) as ear:
        assert await ear.hears_nothing()
    from config.logging import redact

    assert (await do(token_of, alice))[:30] not in redact(caplog.text)


async def test_another_namespace_is_refused(base: str, alice: User) -> None:
    ear = Ear(base)
    with pytest.raises(ConnectionError):
        await ear.client.connect(base, namespaces=["/"], auth={"token": await do(token_of, alice)}, wait_timeout=10)
    await ear.close()


async def test_nobody_hears_anothers_events(base: str, alice: User, bob: User, maker: Maker) -> None:
    async with listening(base, alice) as alices, listening(base, alice) as second, listening(base, bob) as bobs:
        hers, his = await do(generate, alice, 2), await do(generate, bob, 1)
        await do(work_all)
        for ear, generation in ((alices, hers), (second, hers), (bobs, his)):
            assert {payload["generationId"] for payload in await ear.hear_end()} == {str(generation.pk)}
            assert await ear.hears_nothing()
        rooms = {room for sid in socketio.Server.here()._wires for room in socketio.Server.here().rooms(sid, NAMESPACE)}
        assert {f"user-{alice.pk}", f"user-{bob.pk}"} <= rooms


async def test_after_a_cut_in_the_middle_the_state_is_right(base: str, alice: User, maker: Maker) -> None:
    maker.acts = [Refused()]
    async with listening(base, alice, transports=["websocket"]) as ear:
        await do(generate, alice, 12)
        await do(work, 7)
        await ear.hear_until(lambda payload: payload["type"] == "progress")
        await ear.client.eio.ws.close()  # no word of leaving: the line is cut
        await asyncio.wait_for(ear.left.wait(), 10)
    async with listening(base, alice) as ear:
        snapshot = [(await ear.hear())[1] for _ in range(2)]
        assert told(snapshot) == [("started", 6, None, 12), ("progress", 6, 1, 12)]
        await do(work, 3)
        assert told([(await ear.hear())[1]]) == [("progress", 9, 1, 12)]
    await do(work_all)
    async with listening(base, alice) as ear:
        assert told(await ear.hear_end()) == [("completed", 11, 1, 12)]
        assert await ear.hears_nothing()


async def test_a_client_may_follow_one_generation_and_is_told_of_its_mistakes(
    base: str, alice: User, bob: User, maker: Maker
) -> None:
    wanted, other, his = await do(lambda: (generate(alice), generate(alice), generate(bob)))
    async with listening(base, alice) as ear:
        await ear.say("subscribe", generationId=str(his.pk))
        assert (await ear.hear())[1]["code"] == "NOT_FOUND"
        await ear.say("dance")
        assert (await ear.hear())[1]["code"] == "INVALID_MESSAGE"
        await ear.say("subscribe", generationId=str(wanted.pk))
        assert await ear.hear() == ("subscribed", {"generationId": str(wanted.pk)})
        await do(work_all)
        assert {payload["generationId"] for payload in await ear.hear_end()} == {str(wanted.pk)}
        assert await ear.hears_nothing()


# --- Sent away -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["polling", "websocket"])
async def test_the_connection_ends_when_its_token_does_or_its_person_is_disabled(
    base: str, alice: User, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("generation.live.auth.token_expiry", lambda raw: timezone.now())
    async with listening(base, alice, transports=[way]) as ear:
        await do(lambda: User.objects.filter(pk=alice.pk).update(is_active=False))
        event, payload = await ear.hear()
        assert (event, payload["code"]) == ("error", "TOKEN_INVALID")
        await asyncio.wait_for(ear.left.wait(), 10)
    await everyone_left(socketio.Server.here())


async def test_a_page_of_another_site_is_turned_away(base: str, alice: User, settings: Any) -> None:
    headers = {"Origin": "https://elsewhere.example"}
    await refused(base, await do(token_of, alice), ["polling"], headers=headers)
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(f"{base}/socket.io/?EIO=4&transport=websocket", headers=headers)
    settings.CORS_ALLOWED_ORIGINS = ["https://elsewhere.example"]
    for way in ("polling", "websocket"):
        async with listening(base, alice, transports=[way], headers=headers) as ear:
            assert await ear.hears_nothing()


async def test_a_page_of_a_known_site_is_told_so_in_cors_headers(base: str, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://known.example"]
    url = f"{base}/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as http:
        for origin, status, allowed in (
            ("https://known.example", 200, "https://known.example"),
            ("https://elsewhere.example", 400, None),
        ):
            async with http.get(url, headers={"Origin": origin}) as answer:
                assert (answer.status, answer.headers.get("Access-Control-Allow-Origin")) == (status, allowed)
                assert "Access-Control-Allow-Credentials" not in answer.headers
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with http.get(url, headers={"Host": "evil.example"}) as answer:
            assert answer.status == 400


# --- Bounds --------------------------------------------------------------------------------------


async def test_who_stays_without_a_namespace_is_dropped(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketio, "JOIN_S", 0.05)
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{base}/socket.io/?EIO=4&transport=websocket") as ws:
            assert (await ws.receive()).data.startswith("0")
            assert (await ws.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        await http.get(f"{base}/socket.io/?EIO=4&transport=polling")
        async with asyncio.timeout(10):
            while not all(one.closed for one in socketio.Server.here().eio.sockets.values()):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "frame",
    ["x", "", "9", "4", "4{", '4{"a":1}', '42/pose-generator,{"a":1}', "42/pose-generator,[]", "451-[]"]
    + ['451-/pose-generator,["ping",{"_placeholder":true,"num":0}]', "4" + "[" * 9000, "4" * 20_000, b"\0", "44"]
    + [f'42/pose-generator,["{name}",{{}},{{}}]' for name in ("connect", "disconnect", "*")],
)
async def test_nonsense_ends_the_connection_and_is_no_traceback(
    base: str, alice: User, frame: str | bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("socketio"), "filters", [])
    token = await do(token_of, alice)
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{base}/socket.io/?EIO=4&transport=websocket") as ws:
            await ws.receive()
            await ws.send_str(f'40/pose-generator,{{"token":"{token}"}}')
            assert (await ws.receive()).data.startswith("40/pose-generator,")
            assert '"connected"' in (await ws.receive()).data
            await (ws.send_bytes(frame) if isinstance(frame, bytes) else ws.send_str(frame))
            async with asyncio.timeout(10):
                while (await ws.receive()).type == aiohttp.WSMsgType.TEXT:
                    pass
    await everyone_left(socketio.Server.here())
    assert "Traceback" not in caplog.text


async def test_bodies_of_the_polling_transport_are_bounded_and_checked(
    base: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("socketio"), "filters", [])

    async def slices() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"4" * 16_000

    async with aiohttp.ClientSession() as http:
        url = await polled(http, base)
        for body, status in (
            (b"4" * 70_000, 413),
            (slices(), 413),
            (b"x", 400),
            (b"\xff", 400),
            (b"6", 400),
            (b"3", 200),
        ):
            async with http.post(url, data=body) as answer:
                assert answer.status == status
    assert "Traceback" not in caplog.text


async def test_who_does_not_poll_is_dropped(base: str, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Socket, "send_s", 0.05)
    monkeypatch.setattr(transport, "READING_WAITING", 0)
    token = await do(token_of, alice)
    async with aiohttp.ClientSession() as http:
        url = await polled(http, base)
        [connection] = socketio.Server.here().eio.sockets.values()
        await http.post(url, data=f'40/pose-generator,{{"token":"{token}"}}')
        await everyone_left(socketio.Server.here())
        assert connection.closed


async def test_who_does_not_read_is_hung_up_on(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "SEND_S", 0.05)
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "websocket.connect"})
    sent: list[str] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()

    scope = {
        "type": "websocket",
        "path": "/socket.io/",
        "query_string": b"EIO=4&transport=websocket",
        "headers": [(b"host", b"testserver"), (b"connection", b"upgrade"), (b"upgrade", b"websocket")],
    }
    ended, _ = await asyncio.wait({asyncio.create_task(application(scope, incoming.get, send))}, timeout=5)
    assert ended
    assert sent == ["websocket.accept", "websocket.send", "websocket.close"]
    await socketio.shutdown()


async def polled(http: aiohttp.ClientSession, base: str) -> str:
    """Open a connection over polling; return where to go on with it."""
    url = f"{base}/socket.io/?EIO=4&transport=polling"
    async with http.get(url) as answer:
        sid = (await answer.text()).split('"sid":"')[1].split('"')[0]
    return f"{url}&sid={sid}"


async def test_no_answer_holds_more_than_a_client_takes_at_once(base: str, alice: User, maker: Maker) -> None:
    for _ in range(20):
        await do(generate, alice)
    await do(work_all)
    token, heard = await do(token_of, alice), 0
    async with aiohttp.ClientSession() as http:
        url = await polled(http, base)
        await http.post(url, data=f'40/pose-generator,{{"token":"{token}"}}')
        connection = socketio.Server.here().eio.sockets[url.rpartition("=")[2]]
        while heard < 22:  # the answer to CONNECT, the welcome, and how each generation has ended
            async with asyncio.timeout(10):
                while connection.queue.qsize() <= min(transport.READING_WAITING, 21 - heard):
                    await asyncio.sleep(0.01)
            async with http.get(url) as answer:
                heard += len(Payload(encoded_payload=await answer.text()).packets)  # refuses more than 16
    assert heard == 22


async def test_answers_that_nobody_reads_are_bounded(base: str, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_WAITING", 4)
    async with aiohttp.ClientSession() as http:
        url = await polled(http, base)
        [connection] = socketio.Server.here().eio.sockets.values()
        for _ in range(3):
            await http.post(url, data="\x1e".join(["40/nowhere,"] * 3))
        assert connection.closed


async def test_who_leaves_while_the_token_is_checked_leaves_nothing_behind(
    base: str, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, may_go_on, check = await do(token_of, alice), threading.Event(), Token.check
    monkeypatch.setattr(Token, "check", lambda token: may_go_on.wait(10) and check(token))
    async with aiohttp.ClientSession() as http:
        url = await polled(http, base)
        joining = asyncio.create_task(http.post(url, data=f'40/pose-generator,{{"token":"{token}"}}'))
        server = socketio.Server.here()
        async with asyncio.timeout(10):
            while not server._wires:
                await asyncio.sleep(0.01)
        await http.post(url, data="1")
        may_go_on.set()
        await joining
    await everyone_left(server)
    assert not server._wires
    assert not server.environ


async def test_with_nobody_connected_there_is_nothing_to_pay(base: str, alice: User, maker: Maker) -> None:
    await do(generate, alice, 1)
    await do(work_all)
    assert asyncio.get_running_loop() not in socketio.Server._of_loop
    assert not Hub.here()._ears


async def test_many_refused_tokens_of_one_address_are_told_to_slow_down(base: str, settings: Any) -> None:
    settings.REFUSED_TOKEN_LIMIT = 1
    codes = [(await refused(base, "nonsense"))["data"]["code"] for _ in range(2)]
    assert codes == ["TOKEN_INVALID", "TOO_MANY_REQUESTS"]
