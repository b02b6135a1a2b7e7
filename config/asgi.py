"""HTTP, sockets and Socket.IO on one port.

Under Django's ASGI handler every sync view costs a fresh thread; the same views as WSGI in a fixed
thread pool answer four times as many calls. So HTTP runs as WSGI, and sockets alone as ASGI.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from channels.routing import URLRouter
from django.conf import settings
from django.urls import re_path

from config.wsgi import application as wsgi  # before our own rooms: it sets Django up
from generation.live import socketio
from generation.live.routing import websocket_urlpatterns

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Both transports of Socket.IO, polling and WebSocket, have paths below this one.
SOCKET_IO = "/socket.io/"
# How much of a body is taken in before a thread is: a slow sender then holds memory, not a thread.
EAGER_BODY_BYTES = 1024 * 1024

http: Any = WSGIMiddleware(cast(Any, wsgi), workers=settings.WEB_THREADS)

# What was loaded until now stays for good: the collector need not walk it again, which took 0.1 s and more each time.
gc.collect()
gc.freeze()


async def _no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse the handshake. Without it the router raises, and any stranger could fill the log with tracebacks."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


sockets: Any = URLRouter([*websocket_urlpatterns, re_path("", cast(Any, _no_such_socket))])


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan" and scope["path"].startswith(SOCKET_IO):
        await socketio.app(scope, receive, send)
    elif scope["type"] == "http":
        replay, size = await _eager(receive)
        await http(_for_wsgi(scope, size), replay, send)
    elif scope["type"] == "websocket":
        await sockets(scope, receive, send)
    else:
        await _lifespan(receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await socketio.shutdown()
    # The server has let running calls end by now; waiting here for a stuck one would block its own answer.
    http.executor.shutdown(wait=False, cancel_futures=True)
    await send({"type": "lifespan.shutdown.complete"})


def _for_wsgi(scope: Scope, size: int) -> Scope:
    """Say in headers what WSGI goes by, and nothing doubtful.

    Underscores are dropped: WSGI would take `X_Forwarded_For` for `X-Forwarded-For`. A body sent in chunks
    has no length, and WSGI would take it for empty; one that was not taken in whole counts as too long.
    """
    headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    if size and not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(size).encode()))
    return {**scope, "headers": headers}


async def _eager(receive: Receive) -> tuple[Receive, int]:
    """Take the body in, up to a limit, and hand it on as if it came now; return also how many bytes it has."""
    messages: list[Message] = []
    size = 0
    while size <= EAGER_BODY_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    messages.reverse()

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay, size
