"""The routes of the visual-generation door: read, one verb, present."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api.errors import ApiError, FieldFault
from config.api.idempotency import answer_once
from config.api.schema import IDEMPOTENCY_KEY
from config.api.throttle import RateHeaders, UserWindowThrottle
from credits import pricing
from generation import engine, queue, storage
from generation.doors.visuals import answers, plan, present, serializers
from generation.figures import figures
from generation.models import Item
from generation.models import Request as Order

ABSENT = {"REQUIRED", "NULL", "BLANK"}
NOT_CANCELLABLE = "Request not found or cannot be cancelled"

IMAGE_DATA = OpenApiParameter(
    "imageData",
    OpenApiTypes.BOOL,
    description="false leaves `result.imageData` out; `result.imageUrl` leads to the same picture",
    default=True,
)


class VisualThrottle(UserWindowThrottle):
    """One counter for submits and batches together, per person."""

    name = plan.DOOR
    limit_setting = "VISUAL_RATE_LIMIT"
    window_setting = "VISUAL_RATE_WINDOW_S"


class VisualView(RateHeaders, APIView):
    judges_all_text = True
    throttle_classes = (VisualThrottle,)


class SubmitView(VisualView):
    @extend_schema(
        operation_id="visual_submit",
        tags=["visual-generation"],
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.Submit,
        responses=answers.Submitted,
    )
    def post(self, request: Request) -> Response:
        """Ask for one picture. It is charged now, and refunded when it fails."""
        wish = serializers.read_submit(request.data)
        prices = pricing.Prices([wish.price_key])
        return answer_once(request, lambda: self._submit(wish, _owner_id(request), prices), beside=prices)

    def _submit(self, wish: plan.Wish, owner_id: UUID, prices: pricing.Prices) -> Response:
        order = engine.submit(plan.plan_one(wish, owner_id, prices.quotes()), count_waiting=True)
        return Response(present.submitted(order.new_items[0], *order.place))

    def validation_message(self, faults: list[FieldFault]) -> str | None:
        is_absent = any(fault.field in ("type", "prompt") and fault.code in ABSENT for fault in faults)
        return "Type and prompt are required" if is_absent else None


class BatchView(VisualView):
    @extend_schema(
        operation_id="visual_batch",
        tags=["visual-generation"],
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.Batch,
        responses=answers.BatchSubmitted,
    )
    def post(self, request: Request) -> Response:
        """Ask for up to 100 pictures, all or none of them."""
        wishes, max_concurrent = serializers.read_batch(request.data)
        return answer_once(request, lambda: self._submit(wishes, max_concurrent, _owner_id(request)))

    def _submit(self, wishes: list[plan.Wish], max_concurrent: int | None, owner_id: UUID) -> Response:
        quotes = pricing.quotes(wish.price_key for wish in wishes)
        order = engine.submit(plan.plan_batch(wishes, owner_id, quotes, max_concurrent=max_concurrent))
        items = order.new_items
        return Response(present.batch_submitted(order, items, queue.waiting(plan.DOOR), queue.positions(items)))


class StatusView(VisualView):
    @extend_schema(
        operation_id="visual_status",
        tags=["visual-generation"],
        parameters=[IMAGE_DATA],
        responses=answers.Status,
    )
    def get(self, request: Request, request_id: str) -> Response:
        """How far a request is, and its picture once it is completed."""
        item = _find(request_id, _owner_id(request))
        if item is None:
            raise ApiError(404, "NOT_FOUND", "Request not found")
        wants_picture = request.query_params.get("imageData", "").lower() not in ("false", "0")
        try:
            return Response(present.present_item(item, _base_url(request), image_data=wants_picture))
        except storage.StorageError as error:
            raise ApiError(
                503,
                "SERVICE_UNAVAILABLE",
                "The picture cannot be read at the moment.",
                headers={"Retry-After": "5"},
            ) from error


class CancelView(VisualView):
    @extend_schema(
        operation_id="visual_cancel", tags=["visual-generation"], request=None, responses={200: answers.Cancelled}
    )
    def delete(self, request: Request, request_id: str) -> Response:
        """Cancel a request that has not ended. One that still waits is refunded at once."""
        item = _find(request_id, _owner_id(request))
        if item is None:
            raise ApiError(404, "NOT_FOUND", NOT_CANCELLABLE)
        done = engine.cancel(item.request_id, [item.pk], actor=request.user.get_username())
        if not done.item_ids:
            raise ApiError(404, "NOT_CANCELLABLE", NOT_CANCELLABLE)
        return Response(present.cancelled(done.refunded))


class BatchStatusView(VisualView):
    @extend_schema(operation_id="visual_batch_status", tags=["visual-generation"], responses=answers.BatchStatus)
    def get(self, request: Request, batch_id: str) -> Response:
        """How far a batch is, member by member."""
        mine = Order.objects.filter(public_id=batch_id, owner_id=_owner_id(request), door=plan.DOOR)
        order = mine.first() if plan.is_id(batch_id) else None
        if order is None:
            raise ApiError(404, "NOT_FOUND", "Request not found")
        return Response(present.present_batch(order, order.items.order_by("index"), _base_url(request)))


class QueueStatusView(VisualView):
    @extend_schema(operation_id="visual_queue_status", tags=["visual-generation"], responses=answers.QueueStatus)
    def get(self, request: Request) -> Response:
        """How busy the desk is. Service-wide numbers, nobody's data."""
        return Response(present.queue_status(figures(plan.DOOR)))


def _find(public_id: str, owner_id: UUID) -> Item | None:
    """The caller's own item; another's is as missing as one that never was."""
    if not plan.is_id(public_id):
        return None
    return Item.objects.select_related("request").filter(public_id=public_id, owner_id=owner_id, door=plan.DOOR).first()


def _owner_id(request: Request) -> UUID:
    """Nobody comes here without a token."""
    return cast(UUID, request.user.pk)


def _base_url(request: Request) -> str:
    return request.build_absolute_uri("/")
