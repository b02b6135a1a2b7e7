"""Pictures that lay decoded a moment ago, for an adapter that looks at them next.

Decoding is the dearest part of a look. Only a help: whoever finds nothing here decodes. Each is given out once, and
the oldest go first when there are too many pixels.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from PIL import Image

MOST_PIXELS = 16_000_000

_kept: OrderedDict[str, Image.Image] = OrderedDict()
_lock = threading.Lock()


def keep(sha256: str, image: Image.Image) -> None:
    """Keep a decoded picture by the digest of its file."""
    with _lock:
        _kept[sha256] = image
        while sum(one.width * one.height for one in _kept.values()) > MOST_PIXELS:
            _kept.popitem(last=False)


def take(file: bytes) -> Image.Image | None:
    """Take the decoded picture of a file, if it was kept. It is the taker's to change."""
    if not _kept:
        return None
    digest = hashlib.sha256(file).hexdigest()
    with _lock:
        return _kept.pop(digest, None)
