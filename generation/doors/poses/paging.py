"""Lists of this door are cut by `page` and `limit`; numbers that are none fall back to the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from generation.doors.poses.base import Row

MOST = 100
LAST_PAGE = 10**6


@dataclass(frozen=True)
class Page:
    number: int
    limit: int

    def cut(self, rows: QuerySet[Row]) -> tuple[list[Row], dict[str, Any]]:
        """The rows of this page and the `pagination` object. Two queries."""
        total, start = rows.count(), (self.number - 1) * self.limit
        return list(rows[start : start + self.limit]), {
            "page": self.number,
            "limit": self.limit,
            "total": total,
            "totalPages": -(-total // self.limit),
            "hasMore": start + self.limit < total,
        }


def page(request: Request, default: int = 10) -> Page:
    return Page(_number(request, "page", 1, LAST_PAGE), limit(request, default))


def limit(request: Request, default: int = 10) -> int:
    return _number(request, "limit", default, MOST)


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    return min(int(text) or default, most) if is_number else default


def parameters(default: int = 10) -> list[OpenApiParameter]:
    return [OpenApiParameter("page", OpenApiTypes.INT, default=1), limit_parameter(default)]


def limit_parameter(default: int = 10) -> OpenApiParameter:
    return OpenApiParameter("limit", OpenApiTypes.INT, default=default, description=f"At most {MOST}")
