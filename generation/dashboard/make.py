"""The pages where something is asked for: what there is to make, and a form for each thing.

Stories and poses bring their own (`stories`, `poses`); here are those of the visual-generation door and, made from
its catalogue, of the MakeIt3D door. Prices follow what is chosen, and a file is kept as soon as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from rest_framework.exceptions import ValidationError

from config.api.errors import ApiError
from config.models import User
from credits import ledger
from credits.errors import CreditsError
from generation.dashboard import catalogue_form, forms, orders, shelf, slots, sources, wares
from generation.dashboard.bills import Bill
from generation.dashboard.catalogue_form import CatalogueForm
from generation.dashboard.doors import MAKEIT3D
from generation.dashboard.sheets import Sheet
from generation.dashboard.views import render_page
from generation.doors.makeit3d import uploads
from generation.doors.makeit3d import views as makeit3d
from generation.doors.makeit3d.catalogue import BY_NAME, Kind, Operation
from generation.doors.visuals.serializers import MOST_REQUESTS


@login_required
@require_safe
@never_cache
def make(request: HttpRequest) -> HttpResponse:
    """Everything that one can make. An earlier request (`?like=`) leads on to the form that it came from."""
    if sheet := _like(request):
        return redirect(sheet.again)
    return render_page(request, "make", groups=wares.GROUPS)


def _like(request: HttpRequest) -> Sheet | None:
    name = request.GET.get("like", "")
    owner = _owner(request)
    return shelf.request(owner.pk, UUID(name), _base_url(request)) if sources.is_uuid(name) else None


# --- The visual-generation door -------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def visual(request: HttpRequest) -> HttpResponse:
    """The form of one picture, and its sending."""
    return _visual(request, forms.VisualForm)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def visuals(request: HttpRequest) -> HttpResponse:
    """The form of many pictures at once, and its sending."""
    return _visual(request, forms.BatchForm)


def _visual(request: HttpRequest, kind: type[forms.VisualForm]) -> HttpResponse:
    if request.method != "POST":
        sheet = _like(request)
        asked = request.GET
        values = forms.earlier(sheet, asked.get("item", ""), asked.get("only") == "failed") if sheet else None
        return _visual_page(request, forms.fresh(values, kind))
    form = kind(request.POST)
    try:
        orders.count(_owner(request))
        if form.is_valid():
            return redirect("app-request", orders.send(_owner(request), form))
    except (orders.NotNow, CreditsError) as refusal:
        form.is_valid()
        form.add_error(None, str(refusal))
    except ApiError as refusal:
        form.add_error(None, forms.in_words(refusal))
    return _visual_page(request, form.again(), status=422)


def _visual_page(request: HttpRequest, form: forms.VisualForm, status: int = 200) -> HttpResponse:
    prices = forms.prices()
    tables: dict[str, Any] = {
        "types": [(name, *words, prices.get(name)) for name, words in wares.TYPES.items()],
        "ratios": forms.RATIOS,
        "priorities": forms.PRIORITIES,
        "styles": forms.STYLES,
        "providers": forms.providers(),
        "most_attempts": forms.MOST_ATTEMPTS,
        "most_lines": MOST_REQUESTS,
        "sum_place": f"{form.place}-sum",
        "bill": _visual_bill(request, form, prices),
    }
    return render_page(request, "make_visual", form=form, status=status, **tables)


@login_required
@require_POST
def visual_sum(request: HttpRequest) -> HttpResponse:
    """What the form would cost as it stands; fetched at each change of it."""
    return _visual_sum(request, forms.VisualForm(request.POST))


@login_required
@require_POST
def visuals_sum(request: HttpRequest) -> HttpResponse:
    """The same of many pictures at once."""
    return _visual_sum(request, forms.BatchForm(request.POST))


def _visual_sum(request: HttpRequest, form: forms.VisualForm) -> HttpResponse:
    return render(request, "app/fragments/bill.html", {"bill": _visual_bill(request, form, forms.prices())})


def _visual_bill(request: HttpRequest, form: forms.VisualForm, prices: Mapping[str, int]) -> Bill:
    return Bill(prices.get(str(form["type"].value())), form.count, _balance(request))


# --- The MakeIt3D door ----------------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def operation(request: HttpRequest, name: str) -> HttpResponse:
    """The form of an operation, and its sending."""
    chosen = _operation(name)
    if request.method != "POST":
        return _page(request, CatalogueForm(chosen, _owner(request), _base_url(request), _begin_with(request, chosen)))
    form = _sent(request, chosen)
    try:
        orders.count(_owner(request), lambda: makeit3d.Throttle(chosen.name, makeit3d.limit_of(chosen)))
        form.keep_files(request.FILES)
        if form.is_valid():
            return redirect("app-request", orders.make(form))
    except (orders.NotNow, CreditsError) as refusal:
        form.is_valid()
        form.fault("", str(refusal))
    except (ApiError, ValidationError) as refusal:
        form.refuse(refusal)
    form.again()
    return _page(request, form, status=422)


def _operation(name: str) -> Operation:
    if name not in BY_NAME:
        raise Http404("no such thing to make")
    return BY_NAME[name]


def _begin_with(request: HttpRequest, chosen: Operation) -> dict[str, str]:
    """Begin with an earlier request of one's own (`?like=`), or with a file of one's own (`?use=`)."""
    sheet = _like(request)
    if sheet and sheet.cards and sheet.request.door == MAKEIT3D:
        item = sheet.cards[0].item
        return catalogue_form.earlier(item) if item.params["operation"] == chosen.name else {}
    place = slots.first_slot(chosen)
    return {place: request.GET["use"]} if place and "use" in request.GET else {}


def _page(request: HttpRequest, form: CatalogueForm, status: int = 200) -> HttpResponse:
    return render_page(request, "make_operation", status=status, **_shown(request, form))


def _shown(request: HttpRequest, form: CatalogueForm) -> dict[str, Any]:
    owner, base_url = _owner(request), _base_url(request)
    found = {kind: sources.own(owner.pk, kind, base_url) for kind in {one.kind for one in form.operation.inputs}}
    chosen = {source.asset.pk: source for source in sources.sources(list(form.assets.values()), base_url)}
    return {
        "form": form,
        "ware": wares.BY_OPERATION[form.operation.name],
        "slots": [
            (slot, chosen.get(slot.chosen.pk) if slot.chosen else None, found[slot.of.kind]) for slot in form.slots
        ],
        "bill": form.bill(_balance(request)),
    }


@login_required
@require_POST
def fields(request: HttpRequest, name: str) -> HttpResponse:
    """What another provider lets one choose; fetched when it is chosen."""
    form = _sent(request, _operation(name))
    return render(request, "app/fragments/operation_fields.html", {**_shown(request, form), "is_swap": True})


@login_required
@require_POST
def total(request: HttpRequest, name: str) -> HttpResponse:
    """What the form would cost as it stands; fetched at each change of it."""
    form = _sent(request, _operation(name))
    return render(request, "app/fragments/bill.html", {"bill": form.bill(_balance(request))})


@login_required
@require_POST
def source(request: HttpRequest, name: str, place: str) -> HttpResponse:
    """One place for a file, after a file was brought or one of one's own was chosen; fetched when it was."""
    chosen = _operation(name)
    form = _sent(request, chosen)
    of = slots.input_of(chosen, place)
    slot = form.slot(place)
    if of is None or slot is None:
        raise Http404("no such place")
    if sent := request.FILES.get(f"{place}.file"):
        try:
            orders.count(
                _owner(request), lambda: makeit3d.Throttle(uploads.UploadView.route, uploads.UploadView().limit)
            )
            form.keep(of, place, sent)
        except orders.NotNow as refusal:
            form.fault(place, str(refusal))
    shown = _shown(request, form)
    one = next(one for one in shown["slots"] if one[0].name == place)
    answer = render(
        request,
        "app/fragments/source.html",
        {**shown, "slot": one[0], "chosen": one[1], "page": one[2], "is_swap": True},
    )
    answer.headers["HX-Trigger-After-Settle"] = "priced"
    return answer


@login_required
@require_safe
@never_cache
def older_sources(request: HttpRequest, kind: str) -> HttpResponse:
    """More of one's own files to choose from."""
    if kind not in (Kind.IMAGE, Kind.MODEL):
        raise Http404("no such kind")
    page = sources.own(_owner(request).pk, Kind(kind), _base_url(request), request.GET.get("before", ""))
    shown = {"page": page, "place": request.GET.get("place", ""), "kind": kind}
    return render(request, "app/fragments/source_picks.html", shown)


# --- What these pages share -----------------------------------------------------------------------


def _sent(request: HttpRequest, chosen: Operation) -> CatalogueForm:
    return CatalogueForm(chosen, _owner(request), _base_url(request), request.POST)


def _balance(request: HttpRequest) -> int:
    return ledger.open_account(_owner(request).pk).balance


def _owner(request: HttpRequest) -> User:
    """Nobody comes here without a session."""
    return cast(User, request.user)


def _base_url(request: HttpRequest) -> str:
    return request.build_absolute_uri("/")
