"""The pages of poses: choose them from the library or say them, watch them being made, take them all.

What is done with a single one is in `pose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from config.api.errors import ApiError
from config.models import User
from generation import storage
from generation.dashboard import orders as sending
from generation.dashboard import pose_choices, pose_form, pose_orders, pose_tiles
from generation.dashboard.doors import POSES
from generation.dashboard.pose_form import PoseForm
from generation.dashboard.views import find_or_404, render_list, render_page
from generation.doors.poses import exporting, orders, plan, present, records
from generation.doors.poses.library_views import LIBRARY_LIMIT, library
from generation.doors.poses.tallies import tally
from generation.doors.poses.views import ExportThrottle, GenerateThrottle
from generation.models import Item, ItemStatus, LibraryPose, Request, RequestStatus

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
    sent = pose_orders.sent(form, GenerateThrottle, lambda: pose_orders.send(form))
    return redirect("app-generation", sent) if sent else _form(request, form, status=422)


def _form(request: HttpRequest, form: PoseForm, status: int = 200) -> HttpResponse:
    owner_id = _owner(request).pk
    tables: dict[str, Any] = {
        "sum": pose_choices.sum_of(form, owner_id),
        "backgrounds": pose_form.BACKGROUNDS,
        "people": pose_form.PEOPLE,
        "formats": pose_choices.formats(),
        "wanted": form.wanted_exports,
        "projects": pose_choices.projects(owner_id),
        "default_project": pose_form.DEFAULT_PROJECT,
        "avatars": pose_choices.avatars(owner_id),
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
    chosen = pose_choices.poses_by_id(ids[: plan.MOST_SELECTED])
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
    return render(request, "app/fragments/sum.html", {"sum": pose_choices.sum_of(form, _owner(request).pk)})


# --- Watching ------------------------------------------------------------------------------------


@login_required
@require_safe
@never_cache
def generation(request: HttpRequest, generation_id: UUID) -> HttpResponse:
    """The page of one generation; for htmx its inner part."""
    found = find_or_404(lambda: orders.find_generation(str(generation_id), _owner(request).pk))
    items, counts = list(found.items.order_by("index")), tally(found.pk)
    is_over = found.status not in (RequestStatus.QUEUED, RequestStatus.RUNNING)
    word = present.word_of(found)
    shown: dict[str, Any] = {
        "generation": found,
        "title": _title(found, items),
        "tiles": pose_tiles.tiles(items, _base_url(request)),
        "counts": counts,
        "is_over": is_over,
        "state": "partly completed" if word == present.COMPLETED and counts.failed else word,
        "progress": sum(100 if item.is_final else min(item.progress, 99) for item in items) // max(1, len(items)),
        "formats": pose_choices.formats(),
        "project": orders.find_project(found.group, found.owner_id),
    }
    return render_page(request, "generation", fragment="generation", **shown)


def _title(found: Request, items: Sequence[Item]) -> str:
    return str(found.params["textPrompt"] or f"{len(items)} pose{'s' if len(items) > 1 else ''}")


@login_required
@require_safe
def archive(request: HttpRequest, generation_id: UUID) -> HttpResponseBase:
    """All finished poses in one archive, in the formats that were chosen or made."""
    found = find_or_404(lambda: orders.find_generation(str(generation_id), _owner(request).pk))
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


# --- What these pages share ----------------------------------------------------------------------


def _owner(request: HttpRequest) -> User:
    """Nobody comes here without a session."""
    return cast(User, request.user)


def _base_url(request: HttpRequest) -> str:
    return request.build_absolute_uri("/")
