"""The one way to providers: timeouts, byte caps, and from whatever happens to one class of error.

`send` makes exactly one call and retries nothing: a retry is a row of the desk. It answers for every
status; `error_for` turns a bad one into the class that decides. What it must not know: any vendor.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from django.conf import settings
from urllib3.exceptions import DecodeError, HTTPError

from providers import errors, secrets
from providers.spool import CHUNK_BYTES, Spool, TooBig
from providers.wire import Deadline, TimedAdapter, Watched

RETRY_AFTER_S = (1.0, 300.0)
READ_TIMEOUT_S = 30.0  # between two reads of an answer to a question; a paid call may be silent to its deadline
ERROR_BYTES = 64 * 1024
JSON_BYTES = 2 * 1024 * 1024
LONGEST_KEY = 300


@dataclass(frozen=True)
class Outgoing:
    """One call, ready to go. Give `json`, or `fields` and `files` for multipart, or neither.

    files: (field, (name, bytes, media type)). repeatable: asking costs and changes nothing, so an answer
    that does not come is no loss. limit_bytes: None takes the desk's cap.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    fields: Mapping[str, str] | None = None
    files: tuple[tuple[str, tuple[str, bytes, str]], ...] = ()
    repeatable: bool = False
    limit_bytes: int | None = None


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status. The body is a spool; close it unless it is handed on. url: who was asked."""

    status: int
    headers: Mapping[str, str]
    spool: Spool
    took_s: float
    url: str = ""

    def json(self) -> Any:
        """Parse the body and close it. Raises BadAnswer when it is not JSON of reasonable size."""
        try:
            if self.spool.size_bytes > JSON_BYTES:
                raise ValueError("too long")
            return json.loads(self.spool.head(JSON_BYTES))
        except (ValueError, RecursionError) as error:
            raise errors.BadAnswer(http_status=self.status, detail=f"not JSON: {self.excerpt()}") from error
        finally:
            self.spool.close()

    def excerpt(self, length: int = 300) -> str:
        """The start of the body for staff, without secrets: also without half of one that lies across the cut."""
        return secrets.redact(self.spool.head(length + LONGEST_KEY).decode("utf-8", "replace"), length)


_sessions: dict[int, requests.Session] = {}
_sessions_lock = threading.Lock()


def session() -> requests.Session:
    """This process's session, shared by its threads; a forked child makes its own."""
    found = _sessions.get(os.getpid())
    if found is None:
        with _sessions_lock:
            found = _sessions.setdefault(os.getpid(), _new_session())
    return found


def _new_session() -> requests.Session:
    made = requests.Session()
    made.trust_env = False  # a proxy or .netrc of the machine must not see keys
    made.headers.clear()
    # Compressing pictures costs both sides CPU; what comes compressed all the same is decoded under the cap.
    made.headers.update({"User-Agent": "atelier/1.0", "Accept": "*/*", "Accept-Encoding": "identity"})
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = TimedAdapter(settings.PROVIDER_CA_BUNDLE)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


def send(call: Outgoing, deadline: Deadline) -> Answer:
    """Make one call and stream its answer into a spool.

    Raises NetworkError (never processed), AnswerLost (sent, answer gone; for a repeatable call NetworkError
    or ProviderTimeout instead), BadAnswer (too many bytes, damaged encoding), Misconfigured (plain http).
    """
    _refuse_unsafe(call.url)
    began = time.monotonic()
    limit = settings.PROVIDER_MAX_BYTES if call.limit_bytes is None else call.limit_bytes
    spool: Spool | None = None
    try:
        connect_s = deadline.bound(settings.PROVIDER_CONNECT_TIMEOUT_S)
        with Watched(deadline, READ_TIMEOUT_S if call.repeatable else None):
            response = session().request(
                call.method,
                call.url,
                headers=dict(call.headers),
                json=call.json,
                files=_parts(call),
                timeout=(connect_s, deadline.bound(None)),
                allow_redirects=False,
                stream=True,
            )
            with response:
                is_error = response.status_code >= 400
                spool = Spool(ERROR_BYTES if is_error else limit)
                try:
                    for chunk in response.raw.stream(CHUNK_BYTES, decode_content=True):
                        spool.write(chunk)
                except (TooBig, HTTPError, OSError):
                    if not is_error:  # an endless or broken error page is still that error
                        raise
                took_s = time.monotonic() - began
                return Answer(response.status_code, response.headers, spool.rewind(), took_s, call.url)
    except TooBig as error:
        _close(spool)
        raise errors.BadAnswer(detail=f"the answer is too big: {error}") from error
    except (requests.exceptions.ContentDecodingError, DecodeError) as error:
        _close(spool)
        raise errors.BadAnswer(detail="the answer's encoding is damaged") from error
    except (requests.exceptions.RequestException, HTTPError, OSError) as error:
        _close(spool)
        _raise_broken(error, call, deadline)


def _parts(call: Outgoing) -> list[tuple[str, tuple[str | None, Any] | tuple[str, bytes, str]]] | None:
    """Multipart for every call with fields: given as plain data, text alone would go out urlencoded."""
    if call.fields is None and not call.files:
        return None
    return [*((name, (None, value)) for name, value in (call.fields or {}).items()), *call.files]


def _close(spool: Spool | None) -> None:
    if spool:
        spool.close()


def _refuse_unsafe(url: str) -> None:
    """Plain http never outside simulated mode; in simulated mode nowhere but to the simulator."""
    if settings.PROVIDERS_MODE == "simulated":
        if not url.startswith(settings.SIMULATOR_URL + "/"):
            raise errors.Misconfigured(detail="simulated mode calls nobody but the simulator")
    elif urlsplit(url).scheme != "https":
        raise errors.Misconfigured(detail="a provider's URL must be https")


def _raise_broken(error: Exception, call: Outgoing, deadline: Deadline) -> NoReturn:
    """No whole answer came: say whether the vendor can have processed, and billed, the call."""
    detail = secrets.redact(f"{type(error).__name__}: {error}")
    timed_out = isinstance(error, TimeoutError | requests.exceptions.Timeout) or "timed out" in str(error)
    if not deadline.was_sent:
        raise errors.NetworkError(detail=f"before sending: {detail}") from error
    if call.repeatable:
        kind = errors.ProviderTimeout if timed_out or deadline.left_s() <= 0 else errors.NetworkError
        raise kind(detail=detail) from error
    code = "TIMEOUT" if timed_out or deadline.left_s() <= 0 else "NETWORK_ERROR"
    raise errors.AnswerLost(code=code, detail=f"after sending: {detail}") from error


# --- Status -> error -----------------------------------------------------------------------------

_BY_STATUS: dict[int, type[errors._Decided]] = {
    400: errors.Refused,
    401: errors.OurKeyRefused,
    402: errors.OurAccountEmpty,
    403: errors.OurKeyRefused,
    404: errors.ModelGone,
    405: errors.Misconfigured,
    408: errors.ProviderTimeout,
    409: errors.Unavailable,
    410: errors.ModelGone,
    413: errors.Refused,
    415: errors.Refused,
    422: errors.Refused,
    425: errors.Unavailable,
    429: errors.RateLimited,
    504: errors.ProviderTimeout,
}


def error_for(status: int, headers: Mapping[str, str], detail: str) -> errors.ProviderError:
    """The class that a status stands for when the vendor's body says nothing better."""
    wait = retry_after_s(headers)
    if kind := _BY_STATUS.get(status):
        return kind(http_status=status, retry_after_s=wait, detail=detail)
    if status >= 500:
        return errors.Unavailable(http_status=status, retry_after_s=wait, detail=detail)
    return errors.ProviderError(
        f"HTTP_{status}",
        "The provider could not make this.",
        retryable=False,
        http_status=status,
        unclassified=True,
        detail=detail,
    )


_RESET = re.compile(r"(?:^|;)\s*t=(\d+)")


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """How long the vendor asks to wait, clamped to 1-300 s; None when it does not say anything usable."""
    if (ms := _number(headers.get("retry-after-ms"))) is not None:
        return clamp_wait(ms / 1000)
    raw = (headers.get("retry-after") or "").strip()
    if (seconds := _number(raw)) is not None:
        return clamp_wait(seconds)
    if raw:
        try:
            at = parsedate_to_datetime(raw)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return clamp_wait((at - (now or datetime.now(UTC))).total_seconds())
    if found := _RESET.search(headers.get("ratelimit") or ""):
        return clamp_wait(float(found[1]))
    return None


def clamp_wait(seconds: float) -> float:
    low, high = RETRY_AFTER_S
    return min(high, max(low, seconds))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return None if value != value else value
