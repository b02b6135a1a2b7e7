from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from generation import prune


class Command(BaseCommand):
    help = "Clear what is past its time: old events, idempotency rows, chores, metrics, orphan files."

    def handle(self, *args: Any, **options: Any) -> None:
        for what, count in prune.prune().items():
            self.stdout.write(f"{what:12} {count}")
