"""manage.py bucket: make the bucket for files, where it does not exist yet and we may."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError

from generation.storage import StorageError


class Command(BaseCommand):
    help = "Make the bucket STORAGE_BUCKET unless it exists. With local files there is nothing to do."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.STORAGE_BACKEND != "s3":
            self.stdout.write("Files are kept in a local folder.")
            return
        try:
            is_new: bool = default_storage.make_bucket()  # type: ignore[attr-defined]
        except (OSError, StorageError) as error:
            raise CommandError(f"the bucket cannot be made: {error}") from error
        self.stdout.write(f"{settings.STORAGE_BUCKET}: {'made' if is_new else 'exists'}")
