"""Real Socket.IO below `/socket.io/`, namespace `/pose-generator`: another wire for `/ws/pose-generator`'s consumer.

A frame `{"event": "x", …}` of the plain socket is the event `x` with the rest as its payload here, both ways; so
both kinds of sockets say the same, and bounds, checks of the person and snapshots are the consumer's. There is no
manager between processes: each forwards to its own connections what its own hub hears.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import socketio
from socketio.exceptions import ConnectionRefusedError

from config.api import trace
from generation.live import auth, transport
from generation.live.hub import Seldom
from generation.live.poses import PoseGenerator
from generation.live.socket import BUG, LATER, NOT_YOU, REFUSED, SLOW, WHO, Message, Receive, Send
from generation.live.transport import LONGEST_BODY, Engine, TextPacket

NAMESPACE = "/pose-generator"
MOST_INCOMING = 16
# How long a connection may stay without the namespace.
JOIN_S = 10.0

REASONS = {
    WHO: "TOKEN_INVALID",
    NOT_YOU: "ORIGIN_NOT_ALLOWED",
    REFUSED: "TOO_MANY_REQUESTS",
    LATER: "SERVICE_UNAVAILABLE",
    SLOW: "TOO_SLOW",
    BUG: "INTERNAL_ERROR",
}
# Who is closed for one of these should not come back by itself; a client whose transport breaks off does.
STAY_AWAY = (WHO, NOT_YOU, REFUSED)

# It tells each packet at the level of information: tokens would stand in the log.
_library_log = logging.getLogger("socketio")
_library_log.setLevel(logging.ERROR)
_library_log.addFilter(Seldom())


class OverSocketIO(PoseGenerator):
    """The token comes with the namespace's CONNECT packet or the handshake; there is no frame before."""

    takes_first_message: ClassVar[bool] = False


class Wire:
    """A client's connection to the namespace, as the ASGI connection that the consumer speaks over.

    `verdict` is why the client is not let in, None when it is. Nothing is sent before `opened`.
    """

    def __init__(self, server: Server, sid: str, eio_sid: str, scope: Message) -> None:
        self._server, self._sid, self._eio_sid = server, sid, eio_sid
        self._incoming: asyncio.Queue[Message] = asyncio.Queue(MOST_INCOMING)
        self._incoming.put_nowait({"type": "websocket.connect"})
        self._why = ""
        self._code: int | None = None
        self._is_over = False
        self.verdict: asyncio.Future[ConnectionRefusedError | None] = asyncio.get_running_loop().create_future()
        self.opened = asyncio.Event()
        self.task = asyncio.create_task(self._serve(scope))

    async def heard(self, event: str, payload: Mapping[str, Any]) -> None:
        """Hand on what the client said; wait while too much waits already."""
        text = json.dumps({**payload, "event": event})
        put = asyncio.ensure_future(self._incoming.put({"type": "websocket.receive", "text": text}))
        await asyncio.wait({put, self.task}, return_when=asyncio.FIRST_COMPLETED)
        put.cancel()

    def gone(self) -> None:
        """The client has left, or was sent away."""
        if not self._is_over:
            self.task.cancel()

    async def _serve(self, scope: Message) -> None:
        try:
            await OverSocketIO.app(scope, self._incoming.get, self._send)
        finally:
            self._is_over = True
            if not self.verdict.done():
                code = REASONS.get(self._code or BUG, REASONS[BUG])
                self.verdict.set_result(ConnectionRefusedError(self._why or "Connection refused", {"code": code}))
        if self.opened.is_set():
            await self._server.end(self._sid, self._eio_sid, comes_back=self._code not in STAY_AWAY)

    async def _send(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            self._code, self._why = message["code"], self._why or message.get("reason", "")
        elif message["type"] == "websocket.send":
            await self._say(**json.loads(message["text"]))

    async def _say(self, event: str, **payload: Any) -> None:
        if not self.verdict.done():
            if event == "error":
                self._why = payload["message"]
                return
            self.verdict.set_result(None)
        await self.opened.wait()
        if event == "connected":
            await self._server.enter_room(self._sid, f"user-{payload['userId']}", namespace=NAMESPACE)
        await self._server.emit(event, payload, to=self._sid, namespace=NAMESPACE)
        await self._server.eio.taken(self._eio_sid)


class Server(socketio.AsyncServer):
    """The connections of one event loop, made with the first of them."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Server]] = WeakKeyDictionary()

    def __init__(self) -> None:
        super().__init__(
            async_mode="asgi",
            namespaces=[NAMESPACE],
            serializer=TextPacket,
            # One event of a client after the other, so that who sends faster than we answer has to wait.
            async_handlers=False,
            max_http_buffer_size=LONGEST_BODY,
            cors_allowed_origins=_is_known_origin,
            cors_credentials=False,
            logger=_library_log,
            engineio_logger=_library_log,
        )
        self._wires: dict[str, Wire] = {}
        self._tasks: set[asyncio.Future[Any]] = set()
        self.on("connect", self._connect, namespace=NAMESPACE)
        self.on("disconnect", self._disconnect, namespace=NAMESPACE)
        self.on("*", self._event, namespace=NAMESPACE)

    @classmethod
    def here(cls) -> Server:
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls()
        return cls._of_loop[loop]

    async def end(self, sid: str, eio_sid: str, *, comes_back: bool) -> None:
        """End a connection from our side; without `comes_back` the client is told to stay away."""
        if comes_back:
            await self.eio.drop(eio_sid)
        else:
            await self.disconnect(sid, namespace=NAMESPACE)

    # --- a client's events ------------------------------------------------------------------------

    async def _connect(self, sid: str, environ: Mapping[str, Any], wanted: Any) -> None:
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        token = wanted.get("token") if isinstance(wanted, dict) else None
        wire = self._wires[sid] = Wire(self, sid, eio_sid, _with_token(environ["asgi.scope"], token))
        self._tasks.add(wire.task)
        wire.task.add_done_callback(self._tasks.discard)
        if refusal := await wire.verdict:
            del self._wires[sid]
            raise refusal

    async def _event(self, event: str, sid: str, *sent: Any) -> None:
        if wire := self._wires.get(sid):
            await wire.heard(event, sent[0] if sent and isinstance(sent[0], dict) else {})

    async def _disconnect(self, sid: str, reason: str) -> None:
        if wire := self._wires.pop(sid, None):
            wire.gone()

    # --- where the library believes too much ------------------------------------------------------

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        self._hang_up_unless_joined(eio_sid)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        await super()._handle_connect(eio_sid, namespace, data)
        wire = self._wires.get(self.manager.sid_from_eio_sid(eio_sid, NAMESPACE))
        if wire is None:
            self._hang_up_unless_joined(eio_sid)
        elif eio_sid in self.environ:
            wire.opened.set()
        else:  # the transport broke off while the token was checked
            await self._handle_disconnect(eio_sid, NAMESPACE)

    async def _handle_disconnect(self, eio_sid: str, namespace: str | None, reason: str | None = None) -> None:
        await super()._handle_disconnect(eio_sid, namespace, reason)
        self._hang_up_unless_joined(eio_sid)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        await super()._handle_eio_disconnect(eio_sid, reason)
        if connection := self.eio.sockets.get(eio_sid):
            # Behind the last packet: a writer, or a poll that waits for more, ends with this.
            asyncio.get_running_loop().call_soon(connection.queue.put_nowait, None)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        if transport.is_sound(data):
            await super()._handle_eio_message(eio_sid, data)
        else:
            await self.eio.drop(eio_sid)

    def _hang_up_unless_joined(self, eio_sid: str) -> None:
        """Give a connection a while to join the namespace; who stays outside is dropped."""

        def look() -> None:
            if eio_sid in self.environ and not self.manager.sid_from_eio_sid(eio_sid, NAMESPACE):
                task = asyncio.ensure_future(self.eio.drop(eio_sid))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        if eio_sid in self.environ:
            asyncio.get_running_loop().call_later(JOIN_S, look)


def _is_known_origin(origin: str | None, environ: Mapping[str, Any]) -> bool:
    return auth.is_known_origin(environ["asgi.scope"])


def _with_token(scope: Message, token: Any) -> Message:
    """The scope of a connection's handshake, as if its `auth.token` had come in a header."""
    if not isinstance(token, str):
        return scope
    given = (b"authorization", b"Bearer " + token.encode("latin-1", "replace"))
    return {**scope, "headers": [given, *scope["headers"]]}


# --- The ASGI application ------------------------------------------------------------------------


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer everything below `/socket.io/`, over HTTP polling and WebSocket."""
    is_http = scope["type"] == "http"
    with trace.tracing():
        if not auth.is_known_host(scope):
            if is_http:
                await transport.refuse(send, 400, b"unknown host")
            else:
                await receive()
                await send({"type": "websocket.close", "code": NOT_YOU})
            return
        try:
            carry = transport.http if is_http else transport.websocket
            await carry(Server.here().handle_request, scope, receive, send)
        except Exception as error:  # the library's own: ours are handled where they happen
            _library_log.error("a Socket.IO connection broke: %s", type(error).__name__)


async def shutdown() -> None:
    """Stop what this loop's server does by itself."""
    if server := Server._of_loop.get(asyncio.get_running_loop()):
        await server.shutdown()
