"""The JSON that the visual-generation door answers, for OpenAPI. `present` builds it as plain dicts.

A test holds the two together: every answer it sees must have exactly these fields.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from generation.doors.visuals.serializers import PRIORITIES, TYPES

STATUSES = ["queued", "in-progress", "completed", "failed", "cancelled"]
BATCH_STATUSES = [*STATUSES, "partial"]


class Submitted(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    requestId = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    estimatedWaitTime = serializers.IntegerField(help_text="Seconds")
    queuePosition = serializers.IntegerField(help_text="1 is next")
    creditsCharged = serializers.IntegerField()


class BatchEntry(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Place in the body sent, from 0")
    requestId = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    queuePosition = serializers.IntegerField()
    estimatedWaitTime = serializers.IntegerField(help_text="Seconds")
    creditsCharged = serializers.IntegerField()
    projectId = serializers.CharField(allow_null=True)
    pageId = serializers.CharField(allow_null=True)


class BatchSubmitted(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    batchId = serializers.CharField()
    status = serializers.ChoiceField(BATCH_STATUSES)
    total = serializers.IntegerField()
    creditsCharged = serializers.IntegerField()
    estimatedWaitTime = serializers.IntegerField(help_text="Seconds")
    requests = BatchEntry(many=True)


class StatusMetadata(serializers.Serializer[Any]):
    requestedAt = serializers.DateTimeField()
    startedAt = serializers.DateTimeField(allow_null=True, help_text="Start of the latest attempt")
    completedAt = serializers.DateTimeField(allow_null=True)
    attempts = serializers.IntegerField(help_text="Starts so far")
    maxAttempts = serializers.IntegerField()
    generationTime = serializers.IntegerField(allow_null=True, help_text="Milliseconds of the successful attempt")
    nextAttemptAt = serializers.DateTimeField(allow_null=True, help_text="Set while a retry waits")
    imageStyle = serializers.CharField(required=False)
    aspectRatio = serializers.CharField(required=False)
    provider = serializers.CharField(required=False, help_text="Alias of the preferred provider")


class Result(serializers.Serializer[Any]):
    imageData = serializers.CharField(required=False, help_text="Data URL; absent with imageData=false")
    imageUrl = serializers.URLField(help_text="Valid for a limited time, made afresh at each read")
    provider = serializers.CharField(help_text="Alias")
    model = serializers.CharField(help_text="Model key")
    generationTime = serializers.IntegerField(help_text="Milliseconds")
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    contentType = serializers.CharField(allow_null=True)


class Failure(serializers.Serializer[Any]):
    message = serializers.CharField()
    code = serializers.CharField()
    retryable = serializers.BooleanField()


class Status(serializers.Serializer[Any]):
    requestId = serializers.CharField()
    type = serializers.ChoiceField(TYPES)
    prompt = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    priority = serializers.ChoiceField(PRIORITIES)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    metadata = StatusMetadata()
    result = Result(allow_null=True)
    error = Failure(allow_null=True)
    projectId = serializers.CharField(allow_null=True)
    pageId = serializers.CharField(allow_null=True)
    batchId = serializers.CharField(allow_null=True)
    queuePosition = serializers.IntegerField(allow_null=True, help_text="While queued; 1 is next")
    creditsCharged = serializers.IntegerField()
    creditsRefunded = serializers.IntegerField()


class BatchMember(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    requestId = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    imageUrl = serializers.URLField(allow_null=True)
    error = Failure(allow_null=True)


class BatchError(serializers.Serializer[Any]):
    requestId = serializers.CharField()
    pageId = serializers.CharField(allow_null=True)
    projectId = serializers.CharField(allow_null=True)
    error = serializers.CharField()
    retryable = serializers.BooleanField()


class BatchStatus(serializers.Serializer[Any]):
    batchId = serializers.CharField()
    status = serializers.ChoiceField(BATCH_STATUSES)
    totalRequests = serializers.IntegerField()
    completedRequests = serializers.IntegerField()
    failedRequests = serializers.IntegerField()
    cancelledRequests = serializers.IntegerField()
    inProgressRequests = serializers.IntegerField()
    queuedRequests = serializers.IntegerField()
    progress = serializers.IntegerField(min_value=0, max_value=100, help_text="Share of members that have ended")
    maxConcurrent = serializers.IntegerField(allow_null=True)
    createdAt = serializers.DateTimeField()
    completedAt = serializers.DateTimeField(allow_null=True)
    creditsCharged = serializers.IntegerField()
    creditsRefunded = serializers.IntegerField()
    estimatedTimeRemaining = serializers.IntegerField(help_text="Seconds")
    requests = BatchMember(many=True)
    errors = BatchError(many=True)  # type: ignore[assignment]  # the wire's word; DRF keeps fields apart


class Cancelled(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    message = serializers.CharField()
    creditsRefunded = serializers.IntegerField()
    status = serializers.ChoiceField(STATUSES)


class QueuedByPriority(serializers.Serializer[Any]):
    urgent = serializers.IntegerField()
    high = serializers.IntegerField()
    normal = serializers.IntegerField()
    low = serializers.IntegerField()


class Metrics(serializers.Serializer[Any]):
    """Of the last 24 hours, but for the last two."""

    requestsTotal = serializers.IntegerField()
    requestsCompleted = serializers.IntegerField()
    requestsFailed = serializers.IntegerField()
    averageGenerationTime = serializers.FloatField(help_text="Seconds")
    queueLength = serializers.IntegerField()
    activeRequests = serializers.IntegerField()


class QueueStatus(serializers.Serializer[Any]):
    queueLength = serializers.IntegerField()
    activeRequests = serializers.IntegerField()
    averageWaitTime = serializers.IntegerField(help_text="Seconds until the first start, over the last 24 hours")
    queuedByPriority = QueuedByPriority()
    systemStatus = serializers.ChoiceField(["healthy", "warning", "critical"])
    metrics = Metrics(required=False)
