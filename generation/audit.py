"""The invariants over items, assets and entries, as SQL. It reads everything and repairs nothing.

`run` keeps a row of what it found; `manage.py audit` and the console show it.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from credits import ledger
from generation.models import AuditRun

log = logging.getLogger(__name__)

# Changes may commit a little after the moment they are dated with.
OVERLAP = timedelta(minutes=5)
MOST_FAULTS = 200

# name -> (what must not exist; columns: subject, text). %(since)s bounds it to what changed since then.
INVARIANTS: dict[str, str] = {
    "charged-per-round": """
        SELECT 'request:' || r.id, 'charged ' || COALESCE(-sum(e.amount), 0) || ', its items say ' ||
               (SELECT sum(charged) FROM generation_item WHERE request_id = r.id)
        FROM generation_request r LEFT JOIN credits_entry e ON e.subject = 'request:' || r.id AND e.kind = 'charge'
        WHERE r.created_at >= %(since)s OR r.finished_at >= %(since)s
        GROUP BY r.id
        HAVING COALESCE(-sum(e.amount), 0) <>
               (SELECT COALESCE(sum(charged), 0) FROM generation_item WHERE request_id = r.id)
    """,
    "refunds-match": """
        SELECT 'item:' || i.id, 'refunded ' || i.refunded || ', its entries say ' || COALESCE(sum(e.amount), 0)
        FROM generation_item i LEFT JOIN credits_entry e ON e.subject = 'item:' || i.id AND e.kind = 'refund'
        WHERE i.created_at >= %(since)s OR i.finished_at >= %(since)s
        GROUP BY i.id HAVING COALESCE(sum(e.amount), 0) <> i.refunded
    """,
    "ended-badly-is-given-back": """
        SELECT 'item:' || id, 'keeps ' || (charged - refunded) || ' credits, its rule allows ' || kept
        FROM generation_item
        WHERE status IN ('FAILED', 'CANCELLED') AND charged - refunded > kept AND finished_at >= %(since)s
    """,
    "parts-are-given-back": """
        SELECT 'item:' || i.id, 'says that its parts gave back ' || parts.said || ', its entries say ' ||
               COALESCE(sum(e.amount), 0)
        FROM generation_item i
        CROSS JOIN LATERAL (SELECT COALESCE(sum((i.results -> part ->> 'refunded')::bigint), 0) AS said
                            FROM jsonb_object_keys(i.parts) AS part WHERE i.results -> part ? 'failed') AS parts
        LEFT JOIN credits_entry e ON e.subject = 'item:' || i.id AND e.kind = 'refund'
                                 AND e.reference LIKE 'item:%%:part:%%'
        WHERE i.parts <> '{}' AND (i.created_at >= %(since)s OR i.finished_at >= %(since)s)
        GROUP BY i.id, parts.said HAVING COALESCE(sum(e.amount), 0) <> parts.said
    """,
    "success-has-an-asset": """
        SELECT 'item:' || i.id, 'succeeded without a stored result' FROM generation_item i
        WHERE i.status = 'SUCCEEDED' AND i.finished_at >= %(since)s
          AND NOT EXISTS (SELECT 1 FROM generation_asset a
                          WHERE a.item_id = i.id AND a.kind NOT IN ('thumbnail', 'preview'))
          AND NOT EXISTS (SELECT 1 FROM generation_request r WHERE r.id = i.request_id AND r.erased_at IS NOT NULL)
    """,
    "closed-has-no-open-item": """
        SELECT 'request:' || r.id, 'is ' || r.status || ' with an open item' FROM generation_request r
        WHERE r.status IN ('COMPLETED', 'FAILED', 'CANCELLED') AND r.finished_at >= %(since)s
          AND EXISTS (SELECT 1 FROM generation_item i WHERE i.request_id = r.id
                      AND i.status IN ('QUEUED', 'HELD', 'RUNNING', 'WAITING'))
    """,
    "done-is-closed": """
        SELECT 'request:' || r.id, 'has no open item and is still ' || r.status FROM generation_request r
        WHERE r.status IN ('QUEUED', 'RUNNING') AND r.created_at >= %(since)s
          AND NOT EXISTS (SELECT 1 FROM generation_item i WHERE i.request_id = r.id
                          AND i.status IN ('QUEUED', 'HELD', 'RUNNING', 'WAITING'))
    """,
    "one-open-attempt": """
        SELECT 'item:' || a.item_id, 'has ' || count(*) || ' calls in flight under one fence'
        FROM generation_attempt a WHERE a.ended_at IS NULL GROUP BY a.item_id, a.fence HAVING count(*) > 1
    """,
}


def run(*, full: bool) -> list[dict[str, Any]]:
    """Check everything, or what changed since the last audit; keep and return the faults, at most 200."""
    began = time.monotonic()
    faults = check(since=None if full else _since())
    AuditRun.objects.create(
        at=timezone.now(), full=full, faults=faults, duration_ms=int(1000 * (time.monotonic() - began))
    )
    if faults:
        log.error("the audit found %d faults", len(faults), extra={"first": faults[0]})
    return faults


def check(since: datetime | None = None) -> list[dict[str, Any]]:
    """Return every fault as {rule, subject, text}. One query per rule. since: None checks all there is."""
    faults = [
        {
            "rule": f"ledger-{fault.rule}",
            "subject": f"account:{fault.account_id}",
            "text": f"expected {fault.expected}, found {fault.found}" + (f" at entry {fault.seq}" if fault.seq else ""),
        }
        for fault in ledger.check(since)
    ]
    beginning = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    with connection.cursor() as cursor:
        for rule, sql in INVARIANTS.items():
            cursor.execute(sql, {"since": since or beginning})
            faults += [{"rule": rule, "subject": subject, "text": text} for subject, text in cursor.fetchall()]
    return faults[:MOST_FAULTS]


def _since() -> datetime | None:
    last = AuditRun.objects.order_by("-at").first()
    return last.at - OVERLAP if last else None
