"""POST /api/assets: a file of the caller's own becomes an asset that every route takes as an input.

For people who have no storage of their own. The same rules hold as for a file behind a link.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import IO, Any, cast
from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http.multipartparser import MultiPartParserError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from config.api.errors import ApiError
from config.api.schema import problems
from generation import inputs, storage
from generation.doors.makeit3d import answers, documents
from generation.doors.makeit3d.catalogue import Kind
from generation.doors.makeit3d.inputs import is_obj, model_of, most_bytes, too_large
from generation.doors.makeit3d.present import iso
from generation.doors.makeit3d.views import DoorView
from generation.models import Asset
from generation.steps import File
from providers.spool import CHUNK_BYTES, Spool, TooBig

FIELD = "file"
# The parts' own headers and boundaries.
AROUND_BYTES = 64 * 1024


class OneFile(MultiPartParser):
    """A multipart body no longer than the largest file that is taken; its length must be told."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> DataAndFiles:
        request = (parser_context or {})["request"]
        declared = request.META.get("CONTENT_LENGTH") or "0"
        if not declared.isdigit() or int(declared) > settings.MAKEIT3D_MAX_MODEL_BYTES + AROUND_BYTES:
            raise too_large(Kind.MODEL, FIELD)
        try:
            return super().parse(stream, media_type, parser_context)
        except (ParseError, MultiPartParserError):
            raise ApiError(400, "MALFORMED_BODY", "The body is not a readable multipart form.") from None


class Upload(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="A PNG, JPEG, WebP, GIF, BMP or TIFF picture of at most 20 MB, or a GLB or OBJ model of at most"
        " 100 MB. GIF, BMP and TIFF become PNG"
    )


class UploadView(DoorView):
    route = "assets"
    parser_classes = (OneFile,)

    @property
    def limit(self) -> int:
        most: int = settings.MAKEIT3D_UPLOADS_PER_MINUTE
        return most

    @extend_schema(
        operation_id="makeit3d_upload",
        tags=[documents.TAG],
        request={"multipart/form-data": Upload},
        responses={
            201: answers.UploadedAsset,
            **problems(
                _413="INPUT_TOO_LARGE: more than 20 MB (a picture) or 100 MB (a model).",
                _415="UNSUPPORTED_MEDIA_TYPE: the body must be multipart/form-data.",
                _422="VALIDATION_ERROR: there is no `file`. INPUT_INVALID: it is no picture and no model that we take.",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Bring a file of your own. Its `asset_url` can be used as an input by you alone."""
        sent = request.FILES.get(FIELD)
        if sent is None:
            raise ValidationError({FIELD: serializers.ErrorDetail("This field is required.", "required")})
        asset = inputs.store(checked(sent), cast(UUID, request.user.pk))
        asset.save(force_insert=True)
        return Response(_shown(asset, request.build_absolute_uri("/")), status=201)


def checked(sent: UploadedFile) -> File:
    """Look at a file by its bytes; its name and declared type are not believed."""
    kind = Kind.MODEL if _is_model(sent) else Kind.IMAGE
    spool = Spool(most_bytes(kind))
    try:
        for chunk in sent.chunks(CHUNK_BYTES):
            spool.write(chunk)
        if kind is Kind.MODEL:
            return model_of(spool, FIELD)
        with closing(spool):
            return inputs.decoded(spool, FIELD, takes_any=True)
    except TooBig:
        spool.close()
        raise too_large(kind, FIELD) from None
    except ApiError:
        spool.close()
        raise


def _is_model(sent: UploadedFile) -> bool:
    head = sent.read(64 * 1024)
    sent.seek(0)
    return head.startswith(b"glTF") or is_obj(head)


def _shown(asset: Asset, base_url: str) -> dict[str, Any]:
    return {
        "id": str(asset.pk),
        "asset_url": storage.link(asset.key, base_url),
        "content_type": asset.content_type,
        "size_bytes": asset.size_bytes,
        "width": asset.width,
        "height": asset.height,
        "created_at": iso(asset.created_at),
    }
