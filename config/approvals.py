"""What waits for a second member of staff: a yes does the verb as it was asked, a no leaves all as it is.

Whoever decides needs the verb's own permission too and is somebody else than who asked; the database holds the
latter. Must know no app: the verb is found by the room in which it was asked.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from config import subjects
from config.models import Approval
from config.staff import Order, Outcome, Refused, Verb, VerbAdmin, act

DECIDE = "config.decide_approval"


def approve(asked: Approval, order: Order) -> Outcome:
    """Do what was asked, in the name of who asked and of who approved."""
    asked = _open(asked, order)
    verb = _verb(asked, order)
    row = apps.get_model(asked.model)._default_manager.get(pk=asked.row)
    wanted = Order(asked.asked_by, asked.reason, asked.form_key, asked.values, approved_by=order.by)
    outcome = act(verb, row, asked.subject, wanted)
    _decide(asked, order, is_approved=True)
    return Outcome(done=1, credits=outcome.credits)


def decline(asked: Approval, order: Order) -> Outcome:
    asked = _open(asked, order)
    _verb(asked, order)
    _decide(asked, order, is_approved=False)
    return Outcome(done=1)


def _open(asked: Approval, order: Order) -> Approval:
    """Lock it. Raises Refused when it was decided, or is the decider's own."""
    asked = Approval.objects.select_for_update(of=("self",)).select_related("asked_by").get(pk=asked.pk)
    if asked.decided_at:
        raise Refused(f"{asked}: this was decided already.")
    if asked.asked_by_id == order.actor.pk:
        raise Refused(f"{asked}: somebody else must decide what you asked for.")
    return asked


def _verb(asked: Approval, order: Order) -> Verb:
    room = admin.site.get_model_admin(apps.get_model(asked.model))
    verb: Verb = next(verb for verb in room.verbs if verb.name == asked.verb)  # type: ignore[attr-defined]
    if not order.actor.has_perm(verb.permission):
        raise Refused(f"{asked}: whoever decides must be allowed to do it: {verb.permission}.")
    return verb


def _decide(asked: Approval, order: Order, *, is_approved: bool) -> None:
    asked.is_approved, asked.decided_by, asked.decided_at = is_approved, order.actor, timezone.now()
    asked.save(update_fields=["is_approved", "decided_by", "decided_at"])


@admin.register(Approval)
class ApprovalAdmin(VerbAdmin):
    empty_words = "What moves many credits waits here for a second one of the staff."
    verbs = (
        Verb(
            "approve",
            "Approve",
            "check",
            "Let this be done as it was asked?",
            DECIDE,
            approve,
            "approved and done",
            credits="credits moved",
            applies=lambda row: row.decided_at is None,
        ),
        Verb(
            "decline",
            "Decline",
            "close",
            "Say no to this? Nothing moves.",
            DECIDE,
            decline,
            "declined",
            applies=lambda row: row.decided_at is None,
            is_dangerous=True,
        ),
    )
    list_display = ("asked_at", "state", "verb", "described", "credits", "asked_by", "reason", "decided_by")
    list_filter = ("verb", ("decided_at", admin.EmptyFieldListFilter))
    ordering = ("-asked_at",)
    fields = (
        ("state", "verb", "credits"),
        "described",
        "reason",
        ("asked_by", "asked_at"),
        ("decided_by", "decided_at"),
        "about",
    )
    readonly_fields = ("state", "about")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        return super().get_queryset(request).select_related("asked_by", "decided_by")

    def describe(self, row: Any) -> str:
        return f"{row.verb}: {row.described} · {row.credits} credits · asked by {row.asked_by}: {row.reason}"

    @display(description="About")
    def about(self, row: Approval) -> str:
        return subjects.linked(row.subject)

    @display(description="State", label={"waits": "warning", "approved": "success", "declined": "danger"})
    def state(self, row: Approval) -> str:
        return "waits" if row.decided_at is None else "approved" if row.is_approved else "declined"
