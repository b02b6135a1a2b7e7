"""Erasing: an owner has what was made removed. Requests and items stay, because the ledger speaks of them.

What is erased is gone from sight at once: doors look for `erased_at`. The files follow after the commit, by a chore;
each one's row goes after it, so that none is forgotten.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from generation import storage
from generation.models import Asset, Chore, Request, RequestStatus

ERASE = "erase"
OPEN = (RequestStatus.QUEUED, RequestStatus.RUNNING)


def erase(requests: QuerySet[Request, Any]) -> bool:
    """Erase ended requests. False, and nothing changed, when one has not ended. Must run inside a transaction."""
    locked = list(requests.filter(erased_at=None).select_for_update().order_by("pk"))
    if any(request.status in OPEN for request in locked):
        return False
    now = timezone.now()
    Request.objects.filter(pk__in=[request.pk for request in locked]).update(erased_at=now)
    Chore.objects.bulk_create(
        Chore(kind=ERASE, key=str(request.pk), args={"request_id": str(request.pk)}, run_after=now)
        for request in locked
    )
    return True


def erase_files(request_id: str) -> int:
    """Remove the files of an erased request and their rows; return how many. Raises StorageError: to be done again."""
    assets = list(Asset.objects.filter(request=UUID(request_id), request__erased_at__isnull=False))
    for asset in assets:
        connection.close()
        storage.delete(asset.key)
        Asset.objects.filter(pk=asset.pk).delete()
    return len(assets)
