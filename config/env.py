"""The only reader of the environment.

Each helper names the variable it read when the value is unusable, so that a wrong setting stops the
start with one line instead of a traceback later. Must not know Django: manage.py, the launcher and
the settings all read through here.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent

_REQUIRED = object()


class SettingError(Exception):
    """A setting that cannot be used. The text names the variable and the rule, never its value."""


def text(name: str, default: Any = _REQUIRED) -> str:
    """Read a string; an empty value counts as absent. Raises SettingError when required and absent."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is _REQUIRED:
        raise SettingError(f"{name} is not set")
    return str(default)


def integer(name: str, default: int, *, low: int | None = None, high: int | None = None) -> int:
    raw = text(name, "")
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise SettingError(f"{name} must be a whole number") from None
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        raise SettingError(f"{name} must be {bounds}")
    return value


def number(name: str, default: float, *, low: float = 0.0) -> float:
    raw = text(name, "")
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        raise SettingError(f"{name} must be a number") from None
    if not low <= value < float("inf"):
        raise SettingError(f"{name} must be at least {low}")
    return value


def boolean(name: str, default: bool) -> bool:
    raw = text(name, "").lower()
    if not raw:
        return default
    if raw in ("1", "true", "yes", "on"):
        return True
    if raw in ("0", "false", "no", "off"):
        return False
    raise SettingError(f"{name} must be true or false")


def choice(name: str, default: str, among: Sequence[str]) -> str:
    value = text(name, default).lower()
    if value not in among:
        raise SettingError(f"{name} must be one of: {', '.join(among)}")
    return value


def words(name: str, default: Sequence[str] = ()) -> list[str]:
    """Read a comma-separated list."""
    raw = text(name, "")
    return [word.strip() for word in raw.split(",") if word.strip()] if raw else list(default)


def url(name: str, default: str = "", *, schemes: Sequence[str]) -> str:
    value = text(name, default)
    if value and urlsplit(value).scheme not in schemes:
        raise SettingError(f"{name} must be a URL starting with {' or '.join(s + '://' for s in schemes)}")
    return value


def origins(name: str) -> list[str]:
    """Read a comma-separated list of browser origins: scheme and host, perhaps a port, no path."""
    found = [origin.rstrip("/") for origin in words(name)]
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
            raise SettingError(f"{name} must list origins such as https://app.example.com")
    return found


def hosts(name: str) -> list[str]:
    """Read a comma-separated list of hosts (`*` stands for any letters) and of origins with their scheme."""
    found = [host.lower().rstrip("/") for host in words(name)]
    for host in found:
        if not re.fullmatch(r"(https?://[a-z0-9.-]+(:[0-9]+)?|[a-z0-9*][a-z0-9.*-]*)", host):
            raise SettingError(f"{name} must list hosts such as *.example.com, or origins such as https://example.com")
    return found


def counts(name: str) -> dict[str, int]:
    """Read a comma-separated list of `word=number`."""
    found = {}
    for entry in words(name):
        word, _, number = entry.partition("=")
        if not word.strip() or not number.strip().isdecimal():
            raise SettingError(f"{name} must list words with whole numbers, such as text-to-image=10")
        found[word.strip()] = int(number)
    return found


def json_list(name: str) -> list[Any]:
    raw = text(name, "")
    if not raw:
        return []
    try:
        value = json.loads(raw)
    except ValueError:
        raise SettingError(f"{name} must be valid JSON") from None
    if not isinstance(value, list):
        raise SettingError(f"{name} must be a JSON list")
    return value


def use_local_desk() -> None:
    """Take the settings of the desk that `make run` keeps in this checkout, unless some are given.

    The launcher writes them to a file that only its user can read. Without that file and without
    DATABASE_URL the process runs in local mode, against embedded services that may not be up.
    """
    if text("DATABASE_URL", "") or text("SECRET_KEY", "") or text("LOCAL", ""):
        return
    from config.embedded import paths

    run_file = paths.run_file()
    # A launcher that was killed hard leaves its file: it counts only while somebody holds the desk.
    if run_file.exists() and _is_private(run_file) and paths.is_held():
        for name, value in json.loads(run_file.read_text()).items():
            os.environ.setdefault(name, value)
    else:
        os.environ["LOCAL"] = "1"


def _is_private(path: Path) -> bool:
    info = path.stat()
    return info.st_uid == os.getuid() and not stat.S_IMODE(info.st_mode) & 0o077
