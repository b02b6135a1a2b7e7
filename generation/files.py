"""Serves local files by signed link. The signature is the permission: whoever asks without one gets 404."""

from __future__ import annotations

import posixpath
import time

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.views.decorators.http import require_safe

from generation import storage


@require_safe
def serve(request: HttpRequest, key: str) -> HttpResponse | FileResponse:
    """Answer a stored file. Its content never changes under a key, so the key is its ETag."""
    expires = request.GET.get("expires", "")
    if not storage.is_signed(key, expires, request.GET.get("signature", "")):
        raise Http404("no such file")
    etag = f'"{storage.content_type_of(key)}-{posixpath.basename(key)}"'
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
    response["Cache-Control"] = f"private, max-age={max(0, int(expires) - int(time.time()))}"
    response["ETag"] = etag
    return response
