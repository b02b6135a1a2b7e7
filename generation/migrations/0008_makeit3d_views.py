"""The MakeIt3D source system's tables as read-only views, and the indexes by which a person's rows are listed.

Each view joins something, which is what makes PostgreSQL refuse a write to it, whoever tries. `asset_url` is the
file's path in the bucket: a link that anybody may follow is made only by the API, for its owner.
"""

from __future__ import annotations

from django.db import migrations

INDEXES = """
CREATE INDEX item_makeit3d_images ON generation_item (owner_id, created_at DESC, id DESC)
WHERE door = 'makeit3d' AND params ->> 'table' = 'images';
CREATE INDEX item_makeit3d_models ON generation_item (owner_id, created_at DESC, id DESC)
WHERE door = 'makeit3d' AND params ->> 'table' = 'models';
"""

# Both tables but for their own columns: the table's name, and what stands in its place in the other.
ASSETS = """
CREATE VIEW {table} AS
SELECT i.public_id::uuid AS id,
       i.params ->> 'task_id' AS task_id,
       i.owner_id AS user_id,
       {columns}
       (i.params ->> 'source_input_asset_id')::uuid AS source_input_asset_id,
       NULLIF(i.prompt, '') AS prompt,
       i.params ->> 'style' AS style,
       CASE WHEN said.status = 'complete' THEN COALESCE(
           i.results #>> '{{generate,key}}', i.results #>> ARRAY[i.params ->> 'operation', 'key']) END AS asset_url,
       said.status,
       i.request_id::text AS celery_task_id,
       i.request_id::text AS ai_service_task_id,
       false AS is_public,
       i.params ->> 'provider' AS provider,
       i.price_key AS operation_key,
       i.params -> 'parameters' AS metadata,
       NULLIF(i.error_message, '') AS error,
       i.created_at,
       COALESCE(i.finished_at, i.started_at, i.created_at) AS updated_at
FROM generation_item i
CROSS JOIN LATERAL (SELECT CASE
    WHEN i.status = 'SUCCEEDED' THEN 'complete'
    WHEN i.status IN ('FAILED', 'CANCELLED') THEN 'failed'
    WHEN i.first_started_at IS NULL THEN 'pending'
    ELSE 'processing' END AS status) said
WHERE i.door = 'makeit3d' AND i.params ->> 'table' = '{table}';
"""
IMAGES = ASSETS.format(
    table="images",
    columns="'ai_generated' AS image_type, (i.params ->> 'source_image_id')::uuid AS source_image_id,",
)
MODELS = ASSETS.format(
    table="models",
    columns="(i.params ->> 'source_image_id')::uuid AS source_concept_image_id,"
    " (i.params ->> 'source_image_id')::uuid AS source_image_id,",
)

CREDITS = """
CREATE VIEW user_credits AS
SELECT a.owner_id AS user_id,
       a.balance AS credits_balance,
       said.tier AS subscription_tier,
       a.total_purchased AS total_credits_purchased,
       a.total_earned AS total_credits_earned,
       a.created_at,
       a.updated_at
FROM credits_account a
CROSS JOIN LATERAL (SELECT a.tier) said;

CREATE VIEW credit_transactions AS
SELECT e.id,
       e.account_id AS user_id,
       said.type AS transaction_type,
       e.amount AS credits_amount,
       NULLIF(e.operation_key, '') AS operation_type,
       e.cost_usd AS operation_cost_usd,
       e.metadata ->> 'task_id' AS task_id,
       e.metadata ->> 'request_id' AS request_id,
       e.description,
       e.metadata,
       e.balance_after,
       e.created_at
FROM credits_entry e
CROSS JOIN LATERAL (SELECT CASE
    WHEN e.kind = 'charge' OR e.kind = 'adjust' AND e.amount < 0 THEN 'usage'
    WHEN e.kind = 'adjust' THEN 'grant'
    ELSE e.kind END AS type) said;

-- One row for each key, as its unique key was: the price that holds for every provider, where there is one.
CREATE VIEW operation_costs AS
SELECT DISTINCT ON (p.operation_key)
       p.id,
       p.operation_key,
       p.operation_name,
       p.provider,
       p.credits_cost,
       p.api_cost_usd,
       p.is_active,
       p.created_at,
       p.updated_at
FROM credits_price p
ORDER BY p.operation_key, p.provider, p.model;
"""

BACKWARD = """
DROP VIEW operation_costs;
DROP VIEW credit_transactions;
DROP VIEW user_credits;
DROP VIEW models;
DROP VIEW images;
DROP INDEX item_makeit3d_models;
DROP INDEX item_makeit3d_images;
"""


class Migration(migrations.Migration):
    dependencies = [("generation", "0007_stories"), ("credits", "0001_initial")]
    operations = [migrations.RunSQL(INDEXES + IMAGES + MODELS + CREDITS, BACKWARD)]
