"""Chores: what must happen once beside items. The same workers do one when no item is due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from django.utils.module_loading import import_string

from config.api import sql
from generation import audit, engine, prune, storage
from generation.admin import bulk
from generation.models import Chore, Request, rows

log = logging.getLogger(__name__)

LEASE_S = 600
MOST_TRIES = 5
RETRY_BASE_S = 10


class NotYet(Exception):
    """What a chore needs is away: it is tried again until it is back, and never given up for that."""


def mirror(request_id: str, seq: int) -> dict[str, Any]:
    """Have a request's door write its side files, unless they are as far as `seq` already. Raises NotYet."""
    request = Request.objects.only("door", "mirrored_seq").get(pk=request_id)
    if (request.mirrored_seq or 0) >= seq:
        return {"outcome": "written before"}
    write = import_string(f"{settings.DOORS[request.door]}.mirror.mirror")
    try:
        return {"outcome": write(UUID(request_id))}
    except (storage.StorageError, OperationalError, InterfaceError) as error:
        raise NotYet(str(error)) from error


def erase(request_id: str) -> dict[str, Any]:
    """Remove the files of what an owner erased. Raises NotYet."""
    try:
        return {"erased": engine.erase_files(request_id)}
    except storage.StorageError as error:
        raise NotYet(str(error)) from error


# kind -> what does it; takes the chore's args, returns what came of it as JSON values
KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "audit": lambda: {"faults": len(audit.run(full=True))},
    bulk.KIND: bulk.go_on,
    "cancel-at-vendor": lambda attempt_id: {"confirmed": engine.cancel_at_vendor(attempt_id)},
    "erase": erase,
    "mirror": mirror,
    "prune": prune.prune,
}


def do_next() -> bool:
    """Do one due chore; False when none is due. A failure, or a worker's death over it, is tried five times in all."""
    chore = _take()
    if chore is None:
        return False
    if chore.tries > MOST_TRIES:
        _put_back(chore, RuntimeError("the worker died over it each time"))
        return True
    try:
        result = KINDS[chore.kind](**chore.args)
    except NotYet as error:
        log.warning("a chore waits: %s", error, extra={"chore": chore.kind})
        connection.close()
        chore.tries = min(chore.tries, MOST_TRIES - 1)
        _put_back(chore, error)
    except Exception as error:
        log.exception("a chore failed", extra={"chore": chore.kind})
        connection.close()
        _put_back(chore, error)
    else:
        _mine(chore).update(done_at=timezone.now(), result=result, error="")
    return True


_TAKE = f"""
UPDATE generation_chore AS c
   SET fence = fence + 1, tries = tries + 1, lease_until = CASE kind WHEN 'mirror' THEN %(soon)s ELSE %(until)s END
 WHERE id = (SELECT id FROM generation_chore
              WHERE done_at IS NULL AND run_after <= %(now)s AND (lease_until IS NULL OR lease_until < %(now)s)
              ORDER BY run_after LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING {rows.columns_of(Chore, "c")}
"""  # noqa: S608 names of columns


def _take() -> Chore | None:
    """Take the chore that is due longest. One query, which every thread asks before it goes.

    Side files may be written by two at once, and somebody waits for them: a dead writer keeps them as long as items.
    """
    now = timezone.now()
    until, soon = now + timedelta(seconds=LEASE_S), now + timedelta(seconds=settings.LEASE_S)
    with sql.cursor() as cursor:
        cursor.execute(_TAKE, {"now": now, "until": until, "soon": soon})
        row = cursor.fetchone()
        return rows.read(Chore, [column.name for column in cursor.description], row) if row else None


def _put_back(chore: Chore, error: Exception) -> None:
    now, text = timezone.now(), f"{type(error).__name__}: {error}"[:2000]
    if chore.tries >= MOST_TRIES:
        _mine(chore).update(done_at=now, error=text)
    else:
        wait = timedelta(seconds=RETRY_BASE_S * 2**chore.tries)
        _mine(chore).update(run_after=now + wait, lease_until=None, tries=chore.tries, error=text)


def _mine(chore: Chore) -> Any:
    return Chore.objects.filter(pk=chore.pk, fence=chore.fence)
