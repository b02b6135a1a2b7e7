"""The page of one finished pose: look at it, change what is behind it, take it in other formats."""

from __future__ import annotations

import posixpath
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from config.api.errors import ApiError
from config.models import User
from generation import exports, storage
from generation.dashboard import orders as sending
from generation.dashboard import pose_choices, pose_form, pose_orders, pose_tiles
from generation.dashboard.pose_form import ChangeForm
from generation.dashboard.views import find_or_404, render_page
from generation.doors.poses import exporting, orders, plan, present
from generation.doors.poses.tallies import ENDED_BADLY
from generation.doors.poses.views import ChangeThrottle, ExportThrottle
from generation.models import Item, ItemStatus


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def pose(request: HttpRequest, pose_id: UUID) -> HttpResponse:
    """The page of one finished pose, for htmx its inner part; and the ordering of another background."""
    item = find_or_404(lambda: orders.find_pose(str(pose_id), _owner(request).pk))
    if item.status != ItemStatus.SUCCEEDED:
        return redirect("app-generation", item.request_id)
    if request.method != "POST":
        return _pose(request, item, pose_form.fresh(ChangeForm))
    form = ChangeForm(request.POST, request.FILES)
    form.owner, form.base_url = _owner(request), _base_url(request)
    sent = pose_orders.sent(form, ChangeThrottle, lambda: pose_orders.send_change(form, item))
    return redirect("app-pose", pose_id) if sent else _pose(request, item, form, status=422)


def _pose(request: HttpRequest, item: Item, form: ChangeForm, status: int = 200) -> HttpResponse:
    base_url, shown = _base_url(request), present.shown_of(item)
    original, output = present.key_of(item, "generate"), present.output_key(shown)
    changes = Item.objects.filter(request__owner=_owner(request), request__group=f"{plan.CHANGE_GROUP}{item.public_id}")
    last = changes.select_related("request").order_by("-request__created_at").first()
    [tile] = pose_tiles.tiles([item], base_url)
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
        "change_word": pose_tiles.word_of(last) if last else "",
        "change_fault": present.message_of(last) if last and last.status in ENDED_BADLY else "",
        "made": [(name, pose_choices.spoken(name), *_size_of(shown, name), name in enlarged) for name in made],
        "others": [one for one in pose_choices.formats() if one[0] not in made],
        "form": form,
        "backgrounds": {mode: words for mode, words in pose_form.BACKGROUNDS.items() if mode},
        "price": pose_choices.prices().get("pose_background_change"),
    }
    return render_page(request, "pose", fragment="pose", status=status, **told)


def _size_of(shown: Item, name: str) -> tuple[int, int]:
    file = shown.results["exports"]["files"][name]
    return file["width"], file["height"]


@login_required
@require_POST
def export(request: HttpRequest, pose_id: UUID) -> HttpResponse:
    """Make one more format of a finished pose, and keep it."""
    item = find_or_404(lambda: orders.find_pose(str(pose_id), _owner(request).pk))
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
    item = find_or_404(lambda: orders.find_pose(str(pose_id), _owner(request).pk))
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


def _owner(request: HttpRequest) -> User:
    """Nobody comes here without a session."""
    return cast(User, request.user)


def _base_url(request: HttpRequest) -> str:
    return request.build_absolute_uri("/")
