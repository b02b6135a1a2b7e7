"""The JSON that the story-images door answers, for OpenAPI. `present` builds it as plain dicts.

A test holds the two together: every answer it sees must have exactly these fields.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

STATUSES = ["in_progress", "completed", "failed"]
SEGMENT_STATUSES = ["success", "failed"]


class StoryAccepted(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["accepted"])
    session_id = serializers.CharField()
    message = serializers.CharField()


class StoryOptions(serializers.Serializer[Any]):
    """What the run goes by."""

    num_images = serializers.IntegerField()
    max_passes = serializers.IntegerField()
    max_verification_passes = serializers.IntegerField()
    fast_mode = serializers.BooleanField()


class StoryWarning(serializers.Serializer[Any]):
    code = serializers.CharField(
        help_text="MISSING_DURATION, NEGATIVE_DURATION, CONFIG_IGNORED, OPTION_LOWERED, DIAGRAM_MISSING or"
        " DIAGRAM_UNREADABLE"
    )
    message = serializers.CharField()
    line = serializers.IntegerField(required=False, help_text="Of segments.md, from 1")


class StoryImage(serializers.Serializer[Any]):
    image_number = serializers.IntegerField()
    s3_key = serializers.CharField()
    url = serializers.URLField(required=False, help_text="Valid for a limited time, made afresh at each read")


class StorySegmentResult(serializers.Serializer[Any]):
    segment_number = serializers.IntegerField()
    segment_title = serializers.CharField()
    status = serializers.ChoiceField(SEGMENT_STATUSES)
    images_expected = serializers.IntegerField()
    images_generated = serializers.IntegerField()
    cost_usd = serializers.FloatField(help_text="What the providers asked for, rejected pictures and checks included")
    time_seconds = serializers.FloatField()
    images = StoryImage(many=True)


class StoryImageError(serializers.Serializer[Any]):
    segment_number = serializers.IntegerField()
    segment_title = serializers.CharField()
    image_number = serializers.IntegerField()
    error_code = serializers.CharField(
        help_text="IMAGE_GENERATION_FAILED, IMAGE_VERIFICATION_FAILED, VERIFICATION_UNAVAILABLE, CONTENT_REJECTED,"
        " STORAGE_ERROR, SECRETS_UNAVAILABLE, CANCELLED or INTERNAL_ERROR"
    )
    error_message = serializers.CharField()
    retry_count = serializers.IntegerField(help_text="Times that it was tried, at most max_passes")


class StoryError(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class StoryStatus(serializers.Serializer[Any]):
    """The same as status.json, with links to the pictures."""

    session_id = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    template_title = serializers.CharField()
    started_at = serializers.DateTimeField()
    segments_total = serializers.IntegerField()
    segments_completed = serializers.IntegerField(help_text="Succeeded and failed")
    segments_succeeded = serializers.IntegerField()
    segments_failed = serializers.IntegerField()
    options = StoryOptions()
    warnings = StoryWarning(many=True)
    generation_report_s3_path = serializers.CharField(help_text="Written when the run has ended")
    segment_results = StorySegmentResult(many=True, required=False, help_text="Of ended segments, by number")
    completed_at = serializers.DateTimeField(required=False)
    total_images_generated = serializers.IntegerField(required=False, help_text="Also of failed segments")
    total_cost_usd = serializers.FloatField(required=False)
    total_time_seconds = serializers.FloatField(required=False)
    errors = StoryImageError(many=True, required=False)  # type: ignore[assignment]  # the wire's word; DRF keeps fields apart
    error = StoryError(required=False, help_text="When the run as a whole was broken off")


class StoryOutlineSegment(serializers.Serializer[Any]):
    segment_number = serializers.IntegerField()
    segment_title = serializers.CharField()
    segment_duration = serializers.IntegerField(help_text="Seconds")
    narration = serializers.CharField()
    visual_guidance = serializers.CharField()
    line = serializers.IntegerField(help_text="Of its header, from 1")


class StoryOutline(serializers.Serializer[Any]):
    template_title = serializers.CharField()
    segments_total = serializers.IntegerField()
    segments = StoryOutlineSegment(many=True)


class StoryFile(serializers.Serializer[Any]):
    """outline: of segments.md. options: what config.json comes to. width, height: of diagram.png, in pixels."""

    s3_path = serializers.CharField(help_text="Where it lies; that of segments.md is the `s3_path` of a start")
    outline = StoryOutline(required=False)
    options = StoryOptions(required=False)
    width = serializers.IntegerField(required=False)
    height = serializers.IntegerField(required=False)
    warnings = StoryWarning(many=True)
