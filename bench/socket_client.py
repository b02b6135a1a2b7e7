"""Many browsers in one process: `python -m bench.socket_client TASK ANSWER`. Notes when it heard what."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

AT_A_TIME = 20


async def main(task: str, answer: str) -> None:
    wanted = json.loads(Path(task).read_text())
    heard: list[tuple[str, int, float]] = []
    places = asyncio.Semaphore(AT_A_TIME)

    async def open_one(token: str, request: str) -> ClientConnection:
        async with places:
            url = f"ws://127.0.0.1:{wanted['port']}/ws/live"
            headers = {"Authorization": f"Bearer {token}"}
            socket = await connect(url, additional_headers=headers, compression=None, open_timeout=60, proxy=None)
            await socket.send(json.dumps({"type": "subscribe", "request": request}))
            while json.loads(await socket.recv())["type"] != "snapshot":
                pass
            return socket

    async def listen(socket: ClientConnection) -> None:
        async for text in socket:
            at = time.time()
            message = json.loads(text)
            heard.append((message["request"], message["seq"], at))

    sockets = await asyncio.gather(*(open_one(one["token"], one["request"]) for one in wanted["followed"]))
    listeners = [asyncio.create_task(listen(socket)) for socket in sockets]
    Path(wanted["ready"]).touch()
    while not Path(wanted["done"]).exists():
        await asyncio.sleep(0.1)
    for listener in listeners:
        listener.cancel()
    Path(answer).write_text(json.dumps({"heard": heard}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
