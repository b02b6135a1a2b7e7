"""Run the bench: `make bench`, or one group of figures by `make bench ONLY=claim`.

SCALE=0.1 makes everything smaller, to see that it works; its numbers prove nothing.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from types import FrameType
from typing import Any

from bench import figures
from bench.figures import Figure
from config import env
from config.embedded import services, throwaway

PREFIX = "atelier-bench-"
# group -> what it measures; each is a module with `measure(scale) -> list[Figure]`
GROUPS = {
    "submit": "A submit: token, throttle, validation, price, idempotency, charge, rows, event, bell, hint",
    "http": "Submits over HTTP, 32 connections, one web process",
    "polls": "The MakeIt3D door read in process: status, and lists of 10,000",
    "routes": "Every route of the API in process",
    "pages": "Every page of the console and the busiest customer's, 100,000 requests in the table",
    "paint": "First paint of the same pages in Chromium",
    "throughput": "No-op items through claim, call, keep and settle",
    "claim": "Claims with a long queue",
    "idle": "An idle desk: from the submit's commit to the provider's door",
    "in_flight": "200 in flight: 2 workers of 100 threads, pictures of 200 KB, thumbnails included",
    "adapters": "Calls to providers: CPU in the adapter layer, the wait left out",
    "parked": "100 calls parked at an asynchronous vendor",
    "streams": "200 answers of 20 MB through one worker into the store",
    "poses": "Poses: the small pictures of one, and a hundred beside a provider of one second",
    "stories": "Stories: from a start to the last picture and to its end being told; reading segments.md",
    "sockets": "500 sockets: from a commit to what the browser hears",
}


def main() -> int:
    chosen = env.words("ONLY") or sys.argv[1:] or list(GROUPS)
    if unknown := [name for name in chosen if name not in GROUPS]:
        print(f"bench: no group {', '.join(unknown)}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    scale = env.number("SCALE", 1.0)
    os.environ |= SETTINGS
    for name in ("REDIS_HOST", "WORKER_THREADS", "WORKER_ONLY", "DATABASE_POOL_SIZE", "SIMULATOR_URL"):
        os.environ.pop(name, None)
    signal.signal(signal.SIGTERM, _stop)
    with throwaway.run(PREFIX, durable=True):
        desk = _open_desk()
        machine = desk.machine()
        print("  ".join(f"{name}: {value}" for name, value in machine.items()), flush=True)
        measured: dict[str, list[Figure]] = {}
        for name in chosen:
            desk.empty()
            began = time.monotonic()
            measured[name] = importlib.import_module(f"bench.{name}").measure(scale)
            title = f"{name}: {GROUPS[name]} ({time.monotonic() - began:.0f} s)"
            print(figures.table(title, measured[name]), flush=True)
        print(f"\n{figures.document(machine, measured)}")
    return 0


SETTINGS = {
    "LOCAL": "1",
    "PROVIDERS_MODE": "simulated",
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "LOG_LEVEL": "warning",
    "LOG_FORMAT": "plain",
    "SIGNUP_GRANT_CREDITS": "0",
    "VISUAL_RATE_LIMIT": "1000000",  # still counted, never reached
    "MAKEIT3D_READS_PER_MINUTE": "1000000",
    "VISUAL_PROVIDER_ORDER": "openai,huggingface",
    "AUDIT_INTERVAL_S": "86400",
}


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(f"bench: stopped by {signal.Signals(number).name}")  # everything that was started is stopped


def _open_desk() -> Any:
    """Set Django up in this process, on the services that were just started."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    return importlib.import_module("bench.desk")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except services.ServiceError as error:
        sys.exit(f"bench: {error}")
