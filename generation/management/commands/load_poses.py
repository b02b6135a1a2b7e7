"""manage.py load_poses: fill the pose library. Safe to run at any time and as often as you like."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation.doors.poses import library
from generation.storage import StorageError


class Command(BaseCommand):
    help = "Load our own poses into the library and draw their pictures; what is there already is left alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--redraw", action="store_true", help="draw again what the store has lost")

    def handle(self, *args: Any, redraw: bool, **options: Any) -> None:
        try:
            loaded = library.load(redraw=redraw)
        except StorageError as error:
            raise CommandError(str(error)) from error
        if options["verbosity"]:
            self.stdout.write(f"{loaded.added} added, {loaded.redrawn} redrawn, {loaded.unchanged} as they were")
