"""An S3 store over its real protocol: moto behind a check of every signature, with faults that a test scripts.

moto itself takes wrong secrets, tampered calls and expired links; whoever asks here must have signed rightly.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from moto.server import ThreadedMotoServer

KEY_ID, SECRET, REGION = "a-key", "a-secret", "us-east-2"
ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"


@dataclass
class Fault:
    """Answer so many matching calls with this instead."""

    status: int
    code: str
    times: int
    method: str = ""
    match: str = ""

    def strikes(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in ("", method) and self.match in path


@dataclass
class SignedS3:
    """The store as its clients see it. calls: (method, path, status) of everything asked."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    calls: list[tuple[str, str, int]] = field(default_factory=list)

    def fail(self, status: int, code: str = "", *, times: int = 1, method: str = "", match: str = "") -> None:
        self.faults.append(Fault(status, code or http.client.responses[status].replace(" ", ""), times, method, match))

    def asked(self, method: str, match: str) -> list[int]:
        """The statuses of such calls, in order."""
        return [status for seen, path, status in self.calls if seen == method and match in path]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up when they have read enough."""


@contextmanager
def signed_s3() -> Iterator[SignedS3]:
    """Run moto, and the check in front of it."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    store = SignedS3()
    server = _Server(("127.0.0.1", 0), _handler(store, *moto.get_host_and_port()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        moto.stop()


def _handler(store: SignedS3, host: str, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, answer = self._status(body)
            store.calls.append((self.command, self.path, status))
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            length = {name.lower(): value for name, value in headers}.get("content-length", str(len(answer)))
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        def _status(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            fault = next((one for one in store.faults if one.strikes(self.command, self.path)), None)
            if fault:
                fault.times -= 1
                return _refusal(fault.status, fault.code)
            if not _is_signed(self.command, self.path, dict(self.headers.items()), body):
                return _refusal(403, "SignatureDoesNotMatch")
            connection = http.client.HTTPConnection(host, port, timeout=10)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                reply = connection.getresponse()
                return reply.status, reply.getheaders(), reply.read()
            finally:
                connection.close()

        def log_message(self, *args: Any) -> None:
            """Nothing to the terminal."""

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    return Handler


def _refusal(status: int, code: str) -> tuple[int, list[tuple[str, str]], bytes]:
    return status, [("Content-Type", "application/xml")], ERROR.format(code=code).encode()


# --- Signature version 4 -------------------------------------------------------------------------


def _is_signed(method: str, target: str, headers: dict[str, str], body: bytes) -> bool:
    """Compute the signature anew, of the header's or of a link's kind, and compare."""
    url, named = urlsplit(target), {name.lower(): value for name, value in headers.items()}
    query = parse_qsl(url.query, keep_blank_values=True)
    given = dict(query)
    if "X-Amz-Signature" in given:
        parts = {name.removeprefix("X-Amz-"): value for name, value in given.items()}
        query = [(name, value) for name, value in query if name != "X-Amz-Signature"]
        payload, at = "UNSIGNED-PAYLOAD", parts["Date"]
        if _time(at) + timedelta(seconds=int(parts["Expires"])) < datetime.now(UTC):
            return False
    else:
        scheme, _, rest = named.get("authorization", "").partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            return False
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        payload, at = named["x-amz-content-sha256"], named["x-amz-date"]
        if len(payload) == 64 and payload != hashlib.sha256(body).hexdigest():
            return False
    key_id, *scope = parts["Credential"].split("/")
    if key_id != KEY_ID:
        return False
    canonical = "\n".join(
        [
            method,
            url.path,
            "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query)),
            *(f"{name}:{' '.join(named.get(name, '').split())}" for name in parts["SignedHeaders"].split(";")),
            "",
            parts["SignedHeaders"],
            payload,
        ]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", at, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), parts["Signature"])


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
