"""The guarded fetcher, through the real thing: names are resolved, sockets are opened or are not."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from providers import fetch
from providers.fetch import FetchError, Forbidden, Missing, TooLarge, Unreachable, is_public
from tests.providers.make import make_png
from tests.providers.servers import dripping, listening, read_request, saying, self_signed
from tests.simulator import Remote


def get(url: str, **more: Any) -> bytes:
    found = fetch.fetch(url, **{"deadline_s": 3.0, **more})
    with found.spool.file as file:
        return file.read()


TRICKS = [
    "https://127.0.0.1/",
    "https://localhost/",
    "https://2130706433/",  # decimal
    "https://0x7f000001/",  # hexadecimal
    "https://0x7f.1/",
    "https://0177.0.0.1/",  # octal
    "https://127.1/",  # short
    "https://0/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",  # v4-mapped
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::7f00:1]/",  # NAT64
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",  # 6to4
    "https://[2001:0:7f00:1::]/",  # Teredo
    "https://[fec0::1]/",  # site-local, which Python calls global
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",  # a cloud's metadata service
    "https://169.254.169.254/latest/meta-data/",
    "https://168.63.129.16/",
    "https://100.64.0.1/",
    "https://10.0.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://192.88.99.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://①②⑦.⓪.⓪.①/",  # circled digits, which resolve
    "https://127。0。0。1/",
    "https://user:secret@127.0.0.1/",
    "https://example.com:22/",
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "https:///nothing",
    "https://example.com/a b",
    "https://example.com/\r\nX: y",
    "https://[::1",
    "not a url",
    "",
]


@pytest.mark.parametrize("url", TRICKS)
def test_nothing_private_is_reached_however_it_is_spelled(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(Forbidden) as caught:
        get(url)
    assert url not in str(caught.value) or not url


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("172.32.0.1", True),
        ("100.63.255.255", True),
        ("2606:4700::1111", True),
        ("2001:4860:4860::8888", True),
        ("198.18.0.1", False),
        ("203.0.113.7", False),
        ("192.0.0.1", False),
        ("240.0.0.1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:8.8.8.8", False),
    ],
)
def test_what_counts_as_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def resolve_to(monkeypatch: pytest.MonkeyPatch, port: int, *answers: str) -> list[str]:
    """Make names resolve to what a test says, each time to the next; and remember the questions."""
    asked: list[str] = []
    left = list(answers)

    def answer(host: str, wanted: int, **kwargs: Any) -> list[Any]:
        asked.append(host)
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(fetch.socket, "getaddrinfo", answer)
    return asked


@pytest.fixture
def public_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """For servers of these tests only: 127.0.0.1 counts as public."""
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")


def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A name that answers with a public address first and loopback afterwards gets no second question."""
    connected: list[Any] = []
    asked = resolve_to(monkeypatch, 443, "93.184.215.14", "127.0.0.1")

    def note(self: socket.socket, address: Any) -> None:
        connected.append(address[0])
        raise OSError("enough seen")

    monkeypatch.setattr(socket.socket, "connect", note)
    with pytest.raises(Unreachable):
        get("https://rebinding.example/")
    assert asked == ["rebinding.example"]
    assert connected == ["93.184.215.14"]


@pytest.mark.usefixtures("public_loopback")
def test_the_certificate_must_be_the_names_own(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    context, trusted = self_signed(tmp_path, "pictures.example")
    picture = make_png()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(picture), picture)
    settings.PROVIDER_CA_BUNDLE = trusted
    heard: list[bytes] = []

    def talk(client: Any) -> None:
        heard.append(read_request(client))
        client.sendall(answer)

    with listening(talk, context) as server:
        resolve_to(monkeypatch, server.port, "127.0.0.1")
        fetch._tls.cache_clear()
        assert get("https://pictures.example/a.png?sig=1") == picture
        with pytest.raises(Unreachable):
            get("https://other.example/a.png")
        fetch._tls.cache_clear()
    assert heard[0].startswith(b"GET /a.png?sig=1 HTTP/1.1\r\nHost: pictures.example\r\n")
    assert b"authorization" not in heard[0].lower()
    assert b"cookie" not in heard[0].lower()


def test_a_host_outside_the_list_is_refused() -> None:
    with pytest.raises(Forbidden):
        get("https://example.com/a.png", hosts=["*.fal.media"])
    with pytest.raises(Forbidden):
        get("https://fal.media.example.com/a.png", hosts=["fal.media", "*.fal.media"])


def test_a_trusted_origin_may_be_private_and_plain_and_is_the_only_one() -> None:
    picture = make_png()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(picture), picture)
    with listening(saying(answer)) as trusted, listening() as other:
        origin = f"http://127.0.0.1:{trusted.port}"
        assert get(f"{origin}/a.png", hosts=[], origin=origin) == picture
        for url in (f"http://127.0.0.1:{other.port}/a.png", "https://example.com/a.png", f"{origin}@127.0.0.1/a"):
            with pytest.raises(Forbidden):
                get(url, hosts=[], origin=origin)
        with pytest.raises(Forbidden):
            get(f"{origin}/a.png")
        assert (trusted.connections, other.connections) == (1, 0)


def test_a_trusted_origin_leads_nowhere_else() -> None:
    with listening() as other, listening(saying(redirecting_to(f"http://127.0.0.1:{other.port}/"))) as trusted:
        origin = f"http://127.0.0.1:{trusted.port}"
        with pytest.raises(Forbidden):
            get(f"{origin}/a.png", hosts=[], origin=origin)
        assert other.connections == 0


@pytest.mark.usefixtures("simulator")
def test_the_simulator_is_out_of_bounds_in_real_mode(settings: Any) -> None:
    url = settings.SIMULATOR_URL + "/"
    assert b"simulator" in get(url)
    settings.PROVIDERS_MODE = "real"
    with pytest.raises(Forbidden):
        get(url)


def redirecting_to(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/", "https://169.254.169.254/", "file:///etc/passwd", "//[::1]/"]
)
def test_each_redirect_is_checked_like_a_first_url(settings: Any, location: str) -> None:
    with listening(saying(redirecting_to(location))) as server:
        settings.SIMULATOR_URL = f"http://127.0.0.1:{server.port}"
        with pytest.raises(Forbidden):
            get(settings.SIMULATOR_URL + "/a")


def test_redirects_are_bounded(settings: Any) -> None:
    with listening(saying(redirecting_to("/again"))) as server:
        settings.SIMULATOR_URL = f"http://127.0.0.1:{server.port}"
        with pytest.raises(Forbidden):
            get(settings.SIMULATOR_URL + "/a")
        assert server.connections == fetch.MOST_REDIRECTS + 1


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", Missing, False),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", Missing, False),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Unreachable, True),
        (b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", Unreachable, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n", TooLarge, False),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000, TooLarge, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Unreachable, True),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nxx", Unreachable, True),
        (b"", Unreachable, True),
        (b"SSH-2.0-OpenSSH\r\n", Unreachable, True),
    ],
)
def test_a_bad_answer_has_its_class(settings: Any, answer: bytes, kind: type[FetchError], retryable: bool) -> None:
    with listening(saying(answer)) as server:
        settings.SIMULATOR_URL = f"http://127.0.0.1:{server.port}"
        with pytest.raises(kind) as caught:
            get(settings.SIMULATOR_URL + "/a", limit_bytes=100_000)
    assert caught.value.retryable is retryable


def test_a_dripping_server_holds_no_thread_beyond_the_deadline(settings: Any) -> None:
    with listening(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")) as server:
        settings.SIMULATOR_URL = f"http://127.0.0.1:{server.port}"
        began = time.monotonic()
        with pytest.raises(Unreachable):
            get(settings.SIMULATOR_URL + "/a", deadline_s=0.4)
        assert time.monotonic() - began < 1.0


def test_a_file_is_known_by_its_bytes_not_by_its_header(settings: Any) -> None:
    picture = make_png(30, 20)
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(picture), picture)
    with listening(saying(answer)) as server:
        settings.SIMULATOR_URL = f"http://127.0.0.1:{server.port}"
        found = fetch.fetch(settings.SIMULATOR_URL + "/a", deadline_s=3)
    with found.spool.file as file:
        assert file.read() == picture
    assert (found.look.content_type, found.look.width, found.look.height) == ("image/png", 30, 20)


def test_the_simulator_link_of_another_port_is_refused(simulator: Remote) -> None:
    with listening() as server:
        with pytest.raises(Forbidden):
            get(f"http://127.0.0.1:{server.port}/")
        assert server.connections == 0
