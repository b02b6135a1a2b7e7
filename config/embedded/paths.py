"""Where a local desk keeps its things: data, pictures, secrets and the file that names the running services."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from config.env import ROOT, text


def state_dir() -> Path:
    """The folder of everything that outlives a run.

    An ordinary user's lies in the checkout. Root's must be readable by the unprivileged user that
    PostgreSQL runs as, so it lies outside root's home. ATELIER_STATE_DIR overrides both.
    """
    chosen = text("ATELIER_STATE_DIR", "")
    if chosen:
        return Path(chosen)
    if os.getuid() != 0:
        return ROOT / ".atelier"
    return Path("/var/lib/atelier") / f"{ROOT.name}-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:10]}"


def run_file() -> Path:
    return state_dir() / "run.json"


def is_held() -> bool:
    """Whether a launcher holds this desk: it keeps a lock on the folder for as long as it lives."""
    folder = os.open(state_dir(), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


def media_dir() -> Path:
    return state_dir() / "media"


def secret_key_file() -> Path:
    return state_dir() / "secret_key"


def socket_dir() -> Path:
    """A private, short folder for unix sockets: their paths may not exceed 107 bytes, checkouts' may."""
    mark = hashlib.sha256(str(state_dir().resolve()).encode()).hexdigest()[:10]
    return Path("/tmp") / f"atelier-{os.getuid()}-{mark}"


def redis_socket() -> Path:
    return socket_dir() / "redis.sock"
