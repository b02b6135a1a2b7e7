"""From a checked wish to what is stored, once per Idempotency-Key; for whoever brings one: the API, or a form."""

from __future__ import annotations

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from config.api import idempotency
from credits import pricing
from generation import engine
from generation.doors.makeit3d import inputs, plan, present
from generation.doors.makeit3d.catalogue import Operation
from generation.doors.makeit3d.serializers import Wish
from generation.models import rows


def path_of(operation: Operation) -> str:
    """The path that an operation's keys hold for, whichever way it was asked for."""
    return f"/generate/{operation.name}"


def answered(call: Request, wish: Wish) -> Response | None:
    """The stored answer to a call that comes again, before anything is fetched; None when it is new."""
    return idempotency.answered(call, path=path_of(wish.operation))


def make(call: Request, wish: Wish, owner_id: UUID, base_url: str) -> Response:
    """Find or fetch what a wish is made from, charge and store it; answer as the contract does.

    Raises ApiError, OperationUnavailable. Must not run inside a transaction: links may have to be fetched. What was
    fetched for a request that comes to nothing is removed again.
    """
    key, model = plan.price_of(wish)
    files = inputs.gather(wish, owner_id, base_url)
    draft = plan.draft_of(wish, owner_id, files) if plan.can_have_draft(wish) else ""
    is_kept = False

    def submit() -> Response:
        nonlocal is_kept
        quote = pricing.quote(key, provider=wish.provider, model=model)
        order = engine.submit(plan.plan_request(wish, owner_id, files, quote, model, draft))
        for asset in files.fetched:
            asset.request_id = order.pk
        rows.insert(files.fetched) if files.fetched else None
        is_kept = True
        return Response(present.submitted(order))

    try:
        return idempotency.answer_once(call, submit, path=path_of(wish.operation))
    finally:
        if not is_kept:
            files.discard()
