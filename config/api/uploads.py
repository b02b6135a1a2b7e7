"""No multipart body is longer than the largest file that anybody may bring.

Django writes files to disk before a view is asked, and before it is known who sends them.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler


class Limit(FileUploadHandler):
    """Goes before the handlers that keep files, and refuses by the declared length; nothing beyond that is read."""

    def handle_raw_input(
        self, input_data: Any, META: dict[str, str], content_length: int, boundary: str, encoding: str | None = None
    ) -> None:
        if content_length > settings.UPLOAD_LIMIT_BYTES:
            raise RequestDataTooBig("The body is longer than any that is taken.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
