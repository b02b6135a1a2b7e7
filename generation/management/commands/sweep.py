from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from generation import engine


class Command(BaseCommand):
    help = "Run the periodic pass once: expired leases, due retries, deadlines, ageing, audit."

    def handle(self, *args: Any, **options: Any) -> None:
        for part, count in engine.sweep().items():
            self.stdout.write(f"{part:24} {count}")
