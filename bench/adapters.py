"""Calls to providers: the CPU that the adapter layer takes for one, the wait left out."""

from __future__ import annotations

import http.client
import io
import statistics
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from PIL import Image

from bench import desk
from bench.figures import Figure, spread
from providers import registry
from providers.base import Call, Made, Pending, Provider, Ready
from providers.simulator import models

CALLS, WARM_UP = 25, 3
PICTURE_BYTES = 200_000
NO_LIMIT = (1_000_000, 60.0)  # still counted, never reached


def measure(scale: float) -> list[Figure]:
    """Measure each operation's first offer, with the thread's own clock of CPU time, against a simulator at once."""
    count = max(5, int(CALLS * scale))
    figures = []
    with desk.running(desk.simulator(delay_s=0, picture_bytes=PICTURE_BYTES)):
        figures.append(_reference(count))
        for vendor in registry.VENDORS:
            for operation, offer in vendor.offers.items():
                samples = _cpu_ms(vendor.alias, operation, offer.models[0], count)
                name = f"{vendor.alias}, {operation}, p50"
                figures.append(Figure(name, statistics.median(samples), "ms", note=spread(samples, 90)))
    return figures


def _reference(count: int) -> Figure:
    """What the bytes alone cost: the same picture fetched and thrown away by the standard library."""
    call = {"model": "gpt-image-2", "prompt": "a lighthouse", "size": "1024x1024"}
    samples = []
    connection = http.client.HTTPConnection(str(urlsplit(settings.SIMULATOR_URL).netloc))
    for _ in range(count + WARM_UP):
        began = time.thread_time()
        headers = {"Authorization": "Bearer sk-simulator", "Content-Type": "application/json"}
        connection.request("POST", "/openai/v1/images/generations", str(call).replace("'", '"'), headers)
        connection.getresponse().read()
        samples.append(1000 * (time.thread_time() - began))
    connection.close()
    return Figure("a picture in base64, read and thrown away, p50", statistics.median(samples), "ms", note="reference")


def _forget() -> None:
    """Let the simulator forget how many calls it has seen: it keeps to the vendors' limits too."""
    desk.simulator_says("POST", "_reset")
    desk.simulator_says("POST", "_settings", {"delay_s": 0, "poll_gap_s": 0, "picture_bytes": PICTURE_BYTES})


def _cpu_ms(alias: str, operation: str, model: str, count: int) -> list[float]:
    provider = registry.adapter(alias)
    _forget()
    setattr(settings, provider.chapter, {**provider.conf, "WINDOW": NO_LIMIT})
    call = Call(operation, model, _inputs(operation), 30.0, "bench")
    samples = []
    for _ in range(count + WARM_UP):
        began = time.thread_time()
        _make(provider, call)
        samples.append(1000 * (time.thread_time() - began))
    return samples[WARM_UP:]


def _make(provider: Provider, call: Call) -> None:
    """Make one call to its end, and let its files go."""
    state: Made | Pending | Ready = provider.run(call)
    while not isinstance(state, Made):
        if isinstance(state, Pending):
            state = provider.poll(state.remote_id, call)
        elif isinstance(state, Ready):
            follow = Call(call.operation, call.model, call.inputs, call.deadline_s, call.attempt_ref, state.remote_id)
            state = provider.run(follow)
    for file in state.files:
        file.body.close()


def _inputs(operation: str) -> Mapping[str, Any]:
    words = {"prompt": "a lighthouse on a cliff, with gulls around it", "select_prompt": "the lighthouse"}
    picture, mask = _png(512, 512, "teal"), _png(512, 512, "white")
    pictures = [picture, None, picture, None] if operation == "multiview-to-model" else [picture]
    if operation == "refine-model":
        return {**words, "model": models.glb(7)}
    takes_none = operation.startswith("text-to-")
    return {**words, **({} if takes_none else {"images": pictures, "mask": mask})}


def _png(width: int, height: int, colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()
