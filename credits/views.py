"""One's own credits: the balance, what moved it, and what operations cost."""

from __future__ import annotations

from typing import ClassVar, cast
from uuid import UUID

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from config.api.pagination import PageQuery, page
from config.api.throttle import RateHeaders, SlidingWindow, UserWindowThrottle
from credits import ledger, serializers
from credits.models import Price

TOTAL = OpenApiParameter(
    "X-Total-Count",
    OpenApiTypes.INT,
    OpenApiParameter.HEADER,
    response=[200],
    description="Entries in all, whatever the page",
)


class ReadThrottle(UserWindowThrottle):
    """One counter for each person and route."""

    methods = ("GET",)

    def __init__(self, route: str) -> None:
        super().__init__()
        self._route = route

    def sliding_window(self) -> SlidingWindow:
        return SlidingWindow(f"credits-{self._route}", settings.CREDITS_READS_PER_MINUTE, 60)


class CreditsView(RateHeaders, APIView):
    """Faults of a query are 422 here, as at the door whose contract describes these routes."""

    route: ClassVar[str]
    validation_status = 422

    def get_throttles(self) -> list[BaseThrottle]:
        return [ReadThrottle(self.route)]


class BalanceView(CreditsView):
    route = "balance"

    @extend_schema(operation_id="credits_balance", tags=["credits"], responses=serializers.Balance)
    def get(self, request: Request) -> Response:
        """What the account has, and what it ever bought and was given."""
        return Response(serializers.Balance(ledger.open_account(_owner_id(request))).data)


class HistoryView(CreditsView):
    route = "history"

    @extend_schema(
        operation_id="credits_history",
        tags=["credits"],
        parameters=[PageQuery, TOTAL],
        responses=serializers.Transaction(many=True),
    )
    def get(self, request: Request) -> Response:
        """Everything that moved the balance, newest first."""
        wanted = page(request)
        history = ledger.history(_owner_id(request), wanted.limit, wanted.offset)
        rows = serializers.Transaction(history.entries, many=True).data
        return Response(rows, headers={"X-Total-Count": str(history.total)})


class PricesView(CreditsView):
    route = "prices"

    @extend_schema(operation_id="credits_prices", tags=["credits"], responses=serializers.OperationPrice(many=True))
    def get(self, request: Request) -> Response:
        """What one unit of each operation on offer costs, in credits."""
        return Response(serializers.OperationPrice(Price.objects.filter(is_active=True), many=True).data)


def _owner_id(request: Request) -> UUID:
    """Nobody comes here without a token."""
    return cast(UUID, request.user.pk)
