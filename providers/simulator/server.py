"""Routes to the protocols, the control paths and the page at /; and runs the whole in a thread or a process.

Control, for tests and the bench: POST /_faults, GET and DELETE /_calls and /_faults, POST /_settings,
POST /_reset.
"""

from __future__ import annotations

import asyncio
import html
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from providers.simulator import huggingface, media, openai, openrouter, recraft, replicate, stability, tripo, wire
from providers.simulator.desk import Desk, Settings
from providers.simulator.faults import NAMES
from providers.simulator.wire import Reply, Request, json_reply

PROTOCOLS: dict[str, Callable[[Request, Desk], Awaitable[Reply]]] = {
    huggingface.PREFIX: huggingface.answer,
    media.PREFIX: media.answer,
    openai.PREFIX: openai.answer,
    openrouter.PREFIX: openrouter.answer,
    recraft.PREFIX: recraft.answer,
    replicate.PREFIX: replicate.answer,
    stability.PREFIX: stability.answer,
    tripo.PREFIX: tripo.answer,
}
SPEAKS = (
    *huggingface.SPEAKS,
    *openai.SPEAKS,
    *openrouter.SPEAKS,
    *recraft.SPEAKS,
    *replicate.SPEAKS,
    *stability.SPEAKS,
    *tripo.SPEAKS,
)


async def answer(request: Request, desk: Desk) -> Reply:
    for prefix, protocol in PROTOCOLS.items():
        if request.path.startswith(prefix + "/"):
            return await protocol(request, desk)
    if request.path == "/" and request.method in ("GET", "HEAD"):
        return Reply(body=_page(desk).encode(), content_type="text/html; charset=utf-8")
    try:
        return _control(request, desk)
    except (ValueError, KeyError, TypeError) as error:
        return json_reply({"error": str(error)}, 400)


def _control(request: Request, desk: Desk) -> Reply:
    match request.method, request.path:
        case "POST", "/_faults":
            return json_reply(asdict(desk.script(_object(request))), 201)
        case "GET", "/_faults":
            return json_reply({"faults": [asdict(fault) for fault in desk.faults], "known": NAMES})
        case "DELETE", "/_faults":
            desk.faults.clear()
            return json_reply({})
        case "GET", "/_calls":
            query = request.query
            return json_reply({"calls": desk.report(query.get("provider", ""), query.get("operation", ""))})
        case "DELETE", "/_calls":
            desk.calls.clear()
            return json_reply({})
        case "GET", "/_settings":
            return json_reply(asdict(desk.settings))
        case "POST", "/_settings":
            desk.settings = Settings(**{**asdict(desk.settings), **_object(request)})
            return json_reply(asdict(desk.settings))
        case "POST", "/_reset":
            desk.reset()
            return json_reply({})
    return json_reply({"error": "Not Found", "see": "/"}, 404)


def _object(request: Request) -> dict[str, Any]:
    body = request.json()
    if not isinstance(body, dict):
        raise ValueError("a JSON object is expected")
    return body


class Simulator:
    """A running simulator. `start` and `stop` run it in a thread; `forever` in this one."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host, self.port = host, port
        self.desk = Desk()
        self._loop = _new_loop()
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> Simulator:
        """Serve in a thread of this process; returns when the port is open."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self.forever, args=(ready.set,), name="simulator", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the simulator did not start")
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread:
            self._thread.join(10)

    def forever(self, on_ready: Callable[[], Any] = lambda: None) -> None:
        """Serve until `stop`. Raises OSError when the port is taken."""
        try:
            self._loop.run_until_complete(self._serve(on_ready))
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self, on_ready: Callable[[], Any]) -> None:
        busy: set[asyncio.Task[None]] = set()

        async def handle(request: Request) -> Reply:
            return await answer(request, self.desk)

        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            busy.add(task)
            try:
                await wire.serve(handle, reader, writer)
            except asyncio.CancelledError:
                writer.transport.abort()
            finally:
                busy.discard(task)

        server = await asyncio.start_server(client, self.host, self.port, limit=wire.HEAD_BYTES, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        on_ready()
        await self._stop.wait()
        server.close()
        busy |= asyncio.all_tasks() - {asyncio.current_task()}  # webhooks still to be sent
        for task in list(busy):
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Provider simulator</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}}
table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;padding:.25rem .75rem .25rem 0;
border-bottom:1px solid #ddd;vertical-align:top}}code{{font-size:.9em}}</style>
<h1>Provider simulator</h1>
<p>Speaks the vendors' protocols on this machine. Nothing here costs money, and nothing leaves it.</p>
<h2>What it speaks</h2><table>{speaks}</table>
<h2>Last calls</h2><table><tr><th>When<th>Call<th>Prompt<th>Fault<th>Status</tr>{calls}</table>
<h2>Faults that can be scripted</h2><p><code>POST /_faults {{"provider", "fault", "times", "operation"?,
"match"?, …}}</code></p><table>{faults}</table></html>"""


def _page(desk: Desk) -> str:
    def row(*cells: object) -> str:
        return "<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in cells) + "</tr>"

    return _PAGE.format(
        speaks="".join(row(*line) for line in SPEAKS),
        calls="".join(
            row(seen.at[11:19], f"{seen.method} {seen.path}", seen.prompt[:90], seen.fault, seen.status or "…")
            for seen in list(desk.calls)[:-31:-1]
        ),
        faults="".join(row(*line) for line in NAMES.items()),
    )
