"""Poses: one open background change for each, what owners erase, and the source system's tables as read-only views.

Each view joins something, which is what makes PostgreSQL refuse a write to it, whoever tries. Pictures are told by
their path in the bucket: a link that anybody may follow is made only by the API, for its owner. The operators'
queries spell some columns in camel case without quotes, which PostgreSQL folds: those have that name too.
"""

from __future__ import annotations

from django.db import migrations, models

GENERATIONS = """
CREATE VIEW pose_generations AS
SELECT r.id,
       r.group AS project_id,
       r.owner_id AS user_id,
       r.params ->> 'generationType' AS generation_type,
       r.params ->> 'textPrompt' AS text_prompt,
       NULL::jsonb AS generated_pose_structure,
       r.params ->> 'avatarId' AS avatar_id,
       NULLIF(r.params -> 'avatarAttributes', 'null')::text AS avatar_attributes,
       (r.params ->> 'batchSize')::int AS batch_size,
       poses.total AS total_expected_poses,
       (r.params ->> 'useBackgroundChanger')::boolean AS use_background_changer,
       r.params ->> 'backgroundMode' AS background_mode,
       r.params ->> 'backgroundPrompt' AS background_prompt,
       r.params ->> 'backgroundColor' AS background_color,
       r.params ->> 'backgroundImageUrl' AS background_image_url,
       r.params -> 'exportFormats' AS export_formats,
       said.status,
       CASE WHEN poses.total > 0 THEN (200 * poses.completed + poses.total) / (2 * poses.total) ELSE 0 END AS progress,
       poses.completed AS poses_completed,
       poses.failed AS poses_failed,
       poses.charged AS credit_charged,
       poses.refunded AS credit_refunded,
       'gen-' || r.id AS queue_job_id,
       CASE WHEN said.status = 'failed' THEN 'No pose could be generated.' END AS error_message,
       r.created_at,
       r.started_at,
       r.finished_at AS completed_at,
       poses.took AS avg_generation_time,
       extract(epoch FROM r.finished_at - r.started_at) AS total_processing_time,
       poses.losses AS recovery_attempts,
       poses.completed AS posescompleted,
       poses.failed AS posesfailed,
       poses.total AS totalexpectedposes,
       poses.charged AS creditcharged,
       poses.refunded AS creditrefunded,
       r.created_at AS createdat
FROM generation_request r
CROSS JOIN LATERAL (SELECT CASE r.status
    WHEN 'QUEUED' THEN 'pending'
    WHEN 'RUNNING' THEN 'processing'
    WHEN 'COMPLETED' THEN 'completed'
    ELSE 'failed' END AS status) said
CROSS JOIN LATERAL (
    SELECT count(*) AS total,
           count(*) FILTER (WHERE i.status = 'SUCCEEDED') AS completed,
           count(*) FILTER (WHERE i.status IN ('FAILED', 'CANCELLED')) AS failed,
           sum(i.charged) AS charged,
           sum(i.refunded) AS refunded,
           max(i.losses) AS losses,
           extract(epoch FROM avg(i.finished_at - i.first_started_at) FILTER (WHERE i.status = 'SUCCEEDED')) AS took
    FROM generation_item i WHERE i.request_id = r.id) poses
WHERE r.door = 'poses' AND r.group NOT LIKE 'pose:%' AND r.erased_at IS NULL;
"""

POSES = """
CREATE VIEW generated_poses AS
SELECT i.public_id AS id,
       i.request_id AS generation_id,
       i.params ->> 'poseLibraryId' AS pose_library_id,
       CASE WHEN said.is_done THEN COALESCE(shown.results #>> '{seam,key}', shown.results #>> '{compose,key}',
                                            shown.results #>> '{generate,key}') END AS output_image_url,
       CASE WHEN said.is_done THEN shown.results #>> '{thumbnail,key}' END AS thumbnail_url,
       CASE WHEN said.is_done THEN i.results #>> '{generate,key}' END AS original_image_url,
       COALESCE(shown.exports, '{}') AS export_formats,
       said.is_done AND shown.results #>> '{compose,key}' IS NOT NULL AS background_changed,
       CASE WHEN said.is_done AND shown.results #>> '{compose,key}' IS NOT NULL
            THEN shown.params ->> 'backgroundPrompt' END AS background_prompt,
       i.params ->> 'promptUsed' AS prompt_used,
       (i.params ->> 'seed')::bigint AS seed_used,
       CASE WHEN NOT (i.params ->> 'textOnly')::boolean THEN 0.75 END AS controlnet_weight,
       extract(epoch FROM i.finished_at - i.first_started_at) AS generation_time,
       NULL::float AS ai_confidence_score,
       false AS is_favorite,
       0 AS download_count,
       said.status,
       NULLIF(i.error_message, '') AS error_message,
       i.params ->> 'variationKey' AS variation_key,
       i.created_at,
       i.request_id AS generationid,
       NULLIF(i.error_message, '') AS errormessage
FROM generation_item i
JOIN generation_request r ON r.id = i.request_id AND r.group NOT LIKE 'pose:%' AND r.erased_at IS NULL
CROSS JOIN LATERAL (SELECT i.status = 'SUCCEEDED' AS is_done, CASE
    WHEN i.status = 'SUCCEEDED' THEN 'completed'
    WHEN i.status IN ('FAILED', 'CANCELLED') THEN 'failed'
    ELSE 'processing' END AS status) said
LEFT JOIN LATERAL (
    SELECT c.results, c.params FROM generation_item c JOIN generation_request cr ON cr.id = c.request_id
    WHERE cr.owner_id = i.owner_id AND cr.group = 'pose:' || i.public_id AND c.status = 'SUCCEEDED'
    ORDER BY c.finished_at DESC LIMIT 1) change ON true
CROSS JOIN LATERAL (
    SELECT COALESCE(change.results, i.results) AS results,
           COALESCE(change.params, i.params) AS params,
           (SELECT jsonb_object_agg(file.key, file.value ->> 'key')
            FROM jsonb_each(COALESCE(change.results, i.results) #> '{exports,files}') file) AS exports) shown
WHERE i.door = 'poses';
"""

LIBRARY = """
CREATE VIEW pose_categories AS
SELECT c.id, c.name, c.display_name, c.slug, c.description, c.parent_id, c.icon, c.display_order, c.color,
       poses.count AS pose_count, c.is_active, c.created_at, c.updated_at
FROM generation_posecategory c
CROSS JOIN LATERAL (SELECT count(*) FROM generation_librarypose p WHERE p.category_id = c.id AND p.is_public) poses;

CREATE VIEW pose_library AS
SELECT p.id, p.name, p.description, p.category_id, p.preview_key AS preview_image_url,
       p.preview_key AS reference_image_url, p.map_key AS controlnet_image_url, p.thumbnail_key AS thumbnail_url,
       p.difficulty, p.gender_suitability, p.tags, p.source_type, p.source_credit, p.license_type, p.usage_count,
       p.favorite_count, p.rating_avg, said.popularity_score, p.is_public, p.is_featured, p.is_premium,
       p.created_at, p.updated_at
FROM generation_librarypose p
CROSS JOIN LATERAL (SELECT p.usage_count + p.favorite_count AS popularity_score) said;

CREATE VIEW pose_generator_projects AS
SELECT p.id, p.owner_id AS user_id, p.name AS project_name, p.description, p.avatar_image_url, p.avatar_source,
       p.avatar_id, made.generations AS total_generations, made.poses AS total_poses_generated, p.status,
       p.created_at, p.updated_at
FROM generation_poseproject p
CROSS JOIN LATERAL (
    SELECT count(DISTINCT r.id) AS generations, count(i.id) AS poses
    FROM generation_request r LEFT JOIN generation_item i ON i.request_id = r.id AND i.status = 'SUCCEEDED'
    WHERE r.owner_id = p.owner_id AND r.group = p.id::text AND r.door = 'poses') made
WHERE p.deleted_at IS NULL;

CREATE VIEW pose_selections AS
SELECT s.id, s.request_id AS generation_id, s.pose_id AS pose_library_id
FROM generation_poseselection s
JOIN generation_request r ON r.id = s.request_id AND r.erased_at IS NULL;

CREATE VIEW pose_requests AS
SELECT w.id, asked.user_id, w.pose_name, w.description, w.reference_image_url, w.category_id, w.use_case,
       w.votes_count, w.status, w.admin_notes, w.completed_pose_id, w.created_at, w.updated_at
FROM generation_posewish w
CROSS JOIN LATERAL (SELECT w.owner_id AS user_id) asked;

CREATE VIEW avatars AS
SELECT a.id, owned.user_id, a.name, NULLIF(a.base_image_url, '') AS base_image_url,
       NULLIF(a.thumbnail_url, '') AS thumbnail_url,
       a.attributes ->> 'gender' AS gender,
       a.attributes ->> 'ageRange' AS age_range,
       a.attributes ->> 'ethnicity' AS ethnicity,
       a.attributes ->> 'bodyType' AS body_type,
       a.attributes ->> 'hairStyle' AS hair_style,
       a.attributes ->> 'hairColor' AS hair_color,
       a.attributes ->> 'eyeColor' AS eye_color,
       a.attributes ->> 'skinTone' AS skin_tone,
       a.attributes ->> 'style' AS style,
       a.persona ->> 'name' AS persona_name,
       a.persona ->> 'age' AS persona_age,
       a.persona ->> 'personality' AS persona_personality,
       a.persona ->> 'background' AS persona_background,
       a.source_type, a.generation_prompt, a.seed_used, a.usage_count, a.last_used_at, a.created_at, a.updated_at
FROM generation_avatar a
CROSS JOIN LATERAL (SELECT a.owner_id AS user_id) owned;
"""

# A line of the one ledger, with what it is about: the generation, or the pose whose background was changed.
CREDITS = """
CREATE VIEW credits AS
SELECT e.id,
       e.account_id AS user_id,
       e.amount,
       e.balance_after AS balance,
       said.type,
       e.description,
       about.reference_id,
       about.reference_type,
       e.created_at,
       about.reference_id AS referenceid
FROM credits_entry e
CROSS JOIN LATERAL (SELECT CASE
    WHEN e.kind = 'charge' OR e.kind = 'adjust' AND e.amount < 0 THEN 'usage'
    WHEN e.kind = 'adjust' THEN 'grant'
    ELSE e.kind END AS type) said
LEFT JOIN generation_request r ON r.id::text = e.metadata ->> 'request_id'
CROSS JOIN LATERAL (SELECT
    CASE WHEN r.id IS NULL THEN e.reference
         WHEN r.door = 'poses' AND r.group LIKE 'pose:%' THEN substr(r.group, 6)
         ELSE r.id::text END AS reference_id,
    CASE WHEN r.id IS NULL THEN e.kind
         WHEN r.door = 'poses' AND r.group LIKE 'pose:%' THEN 'pose_background'
         WHEN r.door = 'poses' THEN 'pose_generation'
         ELSE r.door END AS reference_type) about;
"""

BACKWARD = """
DROP VIEW credits;
DROP VIEW avatars;
DROP VIEW pose_requests;
DROP VIEW pose_selections;
DROP VIEW pose_generator_projects;
DROP VIEW pose_library;
DROP VIEW pose_categories;
DROP VIEW generated_poses;
DROP VIEW pose_generations;
"""


class Migration(migrations.Migration):
    dependencies = [("generation", "0008_makeit3d_views"), ("credits", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="request",
            name="erased_at",
            field=models.DateTimeField(blank=True, help_text="its owner had what it made removed", null=True),
        ),
        migrations.AddConstraint(
            model_name="request",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("door", "poses"), ("group__startswith", "pose:"), ("status__in", ["QUEUED", "RUNNING"])
                ),
                fields=("group",),
                name="one_open_background_per_pose",
                violation_error_message="The background of this pose is being changed already.",
            ),
        ),
        migrations.RunSQL(GENERATIONS + POSES + LIBRARY + CREDITS, BACKWARD),
    ]
