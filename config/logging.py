"""Logs: one line per fact, with the ids of whoever speaks, and never a secret.

Django calls `configure` before it loads anything else, because settings name it as LOGGING_CONFIG; so web,
workers and commands cannot leave the redaction out. Redaction works on the finished text, so that it
covers messages, extra fields and tracebacks alike.
"""

from __future__ import annotations

import logging
import logging.config
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from pythonjsonlogger.json import JsonFormatter

from config.api import trace
from providers import secrets

HIDDEN = "[hidden]"

_SECRET_NAME = (
    r"authorization|proxy-authorization|cookie|set-cookie|x-api-key|api[_-]?key|(?:access|refresh|id|auth)?[_-]?token"
    r"|password|passwd|secret|client[_-]?secret|signature|sig|sid|x-amz-(?:signature|credential|security-token)"
)
_PATTERNS = (
    # Credentials by their own look: bearer words, JWTs, the vendors' keys.
    (re.compile(r"\b(Bearer|Basic|Token|Key)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), HIDDEN),
    (re.compile(r"\b(?:sk|hf|r8|tsk|pk|rk)[-_][A-Za-z0-9_-]{12,}"), HIDDEN),
    # `?token=…`, `password=…`
    (re.compile(rf"(?<![A-Za-z])({_SECRET_NAME})=([^&\s\"'<>,;]+)", re.IGNORECASE), rf"\1={HIDDEN}"),
    # `Authorization: …`, `"api_key": "…"`
    (re.compile(rf"(?<![A-Za-z])({_SECRET_NAME})([\"']?\s*:\s*)([\"'])(.*?)\3", re.IGNORECASE), rf"\1\2\3{HIDDEN}\3"),
    (re.compile(rf"(?<![A-Za-z])({_SECRET_NAME})(:\s*)(?![\s\"'\[])[^\r\n\"',;]+", re.IGNORECASE), rf"\1\2{HIDDEN}"),
    # The token of a webhook's address
    (re.compile(r"(/hooks/[\w-]+/)[\w-]+"), rf"\1{HIDDEN}"),
    # `scheme://user:password@host`
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@", re.IGNORECASE), rf"\1:{HIDDEN}@"),
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SECRET_FIELD = re.compile(rf"(?:{_SECRET_NAME})", re.IGNORECASE)

# The values of our own secret settings, filled by `configure`: hidden wherever they turn up, as is what a vault gave.
_our_secrets: list[str] = []


def configure(options: dict[str, Any]) -> None:
    """Set up logging for this process. Called by Django with settings.LOGGING."""
    _our_secrets[:] = sorted(set(_secret_settings()), key=len, reverse=True)
    formatter = {"json": Json, "plain": Plain}[options["format"]]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": formatter}},
            "filters": {"faults": {"()": Faults}},
            # The level is held here too: some libraries set one of their own.
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "level": options["level"]}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            # These bring handlers of their own; their lines go through ours alone.
            "loggers": {
                name: {"handlers": [], "level": "NOTSET", "propagate": not _is_off(name)}
                for name in ("django", "django.server", "uvicorn", "uvicorn.error", "uvicorn.access", "rq.worker")
            }
            | {"django.request": {"filters": ["faults"]}}
            # The wire chatter of clients says nothing here.
            | {name: {"level": "WARNING"} for name in ("botocore", "urllib3", "asyncio", "PIL", "websockets")},
        }
    )
    logging.captureWarnings(True)
    if settings.SENTRY_DSN:
        _tell_sentry(settings.SENTRY_DSN)


def _is_off(name: str) -> bool:
    """Was this logger cut off on purpose? A server does so that is told to log no calls; each is logged by us."""
    logger = logging.getLogger(name)
    return not (logger.handlers or logger.propagate)


def redact(text: str) -> str:
    """Hide every credential in a text."""
    for secret in (*_our_secrets, *secrets.known()):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def scrub(value: Any) -> Any:
    """Hide every credential in a structure: by the name of its field, and in its texts."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if item and isinstance(key, str) and _SECRET_FIELD.fullmatch(key) else scrub(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    return redact(value) if isinstance(value, str) else value


class Faults(logging.Filter):
    """Lets through what went wrong, not what was refused: each call is logged once, with its status, elsewhere."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


class Json(JsonFormatter):
    """One JSON object per line: time, level, logger, message, trace, the bound ids and the record's own fields."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        ids = {"trace": trace.trace_id.get() or None, **trace.bound()}
        whole = {**{name: value for name, value in ids.items() if value is not None}, **log_data}
        found: dict[str, Any] = scrub(super().process_log_record(whole))
        return found


class Plain(logging.Formatter):
    """One readable line per fact, for a terminal. What a stranger sent cannot begin another one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={value}" for name, value in trace.bound().items())
        line = super().formatMessage(record) + (f"  [{ids}]" if ids else "")
        return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], line)


def _secret_settings() -> Iterator[str]:
    database = settings.DATABASES["default"].get("PASSWORD", "")
    jwt_issuers = [issuer.get("secret", "") for issuer in settings.JWT_ISSUERS if isinstance(issuer, dict)]
    for value in (
        settings.SECRET_KEY,
        settings.SIMPLE_JWT["SIGNING_KEY"],
        settings.JWT_SECRET,
        settings.SUPABASE_JWT_SECRET,
        settings.METRICS_TOKEN,
        settings.STORAGE_SECRET_ACCESS_KEY,
        database,
        *jwt_issuers,
    ):
        if value and len(value) >= secrets.SHORTEST:
            yield value


def _tell_sentry(dsn: str) -> None:
    import sentry_sdk

    sentry_sdk.init(
        dsn=dsn,
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        before_send=lambda event, hint: scrub(event),
        before_breadcrumb=lambda crumb, hint: scrub(crumb),
    )
