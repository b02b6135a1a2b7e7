"""The JSON that the MakeIt3D door answers, for OpenAPI. `present` builds it as plain dicts.

A test holds the two together: every answer it sees must have exactly these fields.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from generation.doors.makeit3d.present import STATUSES

EXPIRES = "Made afresh at each read, and valid for a limited time unless files are public"


class TaskSubmitted(serializers.Serializer[Any]):
    celery_task_id = serializers.UUIDField(help_text="The id to poll")
    task_id = serializers.UUIDField(help_text="The same id, for clients that read it here")
    client_task_id = serializers.CharField(help_text="Your own id, or the one we made")


class TaskStatus(serializers.Serializer[Any]):
    task_id = serializers.CharField(help_text="The id that was polled")
    status = serializers.ChoiceField(STATUSES)
    asset_url = serializers.URLField(allow_null=True, help_text=f"The first result. {EXPIRES}")
    error = serializers.CharField(allow_null=True)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    asset_urls = serializers.ListField(child=serializers.URLField(), help_text="Every result that is there")
    client_task_id = serializers.CharField()
    credits_charged = serializers.IntegerField()
    credits_refunded = serializers.IntegerField()
    image_url = serializers.URLField(allow_null=True, required=False, help_text="Of a downscale: the URL once more")


class Row(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    task_id = serializers.CharField(help_text="Your own id of what belongs together")
    celery_task_id = serializers.UUIDField(help_text="The id to poll")
    user_id = serializers.UUIDField()
    prompt = serializers.CharField(allow_null=True)
    style = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # the wire's word; DRF keeps fields apart
    status = serializers.ChoiceField(STATUSES)
    asset_url = serializers.URLField(allow_null=True, help_text=EXPIRES)
    thumbnail_url = serializers.URLField(allow_null=True, help_text="A small picture of it")
    source_input_asset_id = serializers.UUIDField(allow_null=True)
    is_public = serializers.BooleanField()
    provider = serializers.CharField(help_text="Alias")
    operation_key = serializers.CharField(help_text="What it was priced by")
    metadata = serializers.DictField(
        help_text="The parameters that it was made with. `ignored` names those that were sent and came to nothing;"
        " `sent_as` says in which size and format a picture went out that the provider does not take as it is"
    )
    error = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ImageRow(Row):
    image_type = serializers.ChoiceField(["upload", "ai_generated", "user_sketch"])
    source_image_id = serializers.UUIDField(allow_null=True, help_text="The record of the picture it was made from")


class ModelRow(Row):
    source_concept_image_id = serializers.UUIDField(
        allow_null=True, help_text="The record of the picture it was made from"
    )


class ImageList(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="Rows in all, whatever the page")
    results = ImageRow(many=True)


class ModelList(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="Rows in all, whatever the page")
    results = ModelRow(many=True)


class UploadedAsset(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    asset_url = serializers.URLField(help_text="Usable as an input of every route, also after it has expired")
    content_type = serializers.CharField()
    size_bytes = serializers.IntegerField()
    width = serializers.IntegerField(allow_null=True, help_text="Pixels; null for a model")
    height = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()
