"""The transport of Socket.IO, within bounds: what a client may send, and what it may leave unread.

The library takes bodies of any length in, keeps whatever its clients leave unread, and tells the log of every
packet that cannot be one. So what comes in is looked at before it does, and what goes out is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import engineio
from engineio import packet as engine
from engineio.payload import Payload
from socketio.packet import ACK, BINARY_ACK, BINARY_EVENT, CONNECT, DISCONNECT, EVENT, Packet

from generation.live.socket import LONGEST_MESSAGE, Message, Receive, Send

LONGEST_BODY = 4 * LONGEST_MESSAGE
# Packets that may wait for a client before its sender waits too, and in all before it is dropped. A poll's answer
# holds all that waits, and the Python client breaks off over one of more than 16 packets.
READING_WAITING = 8
MOST_WAITING = 256
SEND_S = 10.0

# What a client may send: by polling, and over a WebSocket, where it may also begin with a probe.
POLLED = (engine.CLOSE, engine.PONG, engine.MESSAGE)
FRAMED = (*POLLED, engine.PING, engine.UPGRADE)

# Names of events that mean something to the library.
RESERVED = ("connect", "disconnect", "*")

# What the library raises for packets that no client of its kind would send.
NONSENSE = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)

Handle = Callable[[Message, Receive, Send], Awaitable[Any]]


class Engine(engineio.AsyncServer):
    """The transport, with bounds."""

    async def send_packet(self, sid: str, pkt: engine.Packet) -> None:
        """Queue a packet; the connection of a client that has left too many unread is dropped."""
        connection = self.sockets.get(sid)
        if connection is not None and connection.queue.qsize() >= MOST_WAITING:
            await self.drop(sid)
        else:
            await super().send_packet(sid, pkt)

    async def taken(self, sid: str) -> None:
        """Wait until the client has taken what waits for it, if that is much."""
        connection = self.sockets.get(sid)
        if connection is not None and connection.queue.qsize() > READING_WAITING:
            await connection.queue.join()

    async def drop(self, sid: str) -> None:
        """Break a connection off, and forget what waits for its client."""
        connection = self.sockets.get(sid)
        if connection is None:
            return
        await connection.close(wait=False, abort=True)
        while not connection.queue.empty():
            connection.queue.get_nowait()


class TextPacket(Packet):
    """No binary events: nobody here has any, and their attachments would pile up in memory."""

    uses_binary_events = False

    def decode(self, encoded_packet: Any) -> Any:
        attachments = super().decode(encoded_packet)
        if self.packet_type in (BINARY_EVENT, BINARY_ACK):
            raise ValueError("no binary events")
        return attachments


# --- Calls and connections -----------------------------------------------------------------------


async def http(handle: Handle, scope: Message, receive: Receive, send: Send) -> None:
    """One call of the polling transport: its body in whole, within bounds, and readable."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if len(body) > LONGEST_BODY:
            await refuse(send, 413, b"too large")
            return
        if not message.get("more_body", False):
            break
    if not _is_payload(body):
        await refuse(send, 400, b"not a payload")
        return
    left = [{"type": "http.request", "body": body, "more_body": False}]
    lengths = (b"content-length", b"transfer-encoding")
    headers = [(name, value) for name, value in scope["headers"] if name not in lengths]
    headers.append((b"content-length", str(len(body)).encode()))

    async def replay() -> Message:
        return left.pop() if left else await receive()

    async def safely(message: Message) -> None:
        if message["type"] == "http.response.start":
            beside = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"), (b"vary", b"Origin")]
            message = {**message, "headers": [*message["headers"], *beside]}
        await send(message)

    await handle({**scope, "headers": headers}, replay, safely)


async def websocket(handle: Handle, scope: Message, receive: Receive, send: Send) -> None:
    """A connection of the WebSocket transport: what cannot be a packet ends it, and so does who has stopped reading."""
    this = asyncio.current_task()
    assert this is not None

    async def checked() -> Message:
        message = await receive()
        if message["type"] == "websocket.receive" and not _is_frame(message):
            return {"type": "websocket.disconnect"}
        return message

    async def promptly(message: Message) -> None:
        try:
            async with asyncio.timeout(1.0 if message["type"] == "websocket.close" else SEND_S):
                await send(message)
        except TimeoutError:
            this.cancel()
            raise OSError("the client does not read") from None

    await handle(scope, checked, promptly)


async def refuse(send: Send, status: int, why: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": why})


# --- What a client sends -------------------------------------------------------------------------


def _is_payload(body: bytes) -> bool:
    try:
        return all(packet.packet_type in POLLED for packet in Payload(encoded_payload=body.decode()).packets)
    except NONSENSE:
        return False


def _is_frame(message: Message) -> bool:
    text = message.get("text") or ""
    try:
        return 0 < len(text) <= LONGEST_MESSAGE and engine.Packet(encoded_packet=text).packet_type in FRAMED
    except NONSENSE:
        return False


def is_sound(data: Any) -> bool:
    """Is this a packet that a client may send? An event must not be called as the library calls its own."""
    if not isinstance(data, str):
        return False
    try:
        packet = TextPacket(encoded_packet=data)
    except NONSENSE:
        return False
    if packet.packet_type != EVENT:
        return packet.packet_type in (CONNECT, DISCONNECT, ACK)
    sent = packet.data
    return isinstance(sent, list) and bool(sent) and isinstance(sent[0], str) and sent[0] not in RESERVED
