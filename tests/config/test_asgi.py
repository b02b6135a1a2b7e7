"""HTTP and sockets on one port: what the server is handed on, and what it is spared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from config import asgi

Message = dict[str, Any]


def make_scope(kind: str, path: str, *headers: tuple[bytes, bytes]) -> Message:
    return {
        "type": kind,
        "method": "GET",
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "server": ("127.0.0.1", 4000),
        "client": ("127.0.0.1", 50000),
    }


def test_http_is_answered() -> None:
    async def call() -> list[Message]:
        desk = ApplicationCommunicator(asgi.application, make_scope("http", "/health"))
        await desk.send_input({"type": "http.request", "body": b"", "more_body": False})
        answer = [await desk.receive_output(10), await desk.receive_output(10)]
        await desk.wait()  # a thread whose loop is gone would wait for ever
        return answer

    start, body = asyncio.run(call())

    assert start["status"] == 200
    assert b"healthy" in body["body"]


def test_an_unknown_socket_is_refused_without_a_traceback() -> None:
    async def call() -> Message:
        desk = ApplicationCommunicator(asgi.application, make_scope("websocket", "/ws/nothing/here"))
        await desk.send_input({"type": "websocket.connect"})
        answer: Message = await desk.receive_output(10)
        await desk.wait()
        return answer

    assert asyncio.run(call()) == {"type": "websocket.close", "code": 4404}


def test_the_server_may_start_and_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi.http.executor, "shutdown", lambda **how: None)  # other tests need its threads

    async def call() -> list[str]:
        desk = ApplicationCommunicator(asgi.application, {"type": "lifespan"})
        said = []
        for moment in ("startup", "shutdown"):
            await desk.send_input({"type": f"lifespan.{moment}"})
            said.append((await desk.receive_output(10))["type"])
        return said

    assert asyncio.run(call()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_header_that_only_looks_like_a_trusted_one_is_dropped() -> None:
    scope = make_scope("http", "/", (b"x_forwarded_for", b"6.6.6.6"), (b"x-forwarded-for", b"1.2.3.4"))

    names = [name for name, _ in asgi._for_wsgi(scope, 0)["headers"]]

    assert names == [b"host", b"x-forwarded-for"]


@pytest.mark.parametrize("first_piece", [b"{}", b"x" * (asgi.EAGER_BODY_BYTES + 1)])
def test_a_body_arrives_whole_whatever_its_size(first_piece: bytes) -> None:
    pieces = [
        {"type": "http.request", "body": first_piece, "more_body": True},
        {"type": "http.request", "body": b"tail", "more_body": False},
    ]
    taken: list[Message] = []

    async def receive() -> Message:
        taken.append(pieces[len(taken)])
        return taken[-1]

    async def call() -> tuple[int, list[Message]]:
        replay, _ = await asgi._eager(receive)
        return len(taken), [await replay(), await replay()]

    taken_before, replayed = asyncio.run(call())

    assert replayed == pieces
    # A small body is waited for before a thread is taken; a big one is handed on as it comes.
    assert taken_before == (2 if len(first_piece) < asgi.EAGER_BODY_BYTES else 1)


def test_a_body_sent_in_chunks_has_a_length_for_wsgi() -> None:
    chunks = [{"body": b'{"a": ', "more_body": True}, {"body": b"1}", "more_body": False}]

    async def receive() -> Message:
        return chunks.pop(0)

    _, size = asyncio.run(asgi._eager(receive))
    headers = asgi._for_wsgi(make_scope("http", "/", (b"transfer-encoding", b"chunked")), size)["headers"]

    assert (b"content-length", b"8") in headers
