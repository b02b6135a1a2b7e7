"""Take big base64 values out of a JSON answer without ever holding them whole.

A 20 MB picture inside JSON would cost 27 MB of text, the same again parsed, and 20 MB decoded, for each
call in flight. Here the value is decoded piece by piece into a spool and the rest is parsed as usual.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, BinaryIO

from providers.spool import CHUNK_BYTES, Spool, TooBig

SKELETON_BYTES = 1024 * 1024  # what remains of an answer when its pictures are out


class NotJSON(ValueError):
    """The answer is not the JSON object that was asked for, or its base64 is damaged."""


def lift(body: BinaryIO, key: str, limit_bytes: int) -> tuple[dict[str, Any], list[Spool]]:
    """Parse `body`; the n-th value of `key` comes back as the n-th spool and reads as "" in the document.

    Raises NotJSON for anything but a JSON object with sound base64, TooBig beyond `limit_bytes` a value.
    """
    marker = re.compile(rb'"%s"\s*:\s*"' % re.escape(key.encode()))
    keep = len(key) + 64  # a marker may lie across two chunks
    skeleton, pending, spools = bytearray(), b"", []
    try:
        while True:
            chunk = body.read(CHUNK_BYTES)
            pending += chunk
            while found := marker.search(pending):
                skeleton += pending[: found.end()]
                spool = Spool(limit_bytes)
                spools.append(spool)
                pending = _decode_until_quote(body, pending[found.end() :], spool)
            if not chunk:
                break
            skeleton += pending[:-keep]
            pending = pending[-keep:]
            if len(skeleton) > SKELETON_BYTES:
                raise TooBig(f"more than {SKELETON_BYTES} bytes of JSON")
        document = json.loads(bytes(skeleton) + pending)
        if not isinstance(document, dict):
            raise NotJSON("not a JSON object")
    except (ValueError, RecursionError, TooBig) as error:
        for spool in spools:
            spool.close()
        if isinstance(error, NotJSON):
            raise
        raise NotJSON(f"not JSON: {type(error).__name__}") from error
    return document, spools


def _decode_until_quote(body: BinaryIO, data: bytes, spool: Spool) -> bytes:
    """Decode base64 from `data` and what follows it up to the closing quote; returns what is left from it on."""
    rest = b""
    while True:
        text, quote, after = data.partition(b'"')
        # JSON may write a slash as \/; white space inside base64 is tolerated by every decoder.
        text = rest + text.replace(b"\\", b"")
        whole = len(text) if quote else len(text) - len(text) % 4
        try:
            spool.write(base64.b64decode(text[:whole], validate=True))
        except binascii.Error as error:
            raise NotJSON("damaged base64") from error
        if quote:
            spool.rewind()
            return quote + after
        rest = text[whole:]
        data = body.read(CHUNK_BYTES)
        if not data:
            raise NotJSON("cut off inside base64")
