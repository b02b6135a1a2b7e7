"""The web of this process for a browser: pages and sockets by uvicorn in a thread, on the test's own database."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

UP_S = 30.0


@contextmanager
def serving() -> Iterator[str]:
    """Serve until the end of the block; gives the address. Settings overridden in this process hold there too."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config("config.asgi:application", log_config=None, timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="web")
        thread.start()
        try:
            deadline = time.monotonic() + UP_S
            while not server.started:
                if time.monotonic() > deadline or not thread.is_alive():
                    raise RuntimeError("the web did not start")
                time.sleep(0.02)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(UP_S)
