"""A small HTTP/1.1 server that can also misbehave: hang, drip, break off, reset.

Written on bare asyncio because a well-behaved server framework rightly refuses to send half an answer,
and because 200 waiting calls then cost 200 small objects instead of 200 threads.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

HEAD_BYTES, BODY_BYTES = 64 * 1024, 512 * 1024 * 1024


@dataclass(frozen=True)
class Part:
    """One part of a multipart body; filename None for a text field."""

    name: str
    filename: str | None
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; raises ValueError."""
        return json.loads(self.body)

    def json_object(self) -> dict[str, Any]:
        """The JSON object that was sent; {} for anything else, which then fails for what it lacks."""
        try:
            body = self.json()
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def parts(self) -> list[Part]:
        """The parts of a multipart body; raises ValueError."""
        kind, _, rest = self.headers.get("content-type", "").partition(";")
        boundary = _parameters(rest).get("boundary")
        if kind.strip() != "multipart/form-data" or not boundary:
            raise ValueError("not multipart/form-data")
        found = []
        for raw in self.body.split(b"--" + boundary.encode())[1:-1]:
            head, _, body = raw.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            lines = (line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n"))
            headers = {name.strip().lower(): value.strip() for name, _, value in lines}
            about = _parameters(headers.get("content-disposition", "").partition(";")[2])
            found.append(
                Part(
                    about.get("name", ""),
                    about.get("filename"),
                    headers.get("content-type", "text/plain"),
                    body.removesuffix(b"\r\n"),
                )
            )
        return found


def _parameters(text: str) -> dict[str, str]:
    pairs = (item.strip().partition("=") for item in text.split(";"))
    return {name.lower(): value.strip('"') for name, _, value in pairs if name}


@dataclass
class Reply:
    """An answer. `body` in one or several pieces; `length` when they are made on the way.

    break_after: cut the connection after so many bytes of the body. drip_s: a byte at a time, so long
    apart. reset: send nothing and reset. hang: send nothing until the client gives up.
    """

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    break_after: int | None = None
    drip_s: float | None = None
    reset: bool = False
    hang: bool = False


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(body).encode(), headers=dict(headers or {}))


Handler = Callable[[Request], Awaitable[Reply]]


async def serve(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak with one client until either side has enough."""
    try:
        port = writer.get_extra_info("sockname")[1]
        while request := await _read(reader, port):
            if not await _write(request, await handler(request), reader, writer):
                break
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        pass  # the client is gone or speaks no HTTP; there is nobody to tell
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, port: int) -> Request | None:
    """One request. A client that leaves the port out of its Host header came by this one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if ":" not in headers.get("host", ":"):
        headers["host"] += f":{port}"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        length = int(headers.get("content-length") or 0)
        if length > BODY_BYTES:
            raise ValueError("too long")
        body = await reader.readexactly(length) if length else b""
    parts = urlsplit(target)
    return Request(method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return bytes(body)


async def _write(request: Request, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send a reply. False: this connection has had its last."""
    if reply.hang:
        await reader.read(1)  # ends when the client hangs up
        return False
    if reply.reset:
        _reset(writer)
        return False
    pieces = [reply.body] if isinstance(reply.body, bytes) else reply.body
    length = len(reply.body) if isinstance(reply.body, bytes) else reply.length
    headers = {"content-type": reply.content_type, "content-length": str(length), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {reply.status} {_phrase(reply.status)}\r\n{lines}\r\n".encode("latin-1")
    if request.method == "HEAD":
        writer.write(head)
    elif reply.drip_s is not None:
        await _drip(head, pieces, reply.drip_s, writer)
    elif reply.break_after is not None:
        writer.write(head + b"".join(pieces)[: reply.break_after])
        await writer.drain()
        return False
    elif isinstance(reply.body, bytes):
        writer.writelines([head, reply.body])
    else:
        writer.write(head)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    await writer.drain()
    return request.headers.get("connection", "").lower() != "close"


async def _drip(head: bytes, pieces: Iterable[bytes], gap_s: float, writer: asyncio.StreamWriter) -> None:
    writer.write(head)
    for piece in pieces:
        for at in range(len(piece)):
            writer.write(piece[at : at + 1])
            await writer.drain()
            await asyncio.sleep(gap_s)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN, as a crashed machine in between does."""
    sock = cast(socket.socket, writer.get_extra_info("socket"))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
