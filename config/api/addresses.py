"""Where a call comes from, as far as the proxies in front may be believed (TRUSTED_PROXIES)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

UNKNOWN = "unknown"


def client_address(peer: str, forwarded_for: str = "") -> str:
    """The client's address, or `unknown`.

    Each trusted proxy appends the address it was called from, so with n of them the client is the
    n-th from the right; what stands further left was written by the client itself.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    believed = [*hops, peer][-(settings.TRUSTED_PROXIES + 1) :]
    try:
        address = ipaddress.ip_address(_without_port(believed[0]))
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    return hop.partition("%")[0]


def of_request(request: HttpRequest) -> str:
    return client_address(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def of_scope(scope: Mapping[str, Any]) -> str:
    """The client's address of an ASGI connection."""
    peer = (scope.get("client") or ("",))[0] or ""
    forwarded = b", ".join(value for name, value in scope.get("headers", ()) if name == b"x-forwarded-for")
    return client_address(peer, forwarded.decode("latin-1"))


def network(address: str) -> str:
    """The key by which an address is limited: an IPv6 subscriber holds a whole /64, so that counts as one."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False).network_address)
