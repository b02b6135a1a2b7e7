"""Submits over as many connections as there are tokens: `python -m bench.http_client TASK ANSWER`.

Speaks just enough HTTP/1.1 itself, because a client library would take more of the CPU than the server that
is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path


async def main(task: str, answer: str) -> None:
    wanted = json.loads(Path(task).read_text())
    bodies = enumerate(wanted["bodies"])
    samples: list[float] = []
    began = time.perf_counter()
    async with asyncio.TaskGroup() as clients:
        for token in wanted["tokens"]:
            clients.create_task(_client(wanted["port"], wanted["path"], token, bodies, samples))
    took_s = time.perf_counter() - began
    found = {"samples_ms": samples[wanted["warm_up"] :], "calls_per_s": len(samples) / took_s}
    Path(answer).write_text(json.dumps(found))


async def _client(port: int, path: str, token: str, bodies: Iterator[tuple[int, str]], samples: list[float]) -> None:
    """One call after another over one connection, while there are bodies left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number, body in bodies:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            f"Idempotency-Key: bench-{number:06}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        writer.write((head + body).encode())
        status = await _read_answer(reader)
        samples.append(1000 * (time.perf_counter() - began))
        if status != 200:
            raise RuntimeError(f"the desk answered {status}")
    writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length:")[2].split("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(" ", 2)[1])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
