from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from generation import audit


class Command(BaseCommand):
    help = "Check the ledger, the items and their assets against each other, in full. Exits 1 when a fault is found."

    def handle(self, *args: Any, **options: Any) -> None:
        faults = audit.run(full=True)
        for fault in faults:
            self.stdout.write(f"{fault['rule']:26} {fault['subject']}  {fault['text']}")
        self.stdout.write("clean" if not faults else f"{len(faults)} faults")
        if faults:
            sys.exit(1)
