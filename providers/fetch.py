"""The guarded fetcher: for every URL that strangers gave us, customers' inputs and vendors' result links.

A name is resolved once, its addresses are checked, and the connection goes to the checked address itself,
so that nothing can answer differently the second time. Reachable is what is global unicast by the
registries, whatever spelling led there; https on its usual port, or a host that was allowed by name.
No cookie, no Authorization, no proxy; each redirect is checked like a first URL. What it must not know:
who asks. Its errors are its own; `Provider.download` and the doors translate them.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from typing import cast
from urllib.parse import SplitResult, urljoin, urlsplit

import certifi
from django.conf import settings

from providers.sniff import Look, look
from providers.spool import CHUNK_BYTES, Spool, TooBig
from providers.wire import Deadline, TimedResponse, Watched

MOST_REDIRECTS = 3
READ_TIMEOUT_S = 20.0


class FetchError(Exception):
    """It was not fetched. `str()` is fit for the person who gave the URL; it repeats no part of it.

    retryable: the same URL may work later.
    """

    retryable = False


class Forbidden(FetchError):
    """This URL may not be fetched at all: scheme, port, host, or the address behind it."""


class Missing(FetchError):
    """Its server has no such file (4xx): a wrong or expired link."""


class TooLarge(FetchError):
    """More bytes than asked for."""


class Unreachable(FetchError):
    """No whole answer came, or the server is broken."""

    retryable = True


@dataclass(frozen=True)
class Fetched:
    """A whole file in a spool, recognised by its bytes (content type "" when unknown)."""

    spool: Spool
    look: Look


def fetch(
    url: str,
    *,
    deadline_s: float,
    limit_bytes: int | None = None,
    hosts: Sequence[str] | None = None,
    origin: str = "",
) -> Fetched:
    """Get a stranger's URL. hosts: patterns such as "*.example.com" it must match, None for any public host.

    origin: a "scheme://host:port" that the settings trust whole, so that its port, its address and plain http are
    all right; it joins `hosts`, and other places must still match those.

    Raises Forbidden, Missing, TooLarge, Unreachable. Costs one resolution and one connection per hop.
    """
    deadline = Deadline(deadline_s)
    limit = settings.PROVIDER_MAX_BYTES if limit_bytes is None else limit_bytes
    try:
        for _ in range(MOST_REDIRECTS + 1):
            found = _hop(url, deadline, limit, hosts, origin)
            if isinstance(found, Fetched):
                return found
            url = found
        raise Forbidden("The link redirects too often.")
    except TooBig as error:
        raise TooLarge("The file behind the link is too large.") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable("The link could not be read.") from error


def _hop(url: str, deadline: Deadline, limit: int, hosts: Sequence[str] | None, origin: str) -> Fetched | str:
    """Ask one server: the file, or the URL that it redirects to."""
    parts, host, port = _checked(url, hosts, origin)
    sock = _connect(host, port, deadline, any_address=_is_trusted(parts, origin))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    conn = http.client.HTTPConnection(host, port)
    conn.response_class = TimedResponse
    try:
        conn.sock = _secured(sock, host, deadline) if parts.scheme == "https" else sock
        with Watched(deadline, READ_TIMEOUT_S):
            conn.putrequest("GET", path, skip_accept_encoding=True, skip_host=True)
            conn.putheader("Host", parts.netloc)
            conn.putheader("User-Agent", "atelier/1.0")
            conn.putheader("Accept-Encoding", "identity")
            conn.putheader("Connection", "close")
            conn.endheaders()
            with conn.getresponse() as response:
                return _read(response, url, limit)
    finally:
        conn.close()
        sock.close()


def _read(response: http.client.HTTPResponse, url: str, limit: int) -> Fetched | str:
    if response.status in (301, 302, 303, 307, 308):
        return urljoin(url, response.headers.get("Location") or "")
    if response.status >= 500 or response.status in (408, 425, 429):
        raise Unreachable("The link's server is not available.")
    if response.status != 200:
        raise Missing("There is no file behind the link.")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unreachable("The link's server answered in an encoding that was not asked for.")
    spool = Spool(limit)
    try:
        if response.length is not None and response.length > limit:
            raise TooBig
        while chunk := response.read1(CHUNK_BYTES):
            spool.write(chunk)
        if response.length:  # http.client tells a short body only by what is left of its length
            raise Unreachable("The link's server broke off.")
        return Fetched(spool.rewind(), look(spool.file, spool.size_bytes))
    except BaseException:
        spool.close()
        raise


# --- What may be fetched -------------------------------------------------------------------------


def _checked(url: str, hosts: Sequence[str] | None, origin: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Forbidden("The link is not a usable address.") from error
    if not host or not url.isascii() or any(char <= " " for char in url):
        raise Forbidden("The link is not a usable address.")
    if parts.username is not None or parts.password is not None:
        raise Forbidden("The link must not hold a user name or password.")
    if _is_trusted(parts, origin):
        return parts, host, port
    if parts.scheme != "https" or port != 443:
        raise Forbidden("The link must use https on its usual port.")
    if hosts is not None and not any(fnmatch(host.lower(), pattern) for pattern in hosts):
        raise Forbidden("The link leads to a host that is not expected.")
    return parts, host, port


def _is_trusted(parts: SplitResult, origin: str) -> bool:
    return _is_ours(parts) or bool(origin) and f"{parts.scheme}://{parts.netloc}".lower() == origin.lower()


def _is_ours(parts: SplitResult) -> bool:
    """Is it the simulator's own host and port, while we are in simulated mode?"""
    simulator = urlsplit(settings.SIMULATOR_URL)
    return settings.PROVIDERS_MODE == "simulated" and (parts.scheme, parts.netloc) == (
        simulator.scheme,
        simulator.netloc,
    )


def _connect(host: str, port: int, deadline: Deadline, *, any_address: bool) -> socket.socket:
    """Resolve once, keep the public addresses, connect to one of those and to nothing else."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable("The link's host is not known.") from error
    allowed = [one for one in found if any_address or is_public(str(one[4][0]))]
    if not allowed:
        raise Forbidden("The link leads to an address that is not public.")
    last: OSError | None = None
    for family, kind, proto, _, address in allowed[:4]:
        sock = socket.socket(family, kind, proto)
        try:
            sock.settimeout(deadline.bound(settings.PROVIDER_CONNECT_TIMEOUT_S))
            sock.connect(address)
            if any_address or is_public(sock.getpeername()[0]):
                return sock
            raise Forbidden("The link leads to an address that is not public.")
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
    raise Unreachable("The link's server does not answer.") from last


def _secured(sock: socket.socket, host: str, deadline: Deadline) -> ssl.SSLSocket:
    sock.settimeout(deadline.bound(settings.PROVIDER_CONNECT_TIMEOUT_S))
    return _tls().wrap_socket(sock, server_hostname=host)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.PROVIDER_CA_BUNDLE or certifi.where())


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# `ipaddress.is_global` calls NAT64, 6to4, fec0::/10 and others global, so the ranges are written out.
_V4 = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24
    203.0.113.0/24 224.0.0.0/3
    168.63.129.16/32
"""  # the last is no special range but a cloud's metadata service
_NOT_PUBLIC_V4 = [ipaddress.IPv4Network(text) for text in _V4.split()]
# Of IPv6 only global unicast is public, which leaves out ::1, v4-mapped, NAT64, fc00::/7, fe80::/10, fec0::/10.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_V6 = "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20"
_NOT_PUBLIC_V6 = [ipaddress.IPv6Network(text) for text in _V6.split()]


def is_public(address: str) -> bool:
    """Is this numeric address reachable by everybody, and by nobody only because they stand where we do?"""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 4:
        return not _within(ip, cast("list[_Network]", _NOT_PUBLIC_V4))
    return ip in _PUBLIC_V6 and not _within(ip, cast("list[_Network]", _NOT_PUBLIC_V6))


def _within(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: list[_Network]) -> bool:
    return any(ip in network for network in networks)
