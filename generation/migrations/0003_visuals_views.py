"""The visual-generation source system's tables as read-only views, and the index of first starts.

Each view joins something, which is what makes PostgreSQL refuse a write to it, whoever tries. Status words
are the contract's: what waits with something made already is in progress.
"""

from __future__ import annotations

from django.db import migrations, models

FORWARD = """
CREATE VIEW generation_requests AS
SELECT i.public_id AS id,
       i.params ->> 'type' AS type,
       i.prompt,
       i.priority,
       said.status,
       i.params ->> 'projectId' AS project_id,
       i.params ->> 'pageId' AS page_id,
       COALESCE(i.params -> 'metadata', '{}') AS metadata,
       CASE WHEN said.status = 'completed' THEN jsonb_build_object(
           'imageKey', i.results #>> '{generate,key}',
           'provider', i.results #>> '{generate,provider}',
           'model', i.results #>> '{generate,model}',
           'generationTime', floor(extract(epoch FROM i.finished_at - i.started_at) * 1000)::bigint) END AS result,
       CASE WHEN said.status = 'failed' THEN jsonb_build_object(
           'message', i.error_message, 'code', i.error_code, 'retryable', i.error_retryable) END AS error,
       i.created_at,
       CASE WHEN said.status <> 'queued' THEN i.started_at END AS started_at,
       i.finished_at AS completed_at,
       COALESCE((i.results #>> '{generate,starts}')::int, i.starts) AS attempts,
       (i.steps #>> '{0,retry,max_starts}')::int AS max_attempts
FROM generation_item i
CROSS JOIN LATERAL (SELECT CASE
    WHEN i.status IN ('QUEUED', 'HELD') AND i.step = 0 THEN 'queued'
    WHEN i.status = 'SUCCEEDED' THEN 'completed'
    WHEN i.status = 'FAILED' THEN 'failed'
    WHEN i.status = 'CANCELLED' THEN 'cancelled'
    ELSE 'in-progress' END AS status) said
WHERE i.door = 'visuals';

CREATE VIEW generation_queue AS
SELECT i.id, waits.request_id, i.weight AS priority_weight, i.queued_at
FROM generation_item i
CROSS JOIN LATERAL (SELECT i.public_id AS request_id) waits
WHERE i.door = 'visuals' AND i.status IN ('QUEUED', 'HELD') AND i.step = 0;
"""

BACKWARD = """
DROP VIEW generation_queue;
DROP VIEW generation_requests;
"""


class Migration(migrations.Migration):
    dependencies = [("generation", "0002_guards")]
    operations = [
        migrations.AddIndex(
            model_name="item",
            index=models.Index(
                fields=["door", "first_started_at"],
                name="item_first_started",
                condition=models.Q(first_started_at__isnull=False),
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
