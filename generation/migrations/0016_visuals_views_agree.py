"""The visual-generation views say what the door says: whole milliseconds, and the new queued time of a retry.

Times are shown in milliseconds, so a duration is the difference of those. A retry that waits is queued from
when it is due. All else is as it was.
"""

from __future__ import annotations

from django.db import migrations

_REQUESTS = """
CREATE OR REPLACE VIEW generation_requests AS
SELECT i.public_id AS id,
       i.params ->> 'type' AS type,
       i.prompt,
       i.priority,
       said.status,
       i.params ->> 'projectId' AS project_id,
       i.params ->> 'pageId' AS page_id,
       COALESCE(i.params -> 'metadata', '{{}}') AS metadata,
       CASE WHEN said.status = 'completed' THEN jsonb_build_object(
           'imageKey', i.results #>> '{{generate,key}}',
           'provider', i.results #>> '{{generate,provider}}',
           'model', i.results #>> '{{generate,model}}',
           'generationTime', {generation_ms}) END AS result,
       CASE WHEN said.status = 'failed' THEN jsonb_build_object(
           'message', i.error_message, 'code', i.error_code, 'retryable', i.error_retryable) END AS error,
       i.created_at,
       CASE WHEN said.status <> 'queued' THEN i.started_at END AS started_at,
       i.finished_at AS completed_at,
       COALESCE((i.results #>> '{{generate,starts}}')::int, i.starts) AS attempts,
       (i.steps #>> '{{0,retry,max_starts}}')::int AS max_attempts
FROM generation_item i
CROSS JOIN LATERAL (SELECT CASE
    WHEN i.status IN ('QUEUED', 'HELD') AND i.step = 0 THEN 'queued'
    WHEN i.status = 'SUCCEEDED' THEN 'completed'
    WHEN i.status = 'FAILED' THEN 'failed'
    WHEN i.status = 'CANCELLED' THEN 'cancelled'
    ELSE 'in-progress' END AS status) said
WHERE i.door = 'visuals';
"""
_QUEUE = """
CREATE OR REPLACE VIEW generation_queue AS
SELECT i.id, waits.request_id, i.weight AS priority_weight, {queued_at} AS queued_at
FROM generation_item i
CROSS JOIN LATERAL (SELECT i.public_id AS request_id) waits
WHERE i.door = 'visuals' AND i.status IN ('QUEUED', 'HELD') AND i.step = 0;
"""

_SHOWN_MS = "(extract(epoch FROM date_trunc('ms', i.finished_at) - date_trunc('ms', i.started_at)) * 1000)::bigint"
_DUE = "CASE WHEN i.status = 'HELD' AND i.hold_reason = 'retry' THEN i.run_after ELSE i.queued_at END"

FORWARD = _REQUESTS.format(generation_ms=_SHOWN_MS) + _QUEUE.format(queued_at=_DUE)
BACKWARD = _REQUESTS.format(
    generation_ms="floor(extract(epoch FROM i.finished_at - i.started_at) * 1000)::bigint"
) + _QUEUE.format(queued_at="i.queued_at")


class Migration(migrations.Migration):
    dependencies = [("generation", "0015_newest_assets")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
