"""The routes of the pose-generator door about generations and poses: read, one verb, present."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.api.errors import ApiError
from config.api.idempotency import answer_once, answered
from config.api.schema import IDEMPOTENCY_KEY, problems
from config.api.throttle import RateHeaders, SlidingWindow, UserWindowThrottle
from credits import ledger
from generation.doors.poses import answers, exporting, orders, paging, plan, present, records, serializers
from generation.doors.poses.base import PoseView, base_url, own_id, status_parameter, uuid_of
from generation.doors.poses.chain import Background
from generation.doors.poses.tallies import tally
from generation.models import Asset, Item, ItemStatus

Fetching = AbstractContextManager[tuple[Background | None, list[Asset]]]

PATH = "/api/apps/pose-generator/generations"
STATUS = status_parameter(list(present.STATES))
PROJECT = OpenApiParameter("projectId", OpenApiTypes.STR)
FORMATS = OpenApiParameter(
    "formats", OpenApiTypes.STR, description="Names of exports with commas between; without it those that were made"
)
REFUSED = "VALIDATION_ERROR, INAPPROPRIATE_PROMPT, INPUT_URL_NOT_ALLOWED."
NO_CREDITS = "INSUFFICIENT_CREDITS: fewer are `available` than are `required`."


class GenerateThrottle(UserWindowThrottle):
    name = "poses-generate"
    limit_setting = "POSE_RATE_LIMIT"
    window_setting = "POSE_RATE_WINDOW_S"


class PerMinute(UserWindowThrottle):
    methods = ("GET", "POST")

    def sliding_window(self) -> SlidingWindow:
        return SlidingWindow(self.name, getattr(settings, self.limit_setting), 60)


class ChangeThrottle(PerMinute):
    name, limit_setting = "poses-background", "POSE_CHANGES_PER_MINUTE"


class ExportThrottle(PerMinute):
    name, limit_setting = "poses-export", "POSE_EXPORTS_PER_MINUTE"


class GenerateView(RateHeaders, PoseView):
    throttle_classes = (GenerateThrottle,)

    @extend_schema(
        operation_id="pose_generate",
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.Generate,
        responses={
            202: answers.PosesSubmitted,
            **problems(
                _400=f"{REFUSED} PROJECT_ARCHIVED.",
                _402=NO_CREDITS,
                _403="INSUFFICIENT_QUOTA: the unlimited tier has fewer poses `available` today than are `required`.",
                _404="PROJECT_NOT_FOUND, AVATAR_NOT_FOUND.",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Ask for poses. They are charged now; each one that fails is refunded."""
        checked = serializers.read_generate(request.data)
        # Before anything is fetched: a repeat is answered also when the link that it names has died since.
        answer = answered(request) or self._make(request, orders.wish_of(checked, own_id(request)))
        if answer.status_code == 202:  # of a repeat, status and body alone are kept
            answer["Location"] = f"{PATH}/{answer.data['generationId']}"
        return answer

    def _make(self, request: Request, wish: plan.Wish) -> Response:
        fetching: Fetching = nullcontext((None, []))
        if wish.background:
            fetching = orders.pictured(wish.background, wish.owner_id, base_url(request))
        with fetching as (background, fetched):
            ready = replace(wish, background=background)

            def submit() -> Response:
                return Response(present.submitted(orders.submit(ready, fetched)), status=202)

            return answer_once(request, submit)


class GenerationListView(PoseView):
    @extend_schema(
        operation_id="pose_generations",
        parameters=[*paging.parameters(), STATUS, PROJECT],
        responses=answers.Generations,
    )
    def get(self, request: Request) -> Response:
        """One's own generations, newest first."""
        found = present.generations(own_id(request))
        if state := request.query_params.get("status"):
            found = found.filter(present.STATES[state]) if state in present.STATES else found.none()
        if project := request.query_params.get("projectId"):
            found = found.filter(group=str(uuid_of(project)))
        rows, pagination = paging.page(request).cut(found)
        return Response({"generations": present.present_generations(rows), "pagination": pagination})


class GenerationView(PoseView):
    @extend_schema(operation_id="pose_generation", responses=answers.OneGeneration)
    def get(self, request: Request, generation_id: str) -> Response:
        """A generation with its poses, its project, and how far it is."""
        found = orders.find_generation(generation_id, own_id(request))
        counts, items = tally(found.pk), list(found.items.order_by("index"))
        document = {
            **present.present_generation(found, counts),
            "poses": present.present_poses(items, base_url(request)),
            "project": records.present_project(orders.find_project(found.group, found.owner_id)),
        }
        return Response({"generation": document, "progress": present.present_progress(found, counts)})


class ResultsView(PoseView):
    @extend_schema(
        operation_id="pose_results",
        responses={200: answers.PoseResults, **problems(_400="INVALID_STATE: the generation has not ended yet.")},
    )
    def get(self, request: Request, generation_id: str) -> Response:
        """The poses that were made, once the generation has ended."""
        found = orders.find_generation(generation_id, own_id(request))
        if present.word_of(found) in (present.PENDING, present.PROCESSING):
            raise ApiError(400, "INVALID_STATE", "The generation has not ended yet.")
        items = list(found.items.order_by("index"))
        return Response(present.present_results(found, tally(found.pk), items, base_url(request)))


class PosesView(PoseView):
    @extend_schema(operation_id="pose_generation_poses", responses=answers.Poses)
    def get(self, request: Request, generation_id: str) -> Response:
        """All poses of a generation, in any state."""
        found = orders.find_generation(generation_id, own_id(request))
        return Response({"poses": present.present_poses(list(found.items.order_by("index")), base_url(request))})


class ZipView(RateHeaders, PoseView):
    throttle_classes = (ExportThrottle,)

    @extend_schema(
        operation_id="pose_export_zip",
        parameters=[FORMATS],
        responses={
            (200, "application/zip"): OpenApiTypes.BINARY,
            **problems(_400="INVALID_STATE: no pose is finished. VALIDATION_ERROR: none of the formats is known."),
        },
    )
    def get(self, request: Request, generation_id: str) -> StreamingHttpResponse:
        """All finished poses in one archive: `{format}/{poseId}.jpg`."""
        found = orders.find_generation(generation_id, own_id(request))
        done = list(found.items.filter(status=ItemStatus.SUCCEEDED).order_by("index"))
        if not done:
            raise ApiError(400, "INVALID_STATE", "This generation has no finished pose.")
        changes = present.newest_changes(done)
        pairs = [(item, changes.get(item.public_id) or item) for item in done]
        names = exporting.names_of(request.query_params.get("formats"), [shown for _, shown in pairs])
        answer = StreamingHttpResponse(exporting.archive(pairs, names), content_type="application/zip")
        answer["Content-Disposition"] = f'attachment; filename="poses-{found.pk}.zip"'
        return answer


class RegenerateView(RateHeaders, PoseView):
    throttle_classes = (ExportThrottle,)

    @extend_schema(
        operation_id="pose_regenerate_export",
        request=serializers.WantedExport,
        responses={200: answers.MadeExport, **problems(_400="VALIDATION_ERROR, INVALID_STATE: it is not finished.")},
    )
    def post(self, request: Request, pose_id: str) -> Response:
        """Make one export of a finished pose anew."""
        name = serializers.read_export(request.data)
        item = orders.find_finished(pose_id, own_id(request))
        link = exporting.regenerate(item, present.shown_of(item), name, base_url(request))
        return Response({"success": True, "exportUrl": link, "format": name})


class BackgroundView(RateHeaders, PoseView):
    throttle_classes = (ChangeThrottle,)

    @extend_schema(
        operation_id="pose_background",
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.BackgroundFields,
        responses={
            202: answers.ChangeSubmitted,
            **problems(
                _400=f"{REFUSED} INVALID_STATE: the pose is not finished.",
                _402=NO_CREDITS,
                _409="CHANGE_IN_PROGRESS: another change of this pose has not ended.",
            ),
        },
    )
    def post(self, request: Request, pose_id: str) -> Response:
        """Ask for another background behind a finished pose."""
        checked = serializers.read_background(request.data)
        return answered(request) or self._make(request, orders.find_finished(pose_id, own_id(request)), checked)

    def _make(self, request: Request, item: Item, checked: dict[str, Any]) -> Response:
        fetching = orders.pictured(serializers.background_of(checked), item.owner_id, base_url(request))
        with fetching as (background, fetched):

            def submit() -> Response:
                shown = present.shown_of(item)
                order = orders.submit_change(item, shown, background, fetched)
                balance = ledger.balance(item.owner_id)
                return Response(present.changed(shown, order, balance, base_url(request)), status=202)

            return answer_once(request, submit)
