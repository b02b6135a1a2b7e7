"""Sending a form of the pose-generator door: the door's own look-ups, price and order, once for each form's key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from django.db import transaction
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request as ApiRequest
from rest_framework.response import Response

from config.api import idempotency
from config.api.errors import ApiError
from credits.errors import CreditsError
from generation.dashboard import orders as sending
from generation.dashboard.orders import Call, NotNow
from generation.dashboard.pose_form import DEFAULT_PROJECT, BackgroundForm, ChangeForm, PoseForm
from generation.doors.poses import orders, present, serializers
from generation.doors.poses.chain import Background
from generation.models import Asset, Avatar, Item, PoseProject, Request
from generation.models.library import ProjectStatus

PATH = "/app/poses/new"


def sent(form: PoseForm | ChangeForm, throttle: Any, order: Callable[[], UUID]) -> UUID | None:
    """Send a form by `order`; None when it was refused, which it then says."""
    try:
        sending.count(form.owner, throttle)
        if form.is_valid():
            return order()
    except sending.NotNow as refusal:
        form.is_valid()
        form.add_error(None, str(refusal))
    except CreditsError as refusal:
        form.add_error(None, str(refusal))
    except (ApiError, ValidationError) as refusal:
        form.refuse(refusal)
    form.again()
    return None


def send(form: PoseForm) -> UUID:
    """Charge and store what a valid form asks for; return the generation's id, on a repeat the first one's.

    Raises NotNow without enough credits or quota, ApiError, ValidationError, OperationUnavailable.
    """
    owner_id = form.owner.pk
    wanted = serializers.background_of(form.checked) if form.checked.get("useBackgroundChanger") else None
    with _pictured(wanted, form) as (background, fetched):

        def produce() -> Request:
            checked = {**form.checked, "projectId": str(_project(form).pk)}
            if form.data.get("avatar") == "new" and form.person:
                checked["avatarId"] = str(_new_avatar(form).pk)
            return orders.submit(replace(orders.wish_of(checked, owner_id), background=background), fetched)

        return _once(form, PATH, form.body, produce)


def send_change(form: ChangeForm, pose: Item) -> UUID:
    """Charge and store another background for a finished pose; return the request's id. Raises as `send`."""
    with _pictured(serializers.background_of(form.checked), form) as (background, fetched):

        def produce() -> Request:
            assert background
            return orders.submit_change(pose, present.shown_of(pose), background, fetched)

        return _once(form, f"/app/pose/{pose.public_id}", form.checked, produce)


def _pictured(
    wanted: Background | None, form: BackgroundForm
) -> AbstractContextManager[tuple[Background | None, list[Asset]]]:
    return orders.pictured(wanted, form.owner.pk, form.base_url) if wanted else nullcontext((None, []))


def _project(form: PoseForm) -> PoseProject:
    """The project that was chosen or named; else the one that everybody has."""
    name = form.cleaned_data.get("project_name", "").strip()
    if not name and (chosen := form.data.get("project")):
        return orders.find_project(chosen, form.owner.pk)
    mine = PoseProject.objects.filter(owner=form.owner, deleted_at=None, status=ProjectStatus.ACTIVE)
    found = mine.filter(name=name or DEFAULT_PROJECT).first()
    return found or PoseProject.objects.create(owner=form.owner, name=name or DEFAULT_PROJECT, avatar_source="UPLOAD")


def _new_avatar(form: PoseForm) -> Avatar:
    name = form.cleaned_data.get("avatar_name", "").strip() or ", ".join(form.person.values())[:100]
    return Avatar.objects.create(owner=form.owner, name=name, attributes=form.person)


def _once(form: BackgroundForm, path: str, body: Mapping[str, Any], produce: Callable[[], Request]) -> UUID:
    """Order once for each key of a form; who clicks twice sees what the first click made."""
    call = cast(ApiRequest, Call(form.owner, body, {"Idempotency-Key": str(form.cleaned_data["form_key"])}, path=path))
    with transaction.atomic():
        idempotency.await_turn(call)
        answer = idempotency.answer_once(call, lambda: Response({"id": str(produce().pk)}))
    if answer.status_code == 402:
        raise NotNow(str(answer.data["detail"]))
    return UUID(answer.data["id"])
