"""The numbers of the pose-generator door: a person's own statistics, and what staff see of the whole door."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, F, Max, Q, Sum
from django.utils import timezone
from redis.exceptions import RedisError

from config.models import StaffAct
from credits import ledger
from credits.models import Account, QuotaDay
from generation import engine, lanes, queue, storage
from generation.doors.poses import plan, present
from generation.models import (
    Item,
    ItemStatus,
    LibraryPose,
    MetricsRow,
    PoseProject,
    PoseSelection,
    Request,
    RequestStatus,
)

OPEN = (ItemStatus.QUEUED, ItemStatus.HELD, ItemStatus.RUNNING, ItemStatus.WAITING)
RECOVER = "recover"
# How long an item may be without a claim although there is room, before it counts as stalled.
UNCLAIMED = timedelta(minutes=5)
PERIODS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "day": timedelta(days=1),
    "7d": timedelta(days=7),
    "week": timedelta(days=7),
    "30d": timedelta(days=30),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}


# --- One person ----------------------------------------------------------------------------------


def stats(owner_id: UUID, base_url: str) -> dict[str, Any]:
    """A person's own numbers; credits are net of refunds."""
    now = timezone.now()
    items = Item.objects.filter(owner_id=owner_id, door=plan.DOOR)
    spent = items.aggregate(
        total=Sum(F("charged") - F("refunded"), default=0),
        recent=Sum(F("charged") - F("refunded"), filter=Q(created_at__gte=now - timedelta(days=30)), default=0),
    )
    mine = Request.objects.filter(owner_id=owner_id, door=plan.DOOR).exclude(group__startswith=plan.CHANGE_GROUP)
    counts = mine.aggregate(all=Count("pk"), week=Count("pk", filter=Q(created_at__gte=now - timedelta(days=7))))
    return {
        "totalPosesGenerated": items.filter(status=ItemStatus.SUCCEEDED)
        .exclude(request__group__startswith=plan.CHANGE_GROUP)
        .count(),
        "totalProjects": PoseProject.objects.filter(owner_id=owner_id, deleted_at=None).count(),
        "recentGenerations": counts["week"],
        "creditUsage": {
            "totalSpent": spent["total"],
            "last30Days": spent["recent"],
            "averagePerGeneration": round(spent["total"] / counts["all"], 1) if counts["all"] else 0,
        },
        "topUsedPoses": [
            {
                "poseId": str(row["pose"]),
                "poseName": row["pose__name"],
                "usageCount": row["uses"],
                "previewUrl": storage.link(row["pose__preview_key"], base_url) if row["pose__preview_key"] else None,
            }
            for row in PoseSelection.objects.filter(request__owner_id=owner_id)
            .values("pose", "pose__name", "pose__preview_key")
            .annotate(uses=Count("pk"))
            .order_by("-uses", "pose__name")[:5]
        ],
    }


def account(owner_id: UUID) -> dict[str, Any]:
    """The balance and the unlimited tier, if one is in force."""
    now = timezone.now()
    own = Account.objects.filter(owner_id=owner_id).first() or Account()
    is_active = own.unlimited_active and (own.unlimited_expires_at is None or own.unlimited_expires_at > now)
    used = QuotaDay.objects.filter(account_id=owner_id, day=now.date()).values_list("used", flat=True).first() or 0
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "balance": ledger.balance(owner_id),
        "unlimited": {
            "active": is_active,
            "dailyQuota": own.unlimited_daily_quota,
            "used": used,
            "remaining": max(0, own.unlimited_daily_quota - used) if is_active else 0,
            "resetAt": present.iso(tomorrow) if is_active else None,
            "expiresAt": present.iso(own.unlimited_expires_at),
        },
    }


# --- The whole door, for staff -------------------------------------------------------------------


def metrics(start: datetime, end: datetime) -> dict[str, Any]:
    """What the door did between two moments, and how full its queue is now."""
    orders = Request.objects.filter(door=plan.DOOR, created_at__gte=start, created_at__lt=end).exclude(
        group__startswith=plan.CHANGE_GROUP
    )
    ended = Q(status__in=[RequestStatus.COMPLETED, RequestStatus.FAILED, RequestStatus.CANCELLED])
    told = orders.aggregate(
        total=Count("pk"),
        active=Count("pk", filter=~ended),
        completed=Count("pk", filter=Q(status=RequestStatus.COMPLETED)),
        failed=Count("pk", filter=ended & ~Q(status=RequestStatus.COMPLETED)),
        took=Avg(F("finished_at") - F("started_at"), filter=ended),
    )
    poses = Item.objects.filter(request__in=orders).aggregate(
        made=Count("pk", filter=Q(status=ItemStatus.SUCCEEDED)),
        count=Count("pk"),
        spent=Sum("charged", default=0),
        refunded=Sum("refunded", default=0),
    )
    depth = counts()
    finished = told["completed"] + told["failed"]
    return {
        "totalGenerations": told["total"],
        "activeGenerations": told["active"],
        "completedGenerations": told["completed"],
        "failedGenerations": told["failed"],
        "avgGenerationTime": round(told["took"].total_seconds(), 1) if told["took"] else 0,
        "avgPosesPerGeneration": round(poses["count"] / told["total"], 1) if told["total"] else 0,
        "successRate": round(100 * told["completed"] / finished, 1) if finished else 0,
        "queueDepth": depth["waiting"] + depth["delayed"] + depth["active"],
        "queueWaiting": depth["waiting"] + depth["delayed"],
        "queueActive": depth["active"],
        "queueFailed": depth["failed"],
        "totalPosesGenerated": poses["made"],
        "totalCreditsSpent": poses["spent"],
        "totalCreditsRefunded": poses["refunded"],
        "startTime": present.iso(start),
        "endTime": present.iso(end),
    }


def counts() -> dict[str, int]:
    """Items of this door by the words of the source system's queue; ended ones of the last day. One query."""
    recent = Q(finished_at__gte=timezone.now() - timedelta(days=1))
    row: dict[str, int] = Item.objects.filter(Q(status__in=OPEN) | recent, door=plan.DOOR).aggregate(
        waiting=Count("pk", filter=Q(status=ItemStatus.QUEUED)),
        delayed=Count("pk", filter=Q(status=ItemStatus.HELD)),
        active=Count("pk", filter=Q(status__in=[ItemStatus.RUNNING, ItemStatus.WAITING])),
        completed=Count("pk", filter=Q(status=ItemStatus.SUCCEEDED)),
        failed=Count("pk", filter=Q(status=ItemStatus.FAILED)),
    )
    return row


def top_users(limit: int) -> list[dict[str, Any]]:
    """Who asked for the most."""
    rows = (
        Request.objects.filter(door=plan.DOOR)
        .exclude(group__startswith=plan.CHANGE_GROUP)
        .values("owner", "owner__username", "owner__email")
        .annotate(
            generations=Count("pk", distinct=True),
            poses=Count("items", filter=Q(items__status=ItemStatus.SUCCEEDED)),
            ended=Count("items", filter=Q(items__status__in=[ItemStatus.SUCCEEDED, ItemStatus.FAILED])),
        )
        .order_by("-generations", "owner")[:limit]
    )
    return [
        {
            "userId": str(row["owner"]),
            "userName": row["owner__username"],
            "userEmail": row["owner__email"] or None,
            "generationCount": row["generations"],
            "totalPoses": row["poses"],
            "successRate": round(100 * row["poses"] / row["ended"], 1) if row["ended"] else 0,
        }
        for row in rows
    ]


def popular_poses(limit: int) -> list[dict[str, Any]]:
    poses = LibraryPose.objects.select_related("category").order_by("-usage_count", "name")[:limit]
    return [
        {"poseId": str(pose.pk), "name": pose.name, "usageCount": pose.usage_count, "category": pose.category.name}
        for pose in poses
    ]


def errors() -> list[dict[str, Any]]:
    """What poses failed of, by the contract's words."""
    rows = (
        Item.objects.filter(door=plan.DOOR, status=ItemStatus.FAILED)
        .values("error_code")
        .annotate(count=Count("pk"), last=Max("finished_at"))
        .order_by("-count")
    )
    merged: dict[str, dict[str, Any]] = {}
    for row in rows:
        word = present.CODES.get(row["error_code"], present.GAVE_UP)
        one = merged.setdefault(word, {"errorType": word, "count": 0, "lastOccurred": row["last"]})
        one["count"] += row["count"]
        one["lastOccurred"] = max(one["lastOccurred"], row["last"])
    return [{**one, "lastOccurred": present.iso(one["lastOccurred"])} for one in merged.values()]


# --- Recovery ------------------------------------------------------------------------------------


def recovery() -> dict[str, Any]:
    """Generations that wait, work, and stand still although nothing holds them up."""
    requests = Request.objects.filter(door=plan.DOOR)
    return {
        "stalledGenerations": len(_stalled()),
        "queuedGenerations": requests.filter(status=RequestStatus.QUEUED).count(),
        "processingGenerations": requests.filter(status=RequestStatus.RUNNING).count(),
        "lastRecoveryRun": present.iso(_last_run()),
    }


def recover() -> dict[str, int]:
    """Sweep now; return how many of the generations that stood still go on, and how many failed over it."""
    stalled = _stalled()
    engine.sweep()
    failed = Request.objects.filter(pk__in=stalled, status=RequestStatus.FAILED).count()
    return {"recovered": len(stalled) - failed, "failed": failed}


def _stalled() -> set[UUID]:
    """Requests with open items whose lease has ended, or that nobody claimed for long although capacity is free."""
    now = timezone.now()
    stands_still = Q(status=ItemStatus.RUNNING, lease_until__lt=now)
    if _has_idle_workers():
        closed = list(lanes.closed_lanes().values_list("name", flat=True))
        stands_still |= Q(status=ItemStatus.QUEUED, queued_at__lt=now - UNCLAIMED) & ~Q(lane__in=closed)
    return set(Item.objects.filter(stands_still, door=plan.DOOR).values_list("request_id", flat=True))


def _has_idle_workers() -> bool:
    """Nobody knows without Redis; then nothing is called forgotten."""
    try:
        return any(worker.threads > worker.busy for worker in queue.workers())
    except RedisError:
        return False


def _last_run() -> datetime | None:
    """When somebody asked for a sweep last, or one left its figures behind."""
    asked = StaffAct.objects.filter(verb=RECOVER).order_by("-at").values_list("at", flat=True).first()
    kept = MetricsRow.objects.order_by("-at").values_list("at", flat=True).first()
    return max((at for at in (asked, kept) if at), default=None)
