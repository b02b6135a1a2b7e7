"""Run the simulator until it is told to stop."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from providers.simulator.server import Simulator


class Command(BaseCommand):
    help = "Speak the vendors' wire protocols on a local port, with pictures and scripted faults."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=4010)
        parser.add_argument("--delay", type=float, help="seconds that making takes; 1.5 unless given")

    def handle(self, *args: Any, **options: Any) -> None:
        simulator = Simulator(options["host"], options["port"])
        if options["delay"] is not None:
            simulator.desk.settings.delay_s = options["delay"]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: simulator.stop())
        try:
            simulator.forever(lambda: self.stdout.write(f"simulator: {simulator.url}/"))
        except OSError as error:
            raise CommandError(f"cannot listen on {options['host']}:{options['port']}: {error.strerror}") from error
