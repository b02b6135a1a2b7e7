"""The pose-generator door's figures for everybody, and its routes for staff: thin views over what the console knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from django.db import transaction
from django.db.models import Count
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from config.api.errors import ApiError, FieldFault, summary
from config.models import StaffAct, User
from generation.doors.poses import figures, paging, record_fields, records, wishes
from generation.doors.poses import record_answers as answers
from generation.doors.poses.base import (
    PoseView,
    base_url,
    missing,
    of_status,
    own_id,
    status_parameter,
    unknown,
    uuid_of,
)
from generation.models import LibraryPose, PoseWish
from generation.models.library import WishStatus


class StaffView(PoseView):
    permission_classes = (IsAdminUser,)


def act(request: Request, verb: str, subject: str, **told: Any) -> None:
    """Write down what one of the staff did."""
    StaffAct.objects.create(actor=cast(User, request.user), verb=verb, subject=subject, **told)


# --- Figures -------------------------------------------------------------------------------------


class StatsView(PoseView):
    @extend_schema(operation_id="pose_stats", responses=answers.PoseStats)
    def get(self, request: Request) -> Response:
        """One's own numbers."""
        return Response(figures.stats(own_id(request), base_url(request)))


class CreditsView(PoseView):
    @extend_schema(operation_id="pose_credits", responses=answers.PoseCredits)
    def get(self, request: Request) -> Response:
        """Balance and unlimited tier."""
        return Response(figures.account(own_id(request)))


class MetricsView(StaffView):
    @extend_schema(
        operation_id="pose_metrics",
        parameters=[
            OpenApiParameter("period", OpenApiTypes.STR, enum=[*figures.PERIODS, "all"], default="24h"),
            OpenApiParameter("startDate", OpenApiTypes.DATETIME),
            OpenApiParameter("endDate", OpenApiTypes.DATETIME),
        ],
        responses=answers.PoseMetrics,
    )
    def get(self, request: Request) -> Response:
        """What the door did in a period."""
        return Response(figures.metrics(*_period(request)))


def _period(request: Request) -> tuple[datetime, datetime]:
    """The moments between which to count. Raises ApiError 400 with every fault."""
    asked, now = request.query_params, timezone.now()
    faults = []
    ends = {}
    for name in ("startDate", "endDate"):
        if text := asked.get(name):
            ends[name] = _moment(text)
            if ends[name] is None:
                faults.append(FieldFault(name, "Must be a date and time, as in 2026-01-31T00:00:00Z.", "INVALID"))
    period = asked.get("period") or "24h"
    if period not in figures.PERIODS and period != "all":
        faults.append(FieldFault("period", f"Must be one of: {', '.join([*figures.PERIODS, 'all'])}.", "INVALID"))
    if faults:
        raise ApiError(400, "VALIDATION_ERROR", summary(faults), errors=faults)
    start = now - figures.PERIODS[period] if period in figures.PERIODS else datetime(2000, 1, 1, tzinfo=UTC)
    return ends.get("startDate") or start, ends.get("endDate") or now


def _moment(text: str) -> datetime | None:
    try:
        at = parse_datetime(text if "T" in text or " " in text else f"{text}T00:00:00Z")
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at


class TopUsersView(StaffView):
    @extend_schema(operation_id="pose_top_users", parameters=[paging.limit_parameter()], responses=answers.TopUsers)
    def get(self, request: Request) -> Response:
        """Who asked for the most."""
        return Response({"users": figures.top_users(paging.limit(request))})


class PopularPosesView(StaffView):
    @extend_schema(operation_id="pose_popular", parameters=[paging.limit_parameter(20)], responses=answers.PopularPoses)
    def get(self, request: Request) -> Response:
        """Which poses are used the most."""
        return Response({"poses": figures.popular_poses(paging.limit(request, 20))})


class ErrorsView(StaffView):
    @extend_schema(operation_id="pose_errors", responses=answers.Errors)
    def get(self, request: Request) -> Response:
        """What poses failed of."""
        return Response({"errors": figures.errors()})


# --- Recovery ------------------------------------------------------------------------------------


class RecoveryStatusView(StaffView):
    @extend_schema(operation_id="pose_recovery_status", responses=answers.Recovery)
    def get(self, request: Request) -> Response:
        """What stands still."""
        return Response(figures.recovery())


class RecoveryTriggerView(StaffView):
    @extend_schema(operation_id="pose_recovery_trigger", request=None, responses=answers.Recovered)
    def post(self, request: Request) -> Response:
        """Sweep now: queue again what a dead worker held, fail what has had its chances."""
        done = figures.recover()
        act(request, figures.RECOVER, "pose-generator", outcome=done)
        return Response({"success": True, **done})


# --- Wishes for poses ----------------------------------------------------------------------------


class WishListView(StaffView):
    @extend_schema(
        operation_id="pose_admin_wishes",
        parameters=[
            *paging.parameters(20),
            status_parameter(WishStatus.values),
            OpenApiParameter("categoryId", OpenApiTypes.STR),
            OpenApiParameter("userId", OpenApiTypes.STR),
        ],
        responses=answers.Wishes,
    )
    def get(self, request: Request) -> Response:
        """All wishes, newest first."""
        asked, newest = request.query_params, PoseWish.objects.order_by("-created_at", "-pk")
        found = of_status(newest, request, WishStatus.values)
        if category := asked.get("categoryId"):
            found = found.filter(category_id=uuid_of(category))
        if owner := asked.get("userId"):
            found = found.filter(owner_id=uuid_of(owner))
        rows, pagination = paging.page(request, 20).cut(found)
        return Response({"requests": [records.present_wish(row) for row in rows], "pagination": pagination})


class WishStatsView(StaffView):
    @extend_schema(operation_id="pose_admin_wish_stats", responses=answers.WishStats)
    def get(self, request: Request) -> Response:
        """How many wishes are in which state."""
        by_status = dict(PoseWish.objects.values_list("status").annotate(count=Count("pk")).order_by())
        counts = {word: by_status.get(word, 0) for word in WishStatus.values}
        return Response({"total": sum(counts.values()), **counts})


class PopularWishesView(StaffView):
    @extend_schema(
        operation_id="pose_admin_popular_wishes",
        parameters=[paging.limit_parameter()],
        responses=answers.WishList,
    )
    def get(self, request: Request) -> Response:
        """Open wishes with the most votes."""
        open_ones = PoseWish.objects.filter(status__in=[WishStatus.PENDING, WishStatus.APPROVED])
        rows = open_ones.order_by("-votes_count", "-created_at")[: paging.limit(request)]
        return Response({"requests": [records.present_wish(row) for row in rows]})


class WishView(StaffView):
    @extend_schema(operation_id="pose_admin_wish", responses=answers.OneWish)
    def get(self, request: Request, wish_id: str) -> Response:
        """One wish."""
        return Response({"request": records.present_wish(_wish(wish_id))})


class _WishVerb(StaffView):
    """Answer a wish: its new state, with notes for who wished."""

    status: str
    fields: type[Serializer[Any]] = record_fields.WishVerdict
    verb: str

    def _answer(self, request: Request, wish_id: str) -> Response:
        checked = record_fields.read(self.fields, request.data or {})
        with transaction.atomic():
            wish = _wish(wish_id, lock=True)
            pose = None
            if pose_id := checked.get("completedPoseId"):
                pose = LibraryPose.objects.filter(pk=uuid_of(pose_id)).first()
                if pose is None:
                    raise unknown("completedPoseId", "No pose of the library has this id.")
            wishes.answer(wish, self.status, notes=checked.get("adminNotes") or "", pose=pose)
            act(request, self.verb, f"pose wish {wish.pk}", reason=(checked.get("adminNotes") or "")[:500])
        return Response({"request": records.present_wish(wish), "message": f"The wish is {wish.get_status_display()}."})


class ApproveView(_WishVerb):
    status, verb = WishStatus.APPROVED, "approve"

    @extend_schema(operation_id="pose_admin_approve", request=record_fields.WishVerdict, responses=answers.WishAnswer)
    def post(self, request: Request, wish_id: str) -> Response:
        """Say that this pose will be made."""
        return self._answer(request, wish_id)


class RejectView(_WishVerb):
    status, verb, fields = WishStatus.REJECTED, "reject", record_fields.StaffNotes

    @extend_schema(operation_id="pose_admin_reject", request=record_fields.StaffNotes, responses=answers.WishAnswer)
    def post(self, request: Request, wish_id: str) -> Response:
        """Say no, and why."""
        return self._answer(request, wish_id)


class InProgressView(_WishVerb):
    status, verb = WishStatus.IN_PROGRESS, "begin"

    @extend_schema(
        operation_id="pose_admin_in_progress", request=record_fields.WishVerdict, responses=answers.WishAnswer
    )
    def post(self, request: Request, wish_id: str) -> Response:
        """Say that somebody is at it."""
        return self._answer(request, wish_id)


class CompletedView(_WishVerb):
    status, verb, fields = WishStatus.COMPLETED, "complete", record_fields.WishCompleted

    @extend_schema(
        operation_id="pose_admin_completed", request=record_fields.WishCompleted, responses=answers.WishAnswer
    )
    def post(self, request: Request, wish_id: str) -> Response:
        """Say which pose came of it."""
        return self._answer(request, wish_id)


class NotesView(_WishVerb):
    status, verb, fields = "", "note", record_fields.StaffNotes

    @extend_schema(operation_id="pose_admin_notes", request=record_fields.StaffNotes, responses=answers.WishAnswer)
    def put(self, request: Request, wish_id: str) -> Response:
        """Write notes for who wished."""
        return self._answer(request, wish_id)


def _wish(wish_id: str, *, lock: bool = False) -> PoseWish:
    rows = PoseWish.objects.select_for_update() if lock else PoseWish.objects
    wish = rows.filter(pk=uuid_of(wish_id)).first()
    if wish is None:
        raise missing("NOT_FOUND", "Request not found")
    return wish
