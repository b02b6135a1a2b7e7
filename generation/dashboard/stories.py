"""The pages of stories: write or bring one, watch its segments being drawn, take all pictures home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from config.api.errors import ApiError
from config.models import User
from credits.errors import OperationUnavailable
from generation import storage
from generation.dashboard import orders, story_form, zips
from generation.dashboard.doors import STORIES
from generation.dashboard.sheets import Worded
from generation.dashboard.views import render_list, render_page
from generation.doors.stories import places, present, runs, serializers
from generation.doors.stories.runs import Image, Run
from generation.doors.stories.segments import MOST_BYTES
from generation.models import Asset, AssetKind, ItemStatus

# Whoever draws without a diagram knows that here.
NO_NEWS = "DIAGRAM_MISSING"


_TABLES: dict[str, Any] = {"choices": story_form.CHOICES, "example": story_form.EXAMPLE}


@dataclass(frozen=True)
class Tile(Worded):
    """One picture as its owner sees it. thumbnail: a link, empty while there is none."""

    image: Image
    word: str
    thumbnail: str
    asset_id: UUID | None
    fault: str


@login_required
@require_safe
@never_cache
def stories(request: HttpRequest) -> HttpResponse:
    """One's stories, the newest first."""
    return render_list(request, "stories", STORIES)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    """The form, its check and its sending."""
    if request.method != "POST":
        return _form(request, story_form.fresh(**_earlier(request)))
    form = story_form.StoryForm(request.POST, request.FILES)
    if form.is_valid() and request.POST.get("do") != "check":
        try:
            return redirect("app-story", story_form.send(_owner(request), form))
        except (orders.NotNow, OperationUnavailable) as refusal:
            form.add_error(None, str(refusal))
        except ApiError as refusal:
            form.add_error(None, refusal.message)
    return _form(request, form.again(), status=200 if form.is_valid() else 422)


def _form(request: HttpRequest, form: story_form.StoryForm, status: int = 200) -> HttpResponse:
    return render_page(request, "story_new", form=form, status=status, **_TABLES, **_outline(form))


def _outline(form: story_form.StoryForm) -> dict[str, Any]:
    outline, price = form.outline, story_form.price()
    images = str(form["num_images"].value() or "")
    pictures = len(outline.segments) * (int(images) if images in ("1", "2", "3") else 2) if outline else 0
    marked = story_form.excerpts(form.source, outline) if outline else []
    cost = pictures * (price or 0)
    return {"outline": outline, "excerpts": marked, "pictures": pictures, "cost": cost, "price": price}


@login_required
@require_POST
def outline(request: HttpRequest) -> HttpResponse:
    """The outline of what stands in the form, fetched while one writes."""
    form = story_form.StoryForm(request.POST)
    form.is_valid()
    return render(request, "app/fragments/outline.html", _outline(form))


def _earlier(request: HttpRequest) -> dict[str, Any]:
    """Begin with an earlier story of one's own (`?like=`), to draw it again or to change it; or with an example."""
    if "example" in request.GET:
        return {"text": story_form.EXAMPLE}
    session_id = request.GET.get("like", "")
    run = runs.of_session(session_id, _owner(request).pk) if serializers.is_session_id(session_id) else None
    if run is None:
        return {}
    try:
        text = storage.read_small(storage.story_key(run.session.directory, places.SEGMENTS), MOST_BYTES)[0].decode()
    except (storage.StorageError, UnicodeDecodeError):
        text = ""
    return {"session_id": session_id, "text": text, **run.options.as_json()}


@login_required
@require_safe
@never_cache
def story(request: HttpRequest, session_id: str) -> HttpResponse:
    """The page of one story; for htmx its inner part."""
    run = _run(request, session_id)
    images = run.images
    tiles = _tiles(images, request.build_absolute_uri("/"))
    segments = [(segment, [tiles[image.item.pk] for image in segment.images]) for segment in run.segments]
    progress = sum(100 if image.is_over else min(image.item.progress, 99) for image in images) // max(1, len(images))
    shown: dict[str, Any] = {
        "run": run,
        "segments": segments,
        "progress": progress,
        "state": _state(run),
        "warnings": [one for one in present.warnings_of(run) if one["code"] != NO_NEWS],
        "charged": sum(image.item.charged for image in images),
        "refunded": sum(image.item.refunded for image in images),
    }
    return render_page(request, "story", fragment="story", **shown)


def _state(run: Run) -> str:
    """The word for people: a story of which some segments failed says so."""
    return (
        "partly completed" if run.is_over and run.succeeded and run.failed else present.status_of(run).replace("_", " ")
    )


def _tiles(images: Sequence[Image], base_url: str) -> dict[int, Tile]:
    """Each picture as it is shown, by its item. One query."""
    files: dict[int, dict[str, Asset]] = {}
    stored = [image.item.pk for image in images if image.is_stored]
    for asset in Asset.objects.filter(item__in=stored, kind__in=(AssetKind.IMAGE, AssetKind.THUMBNAIL)):
        files.setdefault(asset.item_id or 0, {})[asset.kind] = asset
    return {image.item.pk: _tile(image, files.get(image.item.pk, {}), base_url) for image in images}


def _tile(image: Image, files: dict[str, Asset], base_url: str) -> Tile:
    whole = files.get(AssetKind.IMAGE)
    small = files.get(AssetKind.THUMBNAIL, whole)
    return Tile(
        image,
        _word(image),
        storage.link(small.key, base_url) if small else "",
        whole.pk if whole else None,
        present.error_message(image) if image.is_over and not image.is_stored else "",
    )


def _word(image: Image) -> str:
    """The word for people: a picture that is drawn anew says so."""
    item = image.item
    if item.status == ItemStatus.CANCELLED:
        return "cancelled"
    word = present.step_of(item)
    if word == "generating":
        return "regenerating" if item.pass_no else "generating" if item.first_started_at else "queued"
    return word


@login_required
@require_safe
def download(request: HttpRequest, session_id: str) -> HttpResponseBase:
    """Every picture of a story, in the folders of its segments, and its report once there is one."""
    run = _run(request, session_id)
    files = [(image.key.removeprefix(run.directory), image.key) for image in run.stored]
    if not files:
        raise Http404("no pictures yet")
    report = places.report_key(run.directory, run.template_title)
    if run.is_over and storage.has(report):
        files.append((report.removeprefix(run.directory), report))
    if not connection.in_atomic_block:
        connection.close()  # a slow download holds no connection
    response = StreamingHttpResponse(zips.streamed(files), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{session_id}.zip"'
    return response


def _run(request: HttpRequest, session_id: str) -> Run:
    run = runs.of_session(session_id, _owner(request).pk) if serializers.is_session_id(session_id) else None
    if run is None:
        raise Http404("no such story")
    return run


def _owner(request: HttpRequest) -> User:
    """Nobody comes here without a session."""
    return cast(User, request.user)
