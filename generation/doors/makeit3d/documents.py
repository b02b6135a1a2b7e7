"""What OpenAPI says of this door, made from the catalogue: bodies, refusals, examples. Providers stand by alias."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.views import APIView

from config.api.schema import IDEMPOTENCY_KEY, problems
from generation.doors.makeit3d import answers
from generation.doors.makeit3d import parameters as kinds
from generation.doors.makeit3d.catalogue import Operation, Prompt
from generation.doors.makeit3d.parameters import Param
from generation.doors.makeit3d.serializers import PROMPT, PROVIDER, common_fields

TAG = "makeit3d"
View = TypeVar("View", bound=type[APIView])


def described(view: View, operation: Operation) -> View:
    """Document an operation's view."""
    schema = extend_schema(
        operation_id=f"makeit3d_{operation.name.replace('-', '_')}",
        summary=operation.summary,
        tags=[TAG],
        parameters=[IDEMPOTENCY_KEY],
        request=body_of(operation),
        responses={200: answers.TaskSubmitted, **problems(**_refusals(operation))},
        examples=_examples(operation),
    )
    return extend_schema_view(post=schema)(view)


def body_of(operation: Operation) -> type[serializers.Serializer[Any]]:
    """The body of an operation at whichever provider. What holds at one alone stands in the field's description."""
    members: dict[str, Any] = {}
    if operation.has_provider:
        members[PROVIDER] = serializers.CharField(
            required=operation.default is None,
            help_text=f"Alias or name, in any case. Does this: {', '.join(operation.offers)}"
            + (f". Absent: {operation.default}" if operation.default else ""),
        )
    members |= common_fields(operation)
    for name in operation.names:
        offers = operation.offers.items()
        members[name] = _merged({alias: param for alias, offer in offers if (param := offer.param(name))})
    title = "".join(word.capitalize() for word in operation.name.split("-"))
    return type(title, (serializers.Serializer,), {**members, "__doc__": operation.summary})


def _merged(params: dict[str, Param]) -> serializers.Field:
    """One field for a parameter of several providers."""
    all_of_them = list(params.values())
    rest: dict[str, Any] = {
        "required": all(param.required for param in all_of_them),
        "help_text": _told(params),
        "allow_null": not any(param.required for param in all_of_them),
    }
    if all(isinstance(param, kinds.Size) for param in all_of_them):
        return serializers.CharField(**rest)
    if all(isinstance(param, kinds.OneOf) for param in all_of_them):
        words = {word: None for param in all_of_them if isinstance(param, kinds.OneOf) for word in param.among}
        return serializers.ChoiceField(list(words), **rest) if len(words) > 1 else serializers.CharField(**rest)
    if all(isinstance(param, kinds.Whole) for param in all_of_them):
        return serializers.IntegerField(**_bounds(all_of_them), **rest)
    if all(isinstance(param, kinds.Number) for param in all_of_them):
        return serializers.FloatField(**_bounds(all_of_them), **rest)
    if all(isinstance(param, kinds.Flag) for param in all_of_them):
        return serializers.BooleanField(**rest)
    return serializers.CharField(**rest)


def _bounds(params: Iterable[Any]) -> dict[str, Any]:
    ranges = list(params)
    return {"min_value": min(one.low for one in ranges), "max_value": max(one.high for one in ranges)}


def _told(params: dict[str, Param]) -> str:
    """What the parameter is at each provider; those for which it is the same are named together."""
    aliases: dict[str, list[str]] = {}
    for alias, param in params.items():
        aliases.setdefault(_rule(param), []).append(alias)
    return ". ".join(f"{', '.join(names)}: {rule}" for rule, names in aliases.items())


def _rule(param: Param) -> str:
    told = [param.help] if param.help else []
    match param:
        case kinds.Size(among=()):
            told.append(f"width and height from {param.low} to {param.high}, as in 1024x768")
        case kinds.OneOf():
            told.append(" | ".join(map(str, param.among)))
        case kinds.Whole():
            told.append(f"{param.low} to {param.high}" + (f", a multiple of {param.step}" if param.step > 1 else ""))
        case kinds.Number():
            told.append(f"{param.low:g} to {param.high:g}")
        case kinds.Words():
            told.append(f"at most {param.most} characters")
    if param.default is not None:
        told.append(f"default {str(param.default).lower() if isinstance(param.default, bool) else param.default}")
    return ", ".join(told) or "true or false"


def _refusals(operation: Operation) -> dict[str, str]:
    found = {
        "_402": "INSUFFICIENT_CREDITS: `required` and `available` say how many. Nothing was stored or charged.",
        "_409": "IDEMPOTENCY_IN_PROGRESS: the first call with this key is still being answered.",
        "_422": "VALIDATION_ERROR: every fault stands in `errors`. IDEMPOTENCY_KEY_REUSED: the key had another body.",
        "_429": "RATE_LIMIT_EXCEEDED: `Retry-After` says how many seconds to wait.",
        "_503": "OPERATION_UNAVAILABLE: it has no provider or no price at the moment. Nothing was charged.",
    }
    if operation.inputs:
        most = settings.MAX_IMAGE_BYTES // 1024**2, settings.MAKEIT3D_MAX_MODEL_BYTES // 1024**2
        found |= {
            "_400": "INPUT_URL_NOT_ALLOWED: the link's host is not allowed here. MALFORMED_JSON.",
            "_404": "INPUT_ASSET_NOT_FOUND: no such file, or none of yours.",
            "_413": f"INPUT_TOO_LARGE: more than {most[0]} MB (a picture) or {most[1]} MB (a model).",
            "_422": f"{found['_422']} INPUT_INVALID: the file is not what is needed.",
            "_502": "INPUT_FETCH_FAILED: the link's server did not give the file.",
        }
    if any(isinstance(param, kinds.Earlier) for offer in operation.offers.values() for param in offer.params):
        found["_404"] += " DRAFT_MODEL_NOT_FOUND: no finished model of yours goes by that id."
    if any(one.word == "mask" for one in operation.inputs):
        found["_422"] += " MASK_SIZE_MISMATCH: the mask has another size than the picture."
    return found


# --- Examples ------------------------------------------------------------------------------------

_ID, _TASK = "6f1c2a52-3d5b-4f0e-9a41-0f6d1f3f9a10", "task-workspace-abc"
_FILES = "https://atelier.example/files"
_PROMPTS = {
    "image-to-image": "The same chair in brushed steel",
    "text-to-image": "A wooden chair, studio light",
    "sketch-to-image": "A wooden chair",
    "search-and-recolor": "dark green",
    "image-inpaint": "a red cushion",
    "text-to-model": "A wooden chair",
    "refine-model": "dark oak, worn edges",
}


def _examples(operation: Operation) -> list[OpenApiExample]:
    body: dict[str, Any] = {TASK_ID: _TASK}
    if operation.has_provider:
        body[PROVIDER] = operation.default or next(iter(operation.offers))
    if operation.prompt is not Prompt.ABSENT and operation.name in _PROMPTS:
        body[PROMPT] = _PROMPTS[operation.name]
    for one in operation.inputs:
        end = "glb" if one.word == "model" else "png"
        link = f"{_FILES}/inputs/{_ID}/{one.word}.{end}"
        body[one.name] = [link] if one.most else link
    body |= {"select_prompt": "the cushion"} if "select_prompt" in operation.names else {}
    body |= {"max_size_mb": 1.5} if "max_size_mb" in operation.names else {}
    answer = {"celery_task_id": _ID, "task_id": _ID, "client_task_id": _TASK}
    return [
        OpenApiExample("A request", body, request_only=True),
        OpenApiExample("Taken", answer, response_only=True, status_codes=["200"]),
    ]


TASK_ID = "task_id"
_LINK = f"{_FILES}/images/{_TASK}/{_ID}_0.png?expires=1760000000&signature=…"
_STATUS: dict[str, Any] = {
    "task_id": _ID,
    "status": "processing",
    "asset_url": None,
    "error": None,
    "progress": 50,
    "asset_urls": [],
    "client_task_id": _TASK,
    "credits_charged": 2,
    "credits_refunded": 0,
}
_COMPLETE = {**_STATUS, "status": "complete", "asset_url": _LINK, "progress": 100, "asset_urls": [_LINK]}
_FAILED = {
    **_STATUS,
    "status": "failed",
    "error": "The request was rejected by the content filter.",
    "progress": 0,
    "credits_refunded": 2,
}
STATUS_EXAMPLES = [
    OpenApiExample("Being made", _STATUS, response_only=True, status_codes=["200"]),
    OpenApiExample("Made", _COMPLETE, response_only=True, status_codes=["200"]),
    OpenApiExample("Failed and refunded", _FAILED, response_only=True, status_codes=["200"]),
]
_ROW = {
    "id": "0c7e4c5e-6a0c-4a83-a8a5-5c4f8f6f2b11",
    "task_id": _TASK,
    "celery_task_id": _ID,
    "user_id": "f3b9c2d4-0000-4000-8000-000000000001",
    "prompt": "A wooden chair, studio light",
    "style": None,
    "status": "complete",
    "asset_url": _LINK,
    "thumbnail_url": f"{_FILES}/images/{_ID}/thumbnail.jpg?expires=1760000000&signature=…",
    "source_input_asset_id": None,
    "is_public": False,
    "provider": "provider_a",
    "operation_key": "text_to_image_core",
    "metadata": {"aspect_ratio": "1:1", "operation": "text-to-image", "ignored": []},
    "error": None,
    "created_at": "2026-11-21T12:00:00.000Z",
    "updated_at": "2026-11-21T12:00:09.000Z",
}
_MODEL_ROW = {
    **_ROW,
    "asset_url": f"{_FILES}/models/{_TASK}/{_ID}_model.glb?expires=1760000000&signature=…",
    "provider": "provider_c",
    "operation_key": "image_to_model_single",
    "metadata": {"texture": True, "operation": "image-to-model", "ignored": []},
    "source_concept_image_id": "0c7e4c5e-6a0c-4a83-a8a5-5c4f8f6f2b11",
}


def _page(name: str, row: dict[str, Any]) -> list[OpenApiExample]:
    return [OpenApiExample(name, {"count": 1, "results": [row]}, response_only=True, status_codes=["200"])]


IMAGES_EXAMPLES = _page("One picture", {**_ROW, "image_type": "ai_generated", "source_image_id": None})
MODELS_EXAMPLES = _page("One model", _MODEL_ROW)
