"""Vendors' webhooks at `/hooks/{alias}/{token}`: they only wake a poll.

A webhook carries no fact that is believed: whatever it says, the call is asked about as it would have been a
moment later. So one that is forged, early, late or sent twice can do no harm. The answer is the same for a call
that is known, unknown or ended; the payload is neither kept nor logged.
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from generation import queue
from generation.models import Attempt, Stage
from providers import registry, webhooks

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024


@csrf_exempt
@require_POST
def receive(request: HttpRequest, alias: str, token: str) -> HttpResponse:
    """Answer a webhook: 204 when the vendor signed it, 401 when not, 404 for a wrong address, 413 when too large."""
    if not webhooks.is_token(alias, token):
        return HttpResponse(status=404)
    try:
        adapter = registry.adapter(alias)
    except LookupError:
        return HttpResponse(status=404)
    try:
        body = request.read(MOST_BYTES + 1)
    except UnreadablePostError:
        return HttpResponse(status=400)
    if len(body) > MOST_BYTES:
        return HttpResponse(status=413)
    remote_key = adapter.verify_webhook(request.headers, body)
    if remote_key is None:
        return HttpResponse(status=401)
    woken = wake(alias, remote_key) if remote_key else 0
    log.info("a webhook", extra={"provider": alias, "woken": woken})
    return HttpResponse(status=204)


def wake(alias: str, remote_key: str) -> int:
    """Let a parked call be asked about now; return how many were not due yet. One query.

    Those that are parked are few and have an index of their own, so the remote id needs none.
    """
    named = Q(remote_id=remote_key) | Q(remote_id__endswith=f" {remote_key}")
    parked = Attempt.objects.filter(stage=Stage.ACCEPTED, ended_at__isnull=True, poll_at__gt=Now())
    with transaction.atomic():
        woken = parked.filter(named, provider=alias).update(poll_at=Now())
        if woken:
            queue.ring_after_commit(woken)
    return woken
