"""Lists are cut by `limit` and `offset`."""

from __future__ import annotations

from dataclasses import dataclass

from rest_framework import serializers
from rest_framework.request import Request


@dataclass(frozen=True)
class Page:
    limit: int
    offset: int

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.limit)


def page(request: Request, *, default: int = 50, most: int = 200) -> Page:
    """Read the page that was asked for. Raises a validation error that lists every fault."""
    query = PageQuery(data=request.query_params, context={"default": default, "most": most})
    query.is_valid(raise_exception=True)
    return Page(query.validated_data["limit"], query.validated_data["offset"])


class PageQuery(serializers.Serializer[None]):
    """Also the OpenAPI description of the two query parameters."""

    limit = serializers.IntegerField(min_value=1, max_value=200, required=False)
    offset = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        if "most" in self.context:
            fields["limit"] = serializers.IntegerField(
                min_value=1, max_value=self.context["most"], default=self.context["default"]
            )
        return fields
