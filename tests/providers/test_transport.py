"""The transport itself: deadlines, caps, memory, waits, and never plain http for real."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers import transport, wire
from providers.errors import AnswerLost, BadAnswer, Misconfigured, NetworkError, ProviderError, ProviderTimeout
from providers.transport import Outgoing, retry_after_s
from providers.wire import Deadline
from tests.providers.servers import dripping, listening, read_request, saying, self_signed
from tests.simulator import Remote

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def own_session() -> Iterator[None]:
    yield
    for session in transport._sessions.values():
        session.close()
    transport._sessions.clear()


def send(settings: Any, port: int, *, seconds: float = 5.0, repeatable: bool = False, **more: Any) -> transport.Answer:
    settings.SIMULATOR_URL = f"http://127.0.0.1:{port}"
    call = Outgoing("POST", settings.SIMULATOR_URL + "/x", repeatable=repeatable, **more)
    return transport.send(call, Deadline(seconds))


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="in the headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", id="in the body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", id="in a chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="without a length"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="after a continue"),
    ],
)
def test_a_dripping_server_holds_no_thread_beyond_the_deadline(settings: Any, head: bytes) -> None:
    began = time.monotonic()
    with listening(dripping(head)) as server, pytest.raises(AnswerLost) as caught:
        send(settings, server.port, seconds=0.4)
    assert time.monotonic() - began < 1.0
    assert caught.value.code == "TIMEOUT"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(b"", AnswerLost, id="closed without a word"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", AnswerLost, id="cut off"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", AnswerLost, id="cut off in a chunk"
        ),
        pytest.param(b"nonsense\r\n\r\n", AnswerLost, id="no HTTP"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", BadAnswer, id="no gzip"
        ),
    ],
)
def test_half_an_answer_to_a_paid_call_is_a_loss(settings: Any, answer: bytes, kind: type[ProviderError]) -> None:
    with listening(saying(answer)) as server, pytest.raises(kind):
        send(settings, server.port)


def test_half_an_answer_to_a_question_is_no_loss(settings: Any) -> None:
    with listening(saying(b"")) as server, pytest.raises(NetworkError):
        send(settings, server.port, repeatable=True)
    with listening(dripping(b"HTTP/1.1 200 OK\r\n\r\n")) as server, pytest.raises(ProviderTimeout):
        send(settings, server.port, repeatable=True, seconds=0.2)


def test_an_error_page_that_breaks_off_is_still_that_error(settings: Any) -> None:
    with listening(saying(b"HTTP/1.1 429 No\r\nContent-Length: 99\r\n\r\nhalf")) as server:
        answer = send(settings, server.port)
    answer.spool.close()
    assert answer.status == 429


def test_a_redirect_is_not_followed(settings: Any) -> None:
    with listening(saying(b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")) as server:
        answer = send(settings, server.port)
    answer.spool.close()
    error = transport.error_for(answer.status, answer.headers, "")
    assert answer.status == 302
    assert error.code == "HTTP_302"
    assert error.unclassified


def test_no_cookie_is_kept(settings: Any) -> None:
    heard: list[bytes] = []

    def talk(client: Any) -> None:
        heard.append(read_request(client))
        client.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with listening(talk) as server:
        for _ in range(2):
            send(settings, server.port).spool.close()
    assert len(heard) == 2
    assert not any(b"cookie" in one.lower() for one in heard)


def test_a_kept_connection_is_used_again_and_an_idle_one_is_not(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(client: Any) -> None:
        while read_request(client):
            client.sendall(OK)

    with listening(talk) as server:
        for _ in range(3):
            send(settings, server.port).spool.close()
        assert server.connections == 1
        monkeypatch.setattr(wire, "IDLE_S", 0.0)
        send(settings, server.port).spool.close()
        assert server.connections == 2


def test_text_fields_alone_still_go_out_as_multipart(settings: Any) -> None:
    heard: list[bytes] = []

    def talk(client: Any) -> None:
        heard.append(read_request(client))
        client.sendall(OK)

    with listening(talk) as server:
        send(settings, server.port, fields={"prompt": "x"}).spool.close()
    assert b"multipart/form-data" in heard[0]


@pytest.mark.parametrize(("fault", "size"), [("huge", 200_000_000), ("gzip-bomb", 300_000_000)])
def test_memory_stays_bounded_whatever_comes(simulator: Remote, settings: Any, fault: str, size: int) -> None:
    settings.PROVIDER_MAX_BYTES = 20_000_000
    simulator.faults("openai", fault, size=size)
    call = Outgoing(
        "POST",
        f"{settings.SIMULATOR_URL}/openai/v1/images/generations",
        {"Authorization": "Bearer sk-simulator"},
        json={"prompt": "x", "model": "gpt-image-2", "size": "64x64"},
    )
    simulator_share = 4_000_000  # it runs in this process and sends pieces
    transport.session()
    tracemalloc.start()
    try:
        with pytest.raises(BadAnswer):
            transport.send(call, Deadline(30))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000 + simulator_share


def test_plain_http_is_refused_outside_simulated_mode(settings: Any) -> None:
    settings.PROVIDERS_MODE = "real"
    with listening() as server:
        with pytest.raises(Misconfigured) as caught:
            transport.send(Outgoing("POST", f"http://127.0.0.1:{server.port}/"), Deadline(5))
        assert caught.value.ours
        assert server.connections == 0


def test_simulated_mode_calls_nobody_but_the_simulator() -> None:
    with pytest.raises(Misconfigured):
        transport.send(Outgoing("POST", "https://api.openai.com/v1/images/generations"), Deadline(5))


def test_a_certificate_is_checked_before_anything_is_sent(settings: Any, tmp_path: Path) -> None:
    settings.PROVIDERS_MODE = "real"
    context, trusted = self_signed(tmp_path)
    with listening(saying(OK), context) as server:
        call = Outgoing("POST", f"https://localhost:{server.port}/")
        with pytest.raises(NetworkError) as caught:
            transport.send(call, Deadline(5))
        assert "certificate" in caught.value.detail.lower()
        transport._sessions.clear()
        settings.PROVIDER_CA_BUNDLE = trusted
        transport.send(call, Deadline(5)).spool.close()


def test_threads_share_one_session(simulator: Remote) -> None:
    found: set[int] = set()
    threads = [threading.Thread(target=lambda: found.add(id(transport.session()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0"}, 1),  # at least a second
        ({"retry-after": "-5"}, 1),
        ({"retry-after": "86400"}, 300),  # at most five minutes
        ({"retry-after": "inf"}, 300),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT"}, 1),  # in the past
        ({"retry-after": "Sat, 21 Nov 2099 09:00:00 GMT"}, 300),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),  # the exacter one wins
        ({"ratelimit": '"api";r=0;t=55'}, 55),
    ],
)
def test_the_wait_that_is_asked_for_is_clamped(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after_s(headers, NOW) == wait


@pytest.mark.parametrize(
    ("status", "code", "retryable", "ours", "cannot"),
    [
        (400, "INVALID_INPUT", False, False, False),
        (401, "PROVIDER_AUTH", False, True, True),
        (402, "PROVIDER_CREDIT", False, True, True),
        (403, "PROVIDER_AUTH", False, True, True),
        (404, "SERVICE_UNAVAILABLE", False, False, True),
        (408, "TIMEOUT", True, False, False),
        (409, "SERVICE_UNAVAILABLE", True, False, False),
        (410, "SERVICE_UNAVAILABLE", False, False, True),
        (413, "INVALID_INPUT", False, False, False),
        (418, "HTTP_418", False, False, False),
        (422, "INVALID_INPUT", False, False, False),
        (429, "RATE_LIMITED", True, False, False),
        (500, "SERVICE_UNAVAILABLE", True, False, False),
        (502, "SERVICE_UNAVAILABLE", True, False, False),
        (504, "TIMEOUT", True, False, False),
        (529, "SERVICE_UNAVAILABLE", True, False, False),
    ],
)
def test_a_status_stands_for_a_class(status: int, code: str, retryable: bool, ours: bool, cannot: bool) -> None:
    error = transport.error_for(status, {}, "")
    assert (error.code, error.retryable, error.ours, error.cannot) == (code, retryable, ours, cannot)
    assert error.http_status == status
    assert error.refundable
