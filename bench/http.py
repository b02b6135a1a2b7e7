"""Submits over HTTP: 32 connections that are kept open, against one real web process, from a process of its own."""

from __future__ import annotations

import json

from bench import desk
from bench.figures import Figure, percentile
from bench.submit import PATH

CONNECTIONS, CALLS = 32, 3000


def measure(scale: float) -> list[Figure]:
    calls = max(4 * CONNECTIONS, int(CALLS * scale))
    people = desk.people(CONNECTIONS)
    port = desk.free_port()
    task = {
        "port": port,
        "path": PATH,
        "tokens": [desk.token(one) for one in people],
        "bodies": [json.dumps(desk.body(number)) for number in range(calls)],
        "warm_up": CONNECTIONS,
    }
    client = desk.client("bench.http_client", task)
    with desk.running(desk.web(port)) as web:
        with desk.running(client):
            before_s = desk.cpu_s(web)
            answer = desk.await_answer(client, 300)
        web_ms = 1000 * (desk.cpu_s(web) - before_s) / calls
    samples = answer["samples_ms"]
    name = f"over HTTP, {CONNECTIONS} connections"
    return [
        Figure(f"{name}, p50", percentile(samples, 50), "ms"),
        Figure(f"{name}, p99", percentile(samples, 99), "ms"),
        Figure(f"{name}, one web process", answer["calls_per_s"], "1/s", note=f"CPU ms a call: web {web_ms:.1f}"),
    ]
