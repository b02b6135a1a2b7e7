"""A small door of its own, so that the shared classes are tested without any app."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404
from django.urls import include, path
from redis.exceptions import ConnectionError
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api.errors import ApiError, FieldFault
from config.api.idempotency import answer_once
from config.api.pagination import page
from config.api.throttle import RateHeaders, UserWindowThrottle
from config.models import StaffAct


class NotEnough(Exception):
    """What credits raise: known by its attributes alone."""

    api_status = 402
    api_code = "INSUFFICIENT_CREDITS"
    api_extra = {"required": 12, "available": 3}

    def __str__(self) -> str:
        return "Not enough credits: this request needs 12, the account has 3."


class Member(serializers.Serializer[None]):
    prompt = serializers.CharField(min_length=3)
    metadata = serializers.DictField(child=serializers.IntegerField(), required=False)


class Order(serializers.Serializer[None]):
    kind = serializers.ChoiceField(["cover", "free", "dear", "broken", "gone"])
    requests = Member(many=True, required=False, max_length=5)


class OrderThrottle(UserWindowThrottle):
    name = "order"
    limit_setting = "VISUAL_RATE_LIMIT"
    window_setting = "VISUAL_RATE_WINDOW_S"


class OrderView(RateHeaders, APIView):
    throttle_classes = [OrderThrottle]

    def validation_message(self, faults: list[FieldFault]) -> str | None:
        return "Kind is required" if any(f.field == "kind" and f.code == "REQUIRED" for f in faults) else None

    def post(self, request: Request) -> Response:
        order = Order(data=request.data)
        order.is_valid(raise_exception=True)
        return answer_once(request, lambda: self.produce(request, order.validated_data["kind"]))

    def produce(self, request: Request, kind: str) -> Response:
        act = StaffAct.objects.create(actor=request.user, verb="order", subject=kind)
        if kind == "dear":
            raise NotEnough
        if kind == "broken":
            raise RuntimeError("secret detail")
        if kind == "gone":
            raise ApiError(503, "OPERATION_UNAVAILABLE", "Not offered now.")
        return Response({"id": act.pk, "actor": request.user.pk})


class StrictView(APIView):
    validation_status = 422

    def post(self, request: Request) -> Response:
        Order(data=request.data).is_valid(raise_exception=True)
        return Response(request.data)

    def get(self, request: Request) -> Response:
        cut = page(request)
        return Response({"limit": cut.limit, "offset": cut.offset})


class FaultView(APIView):
    permission_classes = []
    faults: dict[str, Any] = {
        "bug": RuntimeError("postgresql://secret"),
        "database": OperationalError("connection to server at 10.0.0.1 failed"),
        "redis": ConnectionError("10.0.0.1"),
        "http404": Http404("No User matches the given query."),
        "not-found": exceptions.NotFound("Request not found"),
        "forbidden": PermissionDenied("internal reason"),
        "own": ApiError(409, "BUSY", "Busy.", headers={"Retry-After": "1"}, extra_key=7),
        "credits": NotEnough(),
    }

    def get(self, request: Request, fault: str) -> Response:
        raise self.faults[fault]


class WhoView(APIView):
    def get(self, request: Request) -> Response:
        return Response({"id": request.user.pk, "name": request.user.get_username()})


urlpatterns = [
    path("api/auth/", include("config.api.urls")),
    path("api/order", OrderView.as_view()),
    path("api/strict", StrictView.as_view()),
    path("api/fault/<str:fault>", FaultView.as_view()),
    path("api/who", WhoView.as_view()),
]
handler404 = "config.api.handlers.page_not_found"
handler500 = "config.api.handlers.server_error"
