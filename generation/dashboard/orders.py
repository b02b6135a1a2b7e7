"""Sending a form: the door's own plan and the API's own idempotency, keyed by the form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from rest_framework.request import Request as ApiRequest
from rest_framework.response import Response

from config.api.idempotency import answer_once, await_turn
from config.api.throttle import UserWindowThrottle
from config.models import User
from credits import pricing
from generation import engine
from generation.dashboard.forms import VisualForm
from generation.doors.makeit3d import orders as makeit3d
from generation.doors.visuals.views import VisualThrottle

if TYPE_CHECKING:
    from generation.dashboard.catalogue_form import CatalogueForm


class NotNow(Exception):
    """The order was not taken, nothing was charged. The text is for its owner."""


@dataclass(frozen=True)
class Call:
    """What `answer_once` reads of an API call."""

    user: User
    data: Mapping[str, Any]
    headers: Mapping[str, str]
    path: str
    method: str = "POST"


def count(user: User, door: Callable[[], UserWindowThrottle] = VisualThrottle) -> None:
    """Count one sending in the door's own window, whatever becomes of it. Raises NotNow."""
    window = door().sliding_window().hit(str(user.pk))
    if window.retry_after_s is not None:
        raise NotNow(f"That was a lot in a short time. Wait {_minutes(window.retry_after_s)} and send it again.")


def send(user: User, form: VisualForm) -> UUID:
    """Charge and store what a valid form asks for; return the request's id, on a repeat the first one's.

    Raises NotNow without enough credits, OperationUnavailable without a price or a provider.
    """
    key = {"Idempotency-Key": str(form.cleaned_data["form_key"])}
    call = cast(ApiRequest, Call(user, form.body, key, path=reverse(form.place)))

    def produce() -> Response:
        quotes = pricing.quotes(wish.price_key for wish in form.wishes)
        order = engine.submit(form.plan(user.pk, quotes))
        return Response({"request": str(order.pk)})

    with transaction.atomic():
        # The API refuses a repeat that comes too soon; who clicks twice should see what the first click made.
        await_turn(call)
        answer = answer_once(call, produce)
    if answer.status_code == 402:
        raise NotNow(str(answer.data["detail"]))
    return UUID(answer.data["request"])


def make(form: CatalogueForm) -> UUID:
    """The same for a valid form of the MakeIt3D door. Raises ApiError too."""
    wish, base_url = form.wish, form.base_url
    key = {"Idempotency-Key": form.form_key}
    call = cast(ApiRequest, Call(form.owner, form.order, key, path=makeit3d.path_of(wish.operation)))
    with transaction.atomic():
        await_turn(call)
        answer = makeit3d.answered(call, wish) or makeit3d.make(call, wish, form.owner.pk, base_url)
    if answer.status_code == 402:
        raise NotNow(str(answer.data["detail"]))
    return UUID(answer.data["celery_task_id"])


def _minutes(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 90 else f"{round(seconds / 60)} minutes"
