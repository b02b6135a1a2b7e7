"""Many stored files as one download: a zip written while it is sent, so that neither memory nor disk holds it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from generation import storage

CHUNK_BYTES = 256 * 1024


class _Sink(io.RawIOBase):
    """Takes what the zip writes and hands it on; it cannot go back, so each file's size follows the file."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def streamed(files: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """Zip stored files: (name inside, storage key). Pictures are packed already, so nothing is compressed.

    Raises StorageError on the way when a file is gone; whoever downloads sees a broken download, not half a zip.
    """
    sink, now = _Sink(), time.localtime()[:6]
    with ZipFile(sink, "w", ZIP_STORED) as zipped:
        for name, key in files:
            with storage.open_file(key) as body, zipped.open(ZipInfo(name, now), "w") as entry:
                while chunk := body.read(CHUNK_BYTES):
                    entry.write(chunk)
                    yield sink.taken()
    yield sink.taken()
