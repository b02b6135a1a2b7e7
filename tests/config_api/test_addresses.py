from __future__ import annotations

from typing import Any

import pytest

from config.api.addresses import client_address, network, of_scope


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "expected"),
    [
        (0, "192.0.2.1", "", "192.0.2.1"),
        (0, "192.0.2.1", "198.51.100.9", "192.0.2.1"),  # nobody is trusted: the header is the client's own word
        (1, "10.0.0.1", "198.51.100.9", "198.51.100.9"),
        (1, "10.0.0.1", "6.6.6.6, 198.51.100.9", "198.51.100.9"),  # what stands left was written by the client
        (2, "10.0.0.1", "6.6.6.6, 198.51.100.9, 10.0.0.2", "198.51.100.9"),
        (2, "10.0.0.1", "198.51.100.9", "198.51.100.9"),
        (1, "10.0.0.1", "198.51.100.9:4711", "198.51.100.9"),
        (1, "10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        (0, "::ffff:192.0.2.1", "", "192.0.2.1"),
        (0, "fe80::1%eth0", "", "fe80::1"),
        (0, "", "", "unknown"),
        (1, "10.0.0.1", "nonsense", "unknown"),
    ],
)
def test_the_client_is_the_last_hop_that_a_trusted_proxy_saw(
    settings: Any, proxies: int, peer: str, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert client_address(peer, forwarded) == expected


def test_a_socket_has_an_address_too(settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    scope = {
        "client": ("10.0.0.1", 5),
        "headers": [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"192.0.2.9")],
    }
    assert of_scope(scope) == "192.0.2.9"
    assert of_scope({"client": None, "headers": []}) == "unknown"


def test_a_subscribers_network_is_one_key() -> None:
    assert network("192.0.2.1") == "192.0.2.1"
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2:ffff::1") == "2001:db8:1:2::"
    assert network("unknown") == "unknown"
