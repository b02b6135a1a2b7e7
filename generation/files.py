"""Serves local files by signed link. The signature is the permission: whoever asks without one gets 404."""

from __future__ import annotations

import posixpath
import time

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseNotModified

from config.api.handlers import read_only
from generation import storage


@read_only
def serve(request: HttpRequest, key: str) -> HttpResponse | FileResponse:
    """Answer a stored file. Under most keys content never changes, so that the key is its ETag; where it may, the
    time of its writing belongs to it, and the browser asks each time.
    """
    expires = request.GET.get("expires", "")
    if not storage.is_signed(key, expires, request.GET.get("signature", "")):
        raise Http404("no such file")
    try:
        written_at = storage.written_at(key) if storage.may_change(key) else 0
    except storage.StorageError:
        raise Http404("no such file") from None
    etag = f'"{storage.content_type_of(key)}-{posixpath.basename(key)}-{written_at:x}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponseNotModified()
    try:
        body = storage.open_file(key)
    except storage.StorageError:
        raise Http404("no such file") from None
    response = FileResponse(
        body, as_attachment=True, filename=posixpath.basename(key), content_type=storage.content_type_of(key)
    )
    response["X-Content-Type-Options"] = "nosniff"
    fresh_s = max(0, int(expires) - int(time.time()))
    response["Cache-Control"] = "private, no-cache" if written_at else f"private, max-age={fresh_s}"
    response["ETag"] = etag
    return response
