"""The pages: read, one verb, present. Another person's things are as missing as ones that never were."""

from __future__ import annotations

import posixpath
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from config.models import User
from credits import ledger
from credits.errors import OperationUnavailable
from generation import engine, storage
from generation.dashboard import forms, orders, shelf

ENTRIES = 25
STORIES, POSES = "stories", "poses"  # the doors whose requests have pages of their own


class LoginView(auth.LoginView):
    """Django's own, behind the window of failed logins per address."""

    template_name = "app/login.html"
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
    sheets = shelf.running(_owner(request).pk, _base_url(request))
    recent = shelf.pictures(_owner(request).pk, _base_url(request), size=12)
    return render_page(request, "home", sheets=sheets, pictures=recent.rows)


@login_required
@require_safe
@never_cache
def running(request: HttpRequest) -> HttpResponse:
    """The home page's own fragments, fetched again when something began or ended."""
    sheets = shelf.running(_owner(request).pk, _base_url(request))
    recent = shelf.pictures(_owner(request).pk, _base_url(request), size=12)
    return render(request, "app/fragments/home.html", {"sheets": sheets, "pictures": recent.rows})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def make(request: HttpRequest) -> HttpResponse:
    """The form, and its sending."""
    if request.method != "POST":
        return _form(request, forms.fresh(_values_of(request)))
    form = forms.VisualForm(request.POST)
    try:
        orders.count(_owner(request))
        if form.is_valid():
            return redirect("app-request", orders.send(_owner(request), form))
    except (orders.NotNow, OperationUnavailable) as refusal:
        form.is_valid()
        form.add_error(None, str(refusal))
    return _form(request, form.again(), status=422)


def _form(request: HttpRequest, form: forms.VisualForm, status: int = 200) -> HttpResponse:
    tables: dict[str, Any] = {
        "types": forms.TYPES,
        "ratios": forms.RATIOS,
        "priorities": forms.PRIORITIES,
        "styles": forms.STYLES,
    }
    return render_page(request, "make", form=form, prices=forms.prices(), status=status, **tables)


def _values_of(request: HttpRequest) -> dict[str, str]:
    """Begin with the values of an earlier request of one's own (`?like=`), to send it again or change it."""
    try:
        sheet = shelf.request(_owner(request).pk, UUID(request.GET.get("like", "")), _base_url(request))
    except ValueError:
        return {}
    if sheet is None or not sheet.cards:
        return {}
    item = sheet.cards[0].item
    metadata = item.params.get("metadata") or {}
    return {
        "type": item.params.get("type", ""),
        "prompt": item.prompt,
        "style": metadata.get("imageStyle", ""),
        "ratio": metadata.get("aspectRatio", "square"),
        "priority": item.priority,
    }


@login_required
@require_safe
@never_cache
def work(request: HttpRequest) -> HttpResponse:
    page = shelf.requests(_owner(request).pk, _base_url(request), request.GET.get("before", ""))
    return render_page(request, "work", fragment="rows", page=page)


@login_required
@require_safe
@never_cache
def one_request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """The page; for htmx its inner part, or with `?as=row` its line in the list of work."""
    fragment, sheet = "row" if request.GET.get("as") == "row" else "request", _sheet(request, request_id)
    if sheet.request.door == STORIES and not getattr(request, "htmx", False):
        return redirect("app-story", sheet.request.group)
    if sheet.request.door == POSES and not getattr(request, "htmx", False):
        pose_id = sheet.request.params.get("poseId")
        return redirect("app-pose", pose_id) if pose_id else redirect("app-generation", request_id)
    return render_page(request, "request", fragment=fragment, sheet=sheet, is_list=True)


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
    page = shelf.pictures(_owner(request).pk, _base_url(request), request.GET.get("before", ""))
    return render_page(request, "gallery", fragment="pictures", page=page)


@login_required
@require_safe
@never_cache
def picture(request: HttpRequest, asset_id: UUID) -> HttpResponse:
    asset = shelf.picture(_owner(request).pk, asset_id)
    if asset is None:
        raise Http404("no such picture")
    newer, older = shelf.neighbours(asset)
    link = storage.link(asset.key, _base_url(request))
    return render_page(request, "picture", asset=asset, item=asset.item, link=link, newer=newer, older=older)


@login_required
@require_safe
def download(request: HttpRequest, asset_id: UUID) -> HttpResponse | FileResponse:
    """The stored file itself, under a name that says what it is."""
    asset = shelf.picture(_owner(request).pk, asset_id)
    if asset is None:
        raise Http404("no such picture")
    try:
        body = storage.open_file(asset.key)
    except storage.StorageError:
        raise Http404("no such file") from None
    name = f"atelier-{asset.created_at:%Y%m%d-%H%M%S}{posixpath.splitext(asset.key)[1]}"
    return FileResponse(body, as_attachment=True, filename=name, content_type=asset.content_type)


@login_required
@require_safe
@never_cache
def credits(request: HttpRequest) -> HttpResponse:
    offset = request.GET.get("from", "")
    start = int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 10 else 0
    history = ledger.history(_owner(request).pk, ENTRIES, start)
    older = start + ENTRIES if start + ENTRIES < history.total else None
    return render_page(request, "credits", fragment="entries", history=history, older=older)


# --- What the pages share -------------------------------------------------------------------------


def render_page(
    request: HttpRequest, name: str, *, fragment: str = "", status: int = 200, **context: Any
) -> HttpResponse:
    """Render a whole page, or for htmx only the fragment that it asked for."""
    if fragment and getattr(request, "htmx", False):
        return render(request, f"app/fragments/{fragment}.html", context)
    account = ledger.open_account(_owner(request).pk)
    frame = {"section": name, "account": account, "balance": account.balance}
    return render(request, f"app/{name}.html", {**frame, **context}, status=status)


def _sheet(request: HttpRequest, request_id: UUID) -> shelf.Sheet:
    sheet = shelf.request(_owner(request).pk, request_id, _base_url(request))
    if sheet is None:
        raise Http404("no such request")
    return sheet


def _owner(request: HttpRequest) -> User:
    """Nobody comes here without a session."""
    return cast(User, request.user)


def _base_url(request: HttpRequest) -> str:
    return request.build_absolute_uri("/")
