"""What every view of this door shares: who asks, under which address, and how a missing thing is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast
from uuid import UUID

from django.db.models import Model, QuerySet
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from config.api.errors import ApiError

Row = TypeVar("Row", bound=Model)

# No id that could be stored; what is looked up by it is never found.
NOBODY = UUID(int=0)


class PoseSchema(AutoSchema):
    def get_tags(self) -> list[str]:
        return ["pose-generator"]


class PoseView(APIView):
    schema = PoseSchema()


def own_id(request: Request) -> UUID:
    """Nobody comes here without a token."""
    return cast(UUID, request.user.pk)


def base_url(request: Request) -> str:
    return request.build_absolute_uri("/")


def uuid_of(text: str) -> UUID:
    """An id as a client sent it; one that is none names nobody."""
    try:
        return UUID(text)
    except ValueError:
        return NOBODY


def missing(code: str, text: str) -> ApiError:
    """The same answer for what never was and for what is another's."""
    return ApiError(404, code, text)


def unknown(field: str, text: str) -> ValidationError:
    """A field that names nothing there is."""
    return ValidationError({field: [ErrorDetail(text, code="unknown")]})


def status_parameter(words: Sequence[str]) -> OpenApiParameter:
    return OpenApiParameter("status", OpenApiTypes.STR, enum=list(words))


def of_status(rows: QuerySet[Row], request: Request, words: Sequence[str]) -> QuerySet[Row]:
    """The rows in the state that is asked for, all without one; a word that is none is nothing's."""
    status = request.query_params.get("status")
    return rows.filter(status=status) if status in words else rows.none() if status else rows
