"""Bodies that are too big to hold: streamed into a file that stays in memory while small, capped, hashed."""

from __future__ import annotations

import hashlib
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

IN_MEMORY_BYTES = 512 * 1024
CHUNK_BYTES = 64 * 1024


class TooBig(Exception):
    """More bytes came than the cap allows. What came so far is discarded by closing the spool."""


class Spool:
    """Write, then `rewind()` and read `file`. Beyond `limit_bytes` `write` raises TooBig."""

    def __init__(self, limit_bytes: int) -> None:
        self.file = cast(BinaryIO, SpooledTemporaryFile(max_size=IN_MEMORY_BYTES))  # noqa: SIM115  who takes it closes it
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self.size_bytes > self._limit_bytes:
            raise TooBig(f"more than {self._limit_bytes} bytes")
        self._hash.update(data)
        self.file.write(data)

    def rewind(self) -> Spool:
        self.file.seek(0)
        return self

    def head(self, size: int) -> bytes:
        self.file.seek(0)
        data = self.file.read(size)
        self.file.seek(0)
        return data

    def close(self) -> None:
        self.file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()
