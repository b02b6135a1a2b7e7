"""A call as a WSGI server makes it, without the server."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from wsgiref.util import setup_testing_defaults

from config.asgi import wsgi as application  # after what the web process does at its start


def call(method: str, address: str, headers: Mapping[str, str], body: bytes = b"") -> int:
    """Call the desk until the answer is closed; return its status. headers: as WSGI spells them. body: JSON."""
    path, _, query = address.partition("?")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, **headers}
    if body:
        environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
        environ["wsgi.input"] = io.BytesIO(body)
    setup_testing_defaults(environ)
    environ["HTTP_HOST"] = "localhost"
    statuses: list[str] = []
    answer = application(environ, lambda status, headers, exc_info=None: statuses.append(status))
    b"".join(answer)
    answer.close()
    return int(statuses[0][:3])
