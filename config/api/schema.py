"""What OpenAPI says about the parts that all routes share: the bearer token and the shape of a refusal."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView


class BearerToken(OpenApiAuthenticationExtension):
    target_class = "config.api.auth.JWTAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT or personal token",
            "description": "An access token of `POST /api/auth/token`, one of a configured outside issuer, or a "
            "personal token, which one makes and revokes in the dashboard under *API*.",
        }


_TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "A refusal. `code` is stable, `error`, `message` and `detail` hold the same text for people.",
    "required": ["type", "title", "status", "detail", "error", "message", "code", "trace_id", "instance"],
    "properties": {
        "type": {"type": "string", "example": "about:blank"},
        "title": {"type": "string", "example": "Bad Request"},
        "status": {"type": "integer", "example": 400},
        "detail": _TEXT,
        "error": {"type": "string", "example": "2 fields are invalid."},
        "message": _TEXT,
        "code": {"type": "string", "example": "VALIDATION_ERROR"},
        "trace_id": _TEXT,
        "instance": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "path", "message", "msg", "code"],
                "properties": dict.fromkeys(("field", "path", "message", "msg", "code"), _TEXT),
            },
        },
        "required": {"type": "integer", "description": "402: the credits that the request needs"},
        "available": {"type": "integer", "description": "402: the credits that the account has"},
    },
    "additionalProperties": True,
}
_ANSWER = {
    "description": "Refused, or failed: see `code`.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="8 to 255 visible ASCII characters. A repeat within a day gets the first answer and is not charged.",
)


def problems(**reasons: str) -> dict[tuple[int, str], OpenApiResponse]:
    """Describe refusals that a route has of its own: `problems(_404="TASK_NOT_FOUND: no such task of yours.")`."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        (int(status.removeprefix("_")), "application/problem+json"): OpenApiResponse(schema, description=reason)
        for status, reason in reasons.items()
    }


def add_problem(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: every operation may answer with a problem."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    components.setdefault("responses", {})["Problem"] = _ANSWER
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"].setdefault("default", {"$ref": "#/components/responses/Problem"})
    return result


def say_json(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: a body is JSON, whatever name the parser takes it under; generated clients need one."""
    for operations in result.get("paths", {}).values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}) if isinstance(operation, dict) else {}
            if "*/*" in content:
                content["application/json"] = content.pop("*/*")
    return result


# Public, and deaf to tokens: a stale one must not hide the page that says how to get a new one.
schema_view = SpectacularAPIView.as_view(authentication_classes=[])
docs_view = SpectacularSwaggerSplitView.as_view(url_name="schema", authentication_classes=[], template_name="docs.html")
