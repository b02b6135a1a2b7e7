"""The pages: read, one verb, present. Another person's things are as missing as ones that never were."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any, TypeVar, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from config.api.errors import ApiError
from config.models import User
from credits import ledger
from generation import engine, storage
from generation.dashboard import gallery as gallery_of
from generation.dashboard import sheets, shelf, wares
from generation.dashboard.doors import POSES, STORIES
from generation.models import Asset, AssetKind

RECENT = 12
T = TypeVar("T")


class SignIn(AuthenticationForm):
    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "This name and this password do not belong together. Capital letters count in both.",
    }


class LoginView(auth.LoginView):
    """Django's own, behind the window of failed logins per address."""

    template_name = "app/login.html"
    authentication_form = SignIn
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        wait_s = getattr(self.request, "login_retry_after_s", None)
        if wait_s is not None:
            form.errors.clear()
            form.add_error(None, f"Too many failed sign-ins from here. Try again in {wait_s} seconds.")
            response.headers["Retry-After"] = str(wait_s)
        response.status_code = 429 if wait_s is not None else 422
        return response


@login_required
@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """What is being made and what was; for htmx its inner part, fetched again when something began or ended."""
    owner_id, base_url = _owner(request).pk, _base_url(request)
    running = shelf.running(owner_id, base_url)
    recent = gallery_of.tiles(owner_id, base_url, gallery_of.Filter(), size=RECENT)
    return render_page(request, "home", fragment="home", sheets=running, tiles=recent.rows, doors=wares.DOORS)


@login_required
@require_safe
@never_cache
def work(request: HttpRequest) -> HttpResponse:
    """Everything that was asked for, finished or not."""
    return render_list(request, "work")


@login_required
@require_safe
@never_cache
def one_request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The page; for htmx its inner part, or with `?as=row` its line in the list of work."""
    fragment, sheet = "row" if request.GET.get("as") == "row" else "request", _sheet(request, request_id)
    is_whole = not _is_htmx(request)
    if is_whole and sheet.request.door == STORIES:
        return redirect("app-story", sheet.request.group)
    if is_whole and sheet.request.door == POSES:
        pose_id = sheet.request.params.get("poseId")
        return redirect("app-pose", pose_id) if pose_id else redirect("app-generation", request_id)
    return render_page(request, "request", fragment=fragment, sheet=shelf.with_places(sheet), is_list=True)


@login_required
@require_safe
@never_cache
def place(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """How many stand before each of its items; asked now and then, because nobody tells when others move on."""
    return render(request, "app/fragments/places.html", {"sheet": shelf.with_places(_sheet(request, request_id))})


@login_required
@require_POST
def cancel(request: HttpRequest, request_id: UUID) -> HttpResponse:
    _sheet(request, request_id)
    done = engine.cancel(request_id, actor=_owner(request).get_username())
    if done.item_ids:
        messages.success(
            request, f"Cancelled. {done.refunded} credits came back to you." if done.refunded else "Cancelled."
        )
    else:
        messages.info(request, "It had already ended.")
    return redirect("app-request", request_id)


@login_required
@require_safe
@never_cache
def gallery(request: HttpRequest) -> HttpResponse:
    owner_id, chosen = _owner(request).pk, gallery_of.Filter.of(request.GET)
    page = gallery_of.tiles(owner_id, _base_url(request), chosen, request.GET.get("before", ""))
    tasks = [] if _is_htmx(request) else gallery_of.tasks(owner_id, chosen.task)
    return render_page(request, "gallery", fragment="pictures", page=page, filter=chosen, tasks=tasks)


@login_required
@require_safe
@never_cache
def picture(request: HttpRequest, asset_id: UUID) -> HttpResponse:
    """One result in full: a picture, or a model to turn."""
    asset, base_url, chosen = _asset(request, asset_id), _base_url(request), gallery_of.Filter.of(request.GET)
    newer, older = gallery_of.neighbours(asset, chosen)
    shown: dict[str, Any] = {
        "asset": asset,
        "item": asset.item,
        "is_model": asset.kind == AssetKind.MODEL,
        "link": storage.link(asset.key, base_url),
        "thumbnail": gallery_of.thumbnail_of(asset, base_url),
        "newer": newer,
        "older": older,
        "filter": chosen,
        "card": shelf.card_of(asset),
        "again": sheets.again(asset.item.request, asset.item) if asset.item else "",
        "next_wares": gallery_of.next_wares(asset),
    }
    return render_page(request, "picture", **shown)


@login_required
@require_safe
def download(request: HttpRequest, asset_id: UUID) -> HttpResponse | FileResponse:
    """The stored file itself, under a name that says what it is."""
    asset = _asset(request, asset_id)
    try:
        body = storage.open_file(asset.key)
    except storage.StorageError:
        raise Http404("no such file") from None
    name = f"atelier-{asset.created_at:%Y%m%d-%H%M%S}{posixpath.splitext(asset.key)[1]}"
    return FileResponse(body, as_attachment=True, filename=name, content_type=asset.content_type)


# --- What the pages share -------------------------------------------------------------------------


def render_list(request: HttpRequest, name: str, door: str = "") -> HttpResponse:
    """Render a list of one's requests, of one door or of all; for htmx its rows."""
    page = shelf.requests(_owner(request).pk, _base_url(request), request.GET.get("before", ""), door)
    return render_page(request, name, fragment="rows", page=page)


def render_page(
    request: HttpRequest, name: str, *, fragment: str = "", status: int = 200, **context: Any
) -> HttpResponse:
    """Render a whole page, or for htmx only the fragment that it asked for."""
    is_part = bool(fragment) and _is_htmx(request)
    account = ledger.open_account(_owner(request).pk)
    frame = {"section": name, "account": account, "balance": account.balance, "is_part": is_part}
    if is_part:
        return render(request, f"app/fragments/{fragment}.html", {**frame, **context})
    return render(request, f"app/{name}.html", {**frame, **context}, status=status)


def find_or_404(find: Callable[[], T]) -> T:
    """What a door finds; what it refuses to show is as missing as what never was. Raises Http404."""
    try:
        return find()
    except ApiError:
        raise Http404("no such thing") from None


def _sheet(request: HttpRequest, request_id: UUID) -> sheets.Sheet:
    sheet = shelf.request(_owner(request).pk, request_id, _base_url(request))
    if sheet is None:
        raise Http404("no such request")
    return sheet


def _asset(request: HttpRequest, asset_id: UUID) -> Asset:
    asset = gallery_of.find(_owner(request).pk, asset_id)
    if asset is None:
        raise Http404("no such result")
    return asset


def _is_htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))


def _owner(request: HttpRequest) -> User:
    """Nobody comes here without a session."""
    return cast(User, request.user)


def _base_url(request: HttpRequest) -> str:
    return request.build_absolute_uri("/")
