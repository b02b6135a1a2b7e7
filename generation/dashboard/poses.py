"""The pages of poses: choose them from the library or say them, watch them being made, change what is behind them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from rest_framework.exceptions import ValidationError

from config.api.errors import ApiError
from config.models import User
from credits.errors import CreditsError
from generation import exports, storage
from generation.dashboard import orders as sending
from generation.dashboard import pose_form
from generation.dashboard.doors import POSES
from generation.dashboard.pose_form import ChangeForm, PoseForm
from generation.dashboard.shelf import Worded
from generation.dashboard.views import render_list, render_page
from generation.doors.poses import exporting, orders, plan, present, records
from generation.doors.poses.library_views import LIBRARY_LIMIT, library
from generation.doors.poses.tallies import ENDED_BADLY, tally
from generation.doors.poses.views import ChangeThrottle, ExportThrottle, GenerateThrottle
from generation.models import Item, ItemStatus, LibraryPose, Request, RequestStatus

T = TypeVar("T")

STEPS = {
    "generate": "drawing",
    "cut-out": "cutting out",
    "background": "painting the background",
    "compose": "putting together",
    "seam": "blending",
}


@dataclass(frozen=True)
class Tile(Worded):
    """One pose as its owner sees it. thumbnail: a link, empty while there is none."""

    item: Item
    name: str
    variation: str
    word: str
    thumbnail: str
    fault: str


# --- Choosing ------------------------------------------------------------------------------------


@login_required
@require_safe
@never_cache
def generations(request: HttpRequest) -> HttpResponse:
    """One's generations, the newest first."""
    return render_list(request, "poses", POSES)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    """The form, and its sending."""
    if request.method != "POST":
        values = pose_form.earlier(request.GET.get("like", ""), _owner(request).pk)
        if picked := request.GET.getlist("poses"):
            values["poses"] = picked
        return _form(request, pose_form.fresh(PoseForm, **values))
    form = PoseForm(request.POST, request.FILES)
    form.owner, form.base_url = _owner(request), _base_url(request)
    sent = _sent(form, GenerateThrottle, lambda: pose_form.send(form))
    return redirect("app-generation", sent) if sent else _form(request, form, status=422)


def _form(request: HttpRequest, form: PoseForm, status: int = 200) -> HttpResponse:
    owner_id = _owner(request).pk
    tables: dict[str, Any] = {
        "sum": pose_form.sum_of(form, owner_id),
        "backgrounds": pose_form.BACKGROUNDS,
        "people": pose_form.PEOPLE,
        "formats": pose_form.formats(),
        "wanted": form.wanted_exports,
        "projects": pose_form.projects(owner_id),
        "default_project": pose_form.DEFAULT_PROJECT,
        "avatars": pose_form.avatars(owner_id),
        "categories": records.present_categories()["categories"],
        "most_each": range(1, 11),
        "most_many": range(1, 21),
    }
    return render_page(request, "poses_new", form=form, status=status, **tables, **_shelf(request, form.chosen))


@login_required
@require_safe
@never_cache
def shelf(request: HttpRequest) -> HttpResponse:
    """The poses that the filter lets through, after those that are chosen already; fetched while one looks."""
    return render(request, "app/fragments/shelf.html", _shelf(request, request.GET.getlist("poses")))


def _shelf(request: HttpRequest, ids: list[str]) -> dict[str, Any]:
    category, words = request.GET.get("category", ""), request.GET.get("search", "").strip()[:100]
    found = library({"category": category, "search": words if len(words) > 1 else ""})
    chosen = pose_form.poses_by_id(ids[: plan.MOST_SELECTED])
    page = Paginator(found.exclude(pk__in=[pose.pk for pose in chosen]), LIBRARY_LIMIT).get_page(
        request.GET.get("page", "1")
    )
    base_url = _base_url(request)
    return {
        "chosen": [(pose, _drawing(pose, base_url)) for pose in chosen],
        "page": page,
        "poses": [(pose, _drawing(pose, base_url)) for pose in page],
        "category": category,
        "search": words,
    }


def _drawing(pose: LibraryPose, base_url: str) -> str:
    key = pose.thumbnail_key or pose.preview_key
    return storage.link(key, base_url) if key else ""


@login_required
@require_POST
def total(request: HttpRequest) -> HttpResponse:
    """What stands in the form would cost; fetched at each change of it."""
    form = PoseForm(request.POST)
    return render(request, "app/fragments/sum.html", {"sum": pose_form.sum_of(form, _owner(request).pk)})


# --- Watching ------------------------------------------------------------------------------------


@login_required
@require_safe
@never_cache
def generation(request: HttpRequest, generation_id: UUID) -> HttpResponse:
    """The page of one generation; for htmx its inner part."""
    found = _found(lambda: orders.find_generation(str(generation_id), _owner(request).pk))
    items, counts = list(found.items.order_by("index")), tally(found.pk)
    is_over = found.status not in (RequestStatus.QUEUED, RequestStatus.RUNNING)
    word = present.word_of(found)
    shown: dict[str, Any] = {
        "generation": found,
        "title": _title(found, items),
        "tiles": _tiles(items, _base_url(request)),
        "counts": counts,
        "is_over": is_over,
        "state": "partly completed" if word == present.COMPLETED and counts.failed else word,
        "progress": sum(100 if item.is_final else min(item.progress, 99) for item in items) // max(1, len(items)),
        "formats": pose_form.formats(),
        "project": orders.find_project(found.group, found.owner_id),
    }
    return render_page(request, "generation", fragment="generation", **shown)


def _title(found: Request, items: Sequence[Item]) -> str:
    return str(found.params["textPrompt"] or f"{len(items)} pose{'s' if len(items) > 1 else ''}")


def _tiles(items: Sequence[Item], base_url: str) -> list[Tile]:
    """Each pose as it is shown. Two queries."""
    ids = {item.params["poseLibraryId"] for item in items} - {None}
    names = {str(pk): name for pk, name in LibraryPose.objects.filter(pk__in=ids).values_list("pk", "name")}
    changes = present.newest_changes(items)
    return [
        _tile(item, changes.get(item.public_id) or item, names.get(item.params["poseLibraryId"], ""), base_url)
        for item in items
    ]


def _tile(item: Item, shown: Item, name: str, base_url: str) -> Tile:
    is_done = item.status == ItemStatus.SUCCEEDED
    key = present.key_of(shown, "thumbnail") or present.output_key(shown)
    return Tile(
        item,
        name or "As described",
        item.params["variationKey"].rpartition("-v")[2],
        _word(item),
        storage.link(key, base_url) if is_done and key else "",
        present.message_of(item) if item.is_final and not is_done else "",
    )


def _word(item: Item) -> str:
    """The word for people: what is being done with a pose that is on its way."""
    if item.is_final:
        return {ItemStatus.SUCCEEDED: "completed", ItemStatus.FAILED: "failed"}.get(
            ItemStatus(item.status), "cancelled"
        )
    return STEPS.get(item.step_name, "finishing") if item.first_started_at else "queued"


@login_required
@require_safe
def archive(request: HttpRequest, generation_id: UUID) -> HttpResponseBase:
    """All finished poses in one archive, in the formats that were chosen or made."""
    found = _found(lambda: orders.find_generation(str(generation_id), _owner(request).pk))
    done = list(found.items.filter(status=ItemStatus.SUCCEEDED).order_by("index"))
    if not done:
        raise Http404("no finished pose")
    try:
        sending.count(_owner(request), ExportThrottle)
        changes = present.newest_changes(done)
        pairs = [(item, changes.get(item.public_id) or item) for item in done]
        names = exporting.names_of(",".join(request.GET.getlist("formats")) or None, [shown for _, shown in pairs])
    except (sending.NotNow, ApiError) as refusal:
        messages.error(request, str(getattr(refusal, "message", refusal)))
        return redirect("app-generation", generation_id)
    response = StreamingHttpResponse(exporting.archive(pairs, names), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="poses-{found.pk}.zip"'
    return response


# --- One pose ------------------------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def pose(request: HttpRequest, pose_id: UUID) -> HttpResponse:
    """The page of one finished pose, for htmx its inner part; and the ordering of another background."""
    item = _found(lambda: orders.find_pose(str(pose_id), _owner(request).pk))
    if item.status != ItemStatus.SUCCEEDED:
        return redirect("app-generation", item.request_id)
    if request.method != "POST":
        return _pose(request, item, pose_form.fresh(ChangeForm))
    form = ChangeForm(request.POST, request.FILES)
    form.owner, form.base_url = _owner(request), _base_url(request)
    sent = _sent(form, ChangeThrottle, lambda: pose_form.send_change(form, item))
    return redirect("app-pose", pose_id) if sent else _pose(request, item, form, status=422)


def _pose(request: HttpRequest, item: Item, form: ChangeForm, status: int = 200) -> HttpResponse:
    base_url, shown = _base_url(request), present.shown_of(item)
    original, output = present.key_of(item, "generate"), present.output_key(shown)
    changes = Item.objects.filter(request__owner=_owner(request), request__group=f"{plan.CHANGE_GROUP}{item.public_id}")
    last = changes.select_related("request").order_by("-request__created_at").first()
    [tile] = _tiles([item], base_url)
    made, enlarged = (
        present.export_keys(shown),
        present.present_pose(item, shown, base_url)["metadata"]["enlargedExports"],
    )
    told: dict[str, Any] = {
        "item": item,
        "tile": tile,
        "before": storage.link(original, base_url) if original and original != output else "",
        "after": storage.link(output, base_url),
        "behind": shown.params["backgroundPrompt"] if original != output else None,
        "change": last,
        "change_word": _word(last) if last else "",
        "change_fault": present.message_of(last) if last and last.status in ENDED_BADLY else "",
        "made": [(name, pose_form.spoken(name), *_size_of(shown, name), name in enlarged) for name in made],
        "others": [one for one in pose_form.formats() if one[0] not in made],
        "form": form,
        "backgrounds": {mode: words for mode, words in pose_form.BACKGROUNDS.items() if mode},
        "price": pose_form.prices().get("pose_background_change"),
    }
    return render_page(request, "pose", fragment="pose", status=status, **told)


def _size_of(shown: Item, name: str) -> tuple[int, int]:
    file = shown.results["exports"]["files"][name]
    return file["width"], file["height"]


@login_required
@require_POST
def export(request: HttpRequest, pose_id: UUID) -> HttpResponse:
    """Make one more format of a finished pose, and keep it."""
    item = _found(lambda: orders.find_pose(str(pose_id), _owner(request).pk))
    name = request.POST.get("format", "")
    try:
        sending.count(_owner(request), ExportThrottle)
        if exports.preset_of(name) and item.status == ItemStatus.SUCCEEDED:
            exporting.regenerate(item, present.shown_of(item), name, _base_url(request))
    except (sending.NotNow, ApiError) as refusal:
        messages.error(request, str(getattr(refusal, "message", refusal)))
    return redirect("app-pose", pose_id)


@login_required
@require_safe
def download(request: HttpRequest, pose_id: UUID, name: str) -> HttpResponseBase:
    """A pose's picture (`picture`), the one before its background was changed (`before`), or an export by its name."""
    item = _found(lambda: orders.find_pose(str(pose_id), _owner(request).pk))
    shown = present.shown_of(item)
    keys = {"picture": present.output_key(shown), "before": present.key_of(item, "generate")}
    key = {**present.export_keys(shown), **keys}.get(name) if item.status == ItemStatus.SUCCEEDED else None
    if not key:
        raise Http404("no such file")
    try:
        body = storage.open_file(key)
    except storage.StorageError:
        raise Http404("no such file") from None
    return FileResponse(body, as_attachment=True, filename=f"{name}-{item.public_id[:8]}{posixpath.splitext(key)[1]}")


# --- What these pages share ----------------------------------------------------------------------


def _sent(form: PoseForm | ChangeForm, throttle: Any, send: Callable[[], UUID]) -> UUID | None:
    """Send a form; None when it was refused, which it then says."""
    try:
        sending.count(form.owner, throttle)
        if form.is_valid():
            return send()
    except sending.NotNow as refusal:
        form.is_valid()
        form.add_error(None, str(refusal))
    except CreditsError as refusal:
        form.add_error(None, str(refusal))
    except (ApiError, ValidationError) as refusal:
        form.refuse(refusal)
    form.again()
    return None


def _found(find: Callable[[], T]) -> T:
    try:
        return find()
    except ApiError:
        raise Http404("no such thing") from None


def _owner(request: HttpRequest) -> User:
    """Nobody comes here without a session."""
    return cast(User, request.user)


def _base_url(request: HttpRequest) -> str:
    return request.build_absolute_uri("/")
