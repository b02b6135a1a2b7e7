"""The pages about the account: credits with their receipts, and the API with one's own tokens and worked clients."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.timesince import timesince
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from rest_framework_simplejwt.tokens import AccessToken

from config.api import personal
from config.models import PersonalToken, User
from credits import export, ledger
from generation.dashboard import clients, purse
from generation.dashboard.views import render_page

# Days -> what the form calls them.
ENDS = {"30": "in 30 days", "90": "in 90 days", "365": "in a year", "": "never"}


# --- Credits -------------------------------------------------------------------------------------


@login_required
@require_safe
@never_cache
def credits(request: HttpRequest) -> HttpResponse:
    owner, chosen = _owner(request), purse.Filter.of(request.GET)
    page = purse.history(owner.pk, chosen, request.GET.get("before", ""))
    tables: dict[str, Any] = {"kinds": purse.KINDS, "days": purse.DAYS}
    quota = purse.quota(ledger.open_account(owner.pk))
    return render_page(request, "credits", fragment="entries", page=page, filter=chosen, quota=quota, **tables)


@login_required
@require_safe
def credits_file(request: HttpRequest) -> StreamingHttpResponse:
    """The lines that the filter shows, as a table for a spreadsheet."""
    entries = purse.Filter.of(request.GET).entries(_owner(request).pk)
    return export.answer_own(entries, "atelier-credits.csv")


@login_required
@require_safe
@never_cache
def receipt(request: HttpRequest, request_id: UUID) -> HttpResponse:
    found = purse.receipt(_owner(request).pk, request_id)
    if found is None:
        raise Http404("no such request")
    return render_page(request, "receipt", receipt=found)


# --- The API -------------------------------------------------------------------------------------


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=60, error_messages={"required": "Give it a name, so that you know later what uses it."}
    )
    ends = forms.ChoiceField(choices=list(ENDS.items()), required=False)


@login_required
@require_safe
@never_cache
def api(request: HttpRequest) -> HttpResponse:
    return _api(request, TokenForm(initial={"ends": "90"}))


@login_required
@require_POST
@never_cache
def make_token(request: HttpRequest) -> HttpResponse:
    """Make a token and show it, this once: nothing keeps it, so there is no page to lead on to."""
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _api(request, form, status=422)
    days = form.cleaned_data["ends"]
    try:
        token, raw = personal.make(_owner(request), form.cleaned_data["name"], int(days) if days else None)
    except personal.TooMany:
        form.add_error(None, f"You have {personal.MOST} tokens, and more there cannot be: revoke one first.")
        return _api(request, form, status=422)
    return _api(request, TokenForm(initial={"ends": "90"}), made=token, raw=raw)


@login_required
@require_POST
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    owner = _owner(request)
    token = PersonalToken.objects.filter(owner=owner, pk=token_id).first()
    if token is None:
        raise Http404("no such token")
    if personal.revoke(PersonalToken.objects.filter(pk=token.pk), by=owner.get_username()):
        messages.success(request, f"{token} is revoked: whatever used it is refused from now on.")
    else:
        messages.info(request, f"{token} had been revoked already.")
    return redirect("app-api")


@login_required
@require_safe
def client_file(request: HttpRequest, name: str) -> HttpResponse:
    """A worked client, with this desk's address in it, to be saved."""
    body = clients.file(name, _address(request))
    if body is None:
        raise Http404("no such client")
    saved = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(body, content_type="text/plain; charset=utf-8", headers=saved)


def _api(request: HttpRequest, form: TokenForm, status: int = 200, **made: Any) -> HttpResponse:
    address, now = _address(request), timezone.now()
    shown: dict[str, Any] = {
        "form": form,
        "ends": ENDS,
        "tokens": personal.of(_owner(request).pk),
        "address": address,
        "examples": clients.examples(address),
        "access_words": timesince(now - AccessToken.lifetime, now),
    }
    return render_page(request, "api", status=status, **shown, **made)


def _address(request: HttpRequest) -> str:
    """Where programs reach the desk: as it calls itself, else as this browser does."""
    return (settings.PUBLIC_URL or request.build_absolute_uri("/")).rstrip("/")


def _owner(request: HttpRequest) -> User:
    """Nobody comes here without a session."""
    return cast(User, request.user)
