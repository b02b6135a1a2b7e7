"""Prune: the daily clearing of what nobody needs any more.

Removes old events of ended requests, idempotency rows, ended chores, bulk verbs that nobody confirmed or that ended
long ago (their StaffActs stay), metrics and files that no row names.
Never requests, assets that belong to somebody, or ledger entries. Ended RQ jobs expire by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from config.models import Idempotency
from generation import storage
from generation.models import Asset, Attempt, AuditRun, Bulk, Chore, Event, MetricsRow, Outcome
from generation.steps import PUBLISH

KEEP_IDEMPOTENCY = timedelta(hours=24)
KEEP_CHORES = timedelta(days=7)
KEEP_METRICS = timedelta(days=30)
KEEP_UNCONFIRMED, KEEP_BULKS = timedelta(hours=24), timedelta(days=90)
BATCH = 500
# How many days of attempts each run looks at again, so that none is missed when one fails.
UNPUBLISHED_FOR = timedelta(days=7)
# Work in progress is stored under these folders before its row exists.
WORK_FOLDERS = ("images", "models", "poses", "inputs")


def prune() -> dict[str, Any]:
    """Clear everything that is past its time; return how much of each."""
    now = timezone.now()
    return {
        "idempotency": Idempotency.objects.filter(created_at__lt=now - KEEP_IDEMPOTENCY).delete()[0],
        "events": _old_events(),
        "chores": Chore.objects.filter(done_at__lt=now - KEEP_CHORES).delete()[0],
        "bulks": _old_bulks(),
        "metrics": MetricsRow.objects.filter(at__lt=now - KEEP_METRICS).delete()[0],
        "audits": AuditRun.objects.filter(at__lt=now - KEEP_METRICS).delete()[0],
        "orphans": sum(1 for _ in _remove_orphans()) + sum(1 for _ in _remove_unpublished()),
    }


def _old_bulks() -> int:
    now = timezone.now()
    unconfirmed = Q(begun_at=None, created_at__lt=now - KEEP_UNCONFIRMED)
    old = Bulk.objects.filter(unconfirmed | Q(ended_at__lt=now - KEEP_BULKS))
    return old.delete()[1].get(Bulk._meta.label, 0)


def _old_events() -> int:
    before = timezone.now() - timedelta(days=settings.KEEP_EVENTS_DAYS)
    old = Event.objects.filter(at__lt=before, request__finished_at__lt=before)
    return old.delete()[0]


def _remove_orphans() -> Iterator[str]:
    """Remove stored results that no asset and no open attempt names, once they are old enough to be nobody's."""
    before = timezone.now() - timedelta(days=settings.KEEP_ORPHANS_DAYS)
    batch: list[str] = []
    for key in (key for folder in WORK_FOLDERS for key in _stored_keys(folder)):
        if default_storage.get_modified_time(key) < before:
            batch.append(key)
        if len(batch) >= BATCH:
            yield from _remove_unnamed(batch)
            batch = []
    yield from _remove_unnamed(batch)


def _remove_unpublished() -> Iterator[str]:
    """Remove what was copied to a final key by a worker that died before saying so, and that no asset names since."""
    before = timezone.now() - timedelta(days=settings.KEEP_ORPHANS_DAYS)
    copied = Attempt.objects.filter(
        operation=PUBLISH, ended_at__range=(before - UNPUBLISHED_FOR, before), item__finished_at__lt=before
    ).exclude(key="")
    keys = list(copied.exclude(outcome=Outcome.MADE).values_list("key", flat=True).distinct())
    yield from _remove_unnamed(keys)


def _stored_keys(folder: str) -> Iterator[str]:
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in files:
        yield f"{folder}/{name}"
    for name in folders:
        yield from _stored_keys(f"{folder}/{name}")


def _remove_unnamed(keys: list[str]) -> Iterator[str]:
    named = set(Asset.objects.filter(key__in=keys).values_list("key", flat=True))
    named |= set(Attempt.objects.filter(key__in=keys, item__finished_at__isnull=True).values_list("key", flat=True))
    connection.close()
    for key in keys:
        if key not in named:
            storage.delete(key)
            yield key
