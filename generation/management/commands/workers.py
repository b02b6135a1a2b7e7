"""manage.py workers: who works, and for a container's health check whether this host's worker does."""

from __future__ import annotations

import socket
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from generation import queue

SILENT_S = 120


class Command(BaseCommand):
    help = "List the workers with their threads and last heartbeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--alive",
            action="store_true",
            help=f"say nothing; exit 1 unless this host's worker beat within {SILENT_S} s",
        )

    def handle(self, *args: Any, alive: bool, **options: Any) -> None:
        try:
            workers = queue.workers()
        except RedisError as error:
            # The worker goes on without Redis, so its container must not be ended for that.
            if alive:
                return
            raise CommandError("Redis cannot be reached.") from error
        if alive:
            here = socket.gethostname()
            if not any(worker.host == here and worker.is_alive(SILENT_S) for worker in workers):
                raise CommandError("no worker of this host has been heard of lately")
            return
        for worker in workers:
            beat = worker.last_heartbeat.isoformat(timespec="seconds") if worker.last_heartbeat else "never"
            self.stdout.write(f"{worker.name}  {worker.host}  {worker.busy}/{worker.threads} busy  last heard {beat}")
        if not workers:
            self.stdout.write("No worker is running.")
