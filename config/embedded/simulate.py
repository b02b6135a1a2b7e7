"""The providers' simulator as a process of its own: `manage.py simulator` without Django, whose start costs seconds."""

from __future__ import annotations

import signal
import sys

from providers.simulator.server import Simulator


def main(port: int) -> None:
    simulator = Simulator("127.0.0.1", port)
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: simulator.stop())
    simulator.forever(lambda: None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
