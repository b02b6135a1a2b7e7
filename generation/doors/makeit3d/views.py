"""The routes of the MakeIt3D door: read, one verb, present. One class for each operation of the catalogue."""

from __future__ import annotations

from typing import ClassVar, cast
from uuid import UUID

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers as fields
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from config.api.errors import ApiError
from config.api.pagination import PageQuery
from config.api.schema import problems
from config.api.throttle import RateHeaders, SlidingWindow, UserWindowThrottle
from generation.doors.makeit3d import answers, documents, orders, plan, present, reader, serializers
from generation.doors.makeit3d.catalogue import Kind, Operation
from providers import registry

WINDOW_S = 60
SERVICES = frozenset({"internal", *(vendor.alias for vendor in registry.VENDORS)})


class Throttle(UserWindowThrottle):
    """One counter for each person and route."""

    methods = ("GET", "POST")

    def __init__(self, route: str, limit: int) -> None:
        super().__init__()
        self._window = SlidingWindow(f"{plan.DOOR}-{route}", limit, WINDOW_S)

    def sliding_window(self) -> SlidingWindow:
        return self._window


class DoorView(RateHeaders, APIView):
    """route: names its window. Faults of a body are 422 here."""

    route: ClassVar[str]
    validation_status = 422

    @property
    def limit(self) -> int:
        """How often one person may call it in a minute; 0 is no limit."""
        most: int = settings.MAKEIT3D_READS_PER_MINUTE
        return most

    def get_throttles(self) -> list[BaseThrottle]:
        return [Throttle(self.route, self.limit)]


class GenerateView(DoorView):
    """Ask for something to be made. It is charged now; each result that fails is refunded."""

    operation: ClassVar[Operation]

    @property
    def limit(self) -> int:
        return limit_of(self.operation)

    def post(self, request: Request) -> Response:
        wish = serializers.read(self.operation, request.data)
        # Before anything is fetched: a repeat is answered also when the links that it names have died since.
        return orders.answered(request, wish) or orders.make(request, wish, _owner_id(request), _base_url(request))


def limit_of(operation: Operation) -> int:
    """How often one person may ask for an operation in a minute; 0 is no limit."""
    chosen: dict[str, int] = settings.MAKEIT3D_PER_MINUTE
    return chosen.get(operation.name, operation.per_minute)


def view_of(operation: Operation) -> type[GenerateView]:
    """The view of an operation, documented from the catalogue."""
    name = "".join(word.capitalize() for word in operation.name.split("-"))
    members = {"operation": operation, "route": operation.name, "__doc__": operation.summary}
    return documents.described(type(f"{name}View", (GenerateView,), members), operation)


class StatusView(DoorView):
    route = "status"

    @extend_schema(
        operation_id="makeit3d_status",
        tags=[documents.TAG],
        parameters=[
            OpenApiParameter("service", OpenApiTypes.STR, description="A provider by alias or name; of no consequence")
        ],
        responses={
            200: answers.TaskStatus,
            **problems(
                _400="INVALID_SERVICE: `service` names no provider.",
                _404="TASK_NOT_FOUND: no such task of yours.",
            ),
        },
        examples=documents.STATUS_EXAMPLES,
    )
    def get(self, request: Request, task_id: str) -> Response:
        """How far a request is, and its results once it is complete.

        Takes the `celery_task_id` of a submit, or your own `task_id`: then of the newest request of that task.
        """
        service = request.query_params.get("service")
        if service and registry.alias_of(service) not in SERVICES and service.lower() not in SERVICES:
            raise ApiError(400, "INVALID_SERVICE", "service must name a provider, by alias or name.")
        items = reader.polled(_owner_id(request), task_id)
        if not items:
            raise ApiError(404, "TASK_NOT_FOUND", "Task not found")
        return Response(present.status(task_id, items, _base_url(request)))


class ListQuery(PageQuery):
    task_id = fields.CharField(required=False, allow_blank=True, help_text="Only what belongs to this task")
    status = fields.ChoiceField(present.STATUSES, required=False)


class ListView(DoorView):
    kind: ClassVar[Kind]

    def get(self, request: Request) -> Response:
        query = ListQuery(data=request.query_params, context={"default": 50, "most": 200})
        query.is_valid(raise_exception=True)
        count, items = reader.listed(_owner_id(request), self.kind, **query.validated_data)
        base_url = _base_url(request)
        return Response({"count": count, "results": [present.row(item, base_url) for item in items]})


class ImagesView(ListView):
    route, kind = "images", Kind.IMAGE

    @extend_schema(
        operation_id="makeit3d_images",
        tags=[documents.TAG],
        parameters=[ListQuery],
        responses=answers.ImageList,
        examples=documents.IMAGES_EXAMPLES,
    )
    def get(self, request: Request) -> Response:
        """Your pictures, one row for each result, newest first."""
        return super().get(request)


class ModelsView(ListView):
    route, kind = "models", Kind.MODEL

    @extend_schema(
        operation_id="makeit3d_models",
        tags=[documents.TAG],
        parameters=[ListQuery],
        responses=answers.ModelList,
        examples=documents.MODELS_EXAMPLES,
    )
    def get(self, request: Request) -> Response:
        """Your 3D models, one row for each result, newest first."""
        return super().get(request)


def _owner_id(request: Request) -> UUID:
    """Nobody comes here without a token."""
    return cast(UUID, request.user.pk)


def _base_url(request: Request) -> str:
    return request.build_absolute_uri("/")
