"""The routes of the story-images door: read, one verb, present."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.api import idempotency
from config.api.errors import ApiError
from config.api.schema import IDEMPOTENCY_KEY, problems
from config.models import User
from generation import storage
from generation.doors.stories import answers, places, present, runs, serializers, starting, uploads

TAGS = ["story-images"]
FILE_FAULTS = (
    "INVALID_SEGMENTS_MD: every fault of the file with its `line`, as MISSING_TEMPLATE, NO_SEGMENTS, TOO_MANY_SEGMENTS,"
    " MISSING_SEGMENT_NUMBER, INVALID_SEGMENT_NUMBER, DUPLICATE_SEGMENT_NUMBER, MISSING_NARRATION, UNCLOSED_NARRATION,"
    " MISSING_VISUAL_GUIDANCE or NOT_UTF8."
)
FILE_NAME = OpenApiParameter(
    "name",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    enum=list(uploads.KINDS),
    description="Which of the session's files",
)


class ProcessView(APIView):
    judges_all_text = True

    @extend_schema(
        operation_id="story_process",
        tags=TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.StoryStart,
        responses={
            200: answers.StoryAccepted,
            **problems(
                _400="MALFORMED_JSON, VALIDATION_ERROR, INVALID_S3_PATH, S3_BUCKET_NOT_ALLOWED,"
                " S3_PATH_SESSION_MISMATCH, IDEMPOTENCY_KEY_INVALID, or " + FILE_FAULTS,
                _402="INSUFFICIENT_CREDITS: segments times num_images are charged.",
                _403="STORAGE_ACCESS_DENIED: the storage itself refuses us.",
                _404="SEGMENTS_NOT_FOUND, or SESSION_NOT_FOUND for another person's folder or session.",
                _409="SESSION_IN_PROGRESS: one run at a time. IDEMPOTENCY_IN_PROGRESS: the first call with this key is"
                " still being answered.",
                _413="INPUT_TOO_LARGE: segments.md above 1 MiB.",
                _415="UNSUPPORTED_MEDIA_TYPE: a form.",
                _422="IDEMPOTENCY_KEY_REUSED: the key had another body.",
                _500="SECRETS_UNAVAILABLE: the keys of the service cannot be read; nothing was charged.",
                _503="STORAGE_UNAVAILABLE, with Retry-After. OPERATION_UNAVAILABLE: nobody is there to draw or check,"
                " or there is no price. Nothing was charged.",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        """Start a story: draw every segment's pictures, each checked for text. Charged now, refunded by picture.

        Follow it at `/ws/story-images`, or ask for the session. A session that has ended may be started again.
        """
        session_id, path, options = serializers.read_start(request.data)
        user = _user(request)
        place = places.named(path, user.storage_id, session_id)
        if answer := idempotency.answered(request):
            return answer
        story = starting.prepare(session_id, place, options)
        starting.make_way(session_id, user.pk)
        begun: list[starting.Begun] = []

        def produce() -> Response:
            begun.append(starting.begin(story, user.pk))
            return Response(present.accepted(session_id))

        answer = idempotency.answer_once(request, produce)
        if answer.status_code == 200 and "Idempotency-Replayed" not in answer.headers:
            starting.announce(begun[-1], also_undo=lambda: idempotency.forget(request))
        return answer


class SessionView(APIView):
    @extend_schema(
        operation_id="story_session",
        tags=TAGS,
        responses={
            200: answers.StoryStatus,
            **problems(_404="SESSION_NOT_FOUND: no such session of yours was started."),
        },
    )
    def get(self, request: Request, session_id: str) -> Response:
        """How far a session's current run is: what status.json says, with links to the pictures."""
        run = runs.of_session(session_id, _user(request).pk) if serializers.is_session_id(session_id) else None
        if run is None:
            raise places.not_found()
        base_url = request.build_absolute_uri("/")
        return Response(present.status_document(run, lambda key: storage.link(key, base_url)))


class RawParser(BaseParser):
    """The body as it is, up to one byte more than the view takes. A form would be stored with its boundaries."""

    media_type = "*/*"

    def parse(  # type: ignore[override]  # whoever takes the body knows what it asked for
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if (media_type or "").lower().startswith("multipart/"):
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "Send the file itself as the body, not a form with it.")
        name = (parser_context or {}).get("kwargs", {}).get("name", "")
        kind = uploads.KINDS.get(name)
        return bytes(stream.read(kind.most_bytes() + 1)) if kind else b""


class FileView(APIView):
    parser_classes = (RawParser,)

    @extend_schema(
        operation_id="story_file",
        tags=TAGS,
        parameters=[FILE_NAME],
        request={
            "text/markdown": OpenApiRequest(OpenApiTypes.STR),
            "application/json": OpenApiRequest(OpenApiTypes.OBJECT),
            "image/png": OpenApiRequest(OpenApiTypes.BINARY),
        },
        responses={
            200: answers.StoryFile,
            **problems(
                _400="For segments.md " + FILE_FAULTS + " For config.json MALFORMED_JSON or VALIDATION_ERROR, for"
                " diagram.png INVALID_IMAGE. Nothing is stored.",
                _403="STORAGE_ACCESS_DENIED.",
                _404="SESSION_NOT_FOUND: another person's session. NOT_FOUND: no file of this name.",
                _413="INPUT_TOO_LARGE: segments.md above 1 MiB, config.json above 64 KiB, a picture above the limit.",
                _415="UNSUPPORTED_MEDIA_TYPE: a form with the file in it; the file itself is the body.",
                _503="STORAGE_UNAVAILABLE, with Retry-After.",
            ),
        },
    )
    def put(self, request: Request, session_id: str, name: str) -> Response:
        """Store a file of a session in its place: for people without a bucket of their own. Checked at once."""
        if name not in uploads.KINDS:
            raise ApiError(404, "NOT_FOUND", f"A session's files are {', '.join(uploads.KINDS)}.")
        if not serializers.is_session_id(session_id):
            raise places.not_found()
        body: Any = request.data  # without a body nothing was parsed
        data = body if isinstance(body, bytes) else b""
        return Response(uploads.keep(_user(request), session_id, name, data))


def _user(request: Request) -> User:
    """Nobody comes here without a token."""
    return cast(User, request.user)
