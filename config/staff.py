"""What the admin rooms share: rows that nobody edits by hand, and verbs.

A verb is used by POST, after a page that asks for confirmation and a reason; it checks a permission of
its own, calls one function for each chosen row, and writes a StaffAct beside it in the same transaction:
who, when, on what, why, and what came of it. Each form carries a one-time key, so that a double click
acts once and the second answer tells what the first one did.

What moves more credits than STAFF_CREDITS_ALONE is not done but kept as an Approval, for another member of staff
to say yes or no to (`config.approvals`).

Must know no app: the rooms bring their verbs.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connection, models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.http import url_has_allowed_host_and_scheme
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from config.columns import SpelledAdmin
from config.models import Approval, StaffAct, User

# Rows that one confirmation may name; more is work for a chore.
MOST_ROWS = 200
# Who reads the reason of what moves credits.
CUSTOMERS = "The customer reads it too, in their credit history."
# Lists count this far and no further: counting a million rows takes longer than reading the page.
MOST_COUNTED = 10_000


class Refused(Exception):
    """A verb that cannot be done now; nothing was changed. The text is shown to staff."""


@dataclass(frozen=True)
class Order:
    """What a member of staff asked for, and who approved it where two are needed.

    `values` are the form's own fields, beside the reason.
    """

    actor: User
    reason: str
    form_key: str
    values: dict[str, Any] = field(default_factory=dict)
    approved_by: str = ""

    @property
    def by(self) -> str:
        name = self.actor.get_username()
        return f"{name}, approved by {self.approved_by}"[:150] if self.approved_by else name


@dataclass(frozen=True)
class Outcome:
    """done and missed count what the verb speaks of; missed: another hand was first. credits: moved by it."""

    done: int = 0
    missed: int = 0
    credits: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.done + other.done, self.missed + other.missed, self.credits + other.credits)


class ReasonForm(forms.Form):
    """Why. Every verb asks for it, and says who will read it."""

    read_by: ClassVar[str] = "For other staff: it stays beside what was done."
    reason = forms.CharField(max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))
    form_key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = self.read_by
        first = next(one for one in self.fields.values() if not one.widget.is_hidden)
        first.widget.attrs["autofocus"] = True


class AmountForm(ReasonForm):
    read_by = CUSTOMERS
    credits = forms.IntegerField(min_value=1, max_value=1_000_000, widget=UnfoldAdminIntegerFieldWidget)
    field_order = ("credits", "reason")


Choice = UnfoldAdminSelectWidget
Line = UnfoldAdminTextInputWidget
Switch = UnfoldBooleanSwitchWidget


@dataclass(frozen=True)
class Verb:
    """name: in the address and in the StaffAct. question: what the confirmation page asks.

    done, missed: how the result is told, as in "3 cancelled, 2 had already ended". credits: what moved
    credits are called. applies: is the button worth showing for this row? The verb itself decides again. weighs: how
    many credits it would move, for the rule of two.
    """

    name: str
    label: str
    icon: str
    question: str
    permission: str
    do: Callable[[Any, Order], Outcome]
    done: str
    missed: str = "could not be changed"
    credits: str = "credits given back"
    form: type[ReasonForm] = ReasonForm
    applies: Callable[[Any], bool] = lambda row: True
    weighs: Callable[[Any, Order], int] | None = None
    is_dangerous: bool = False
    is_for_many: bool = True

    def tell(self, outcome: Outcome) -> str:
        told = [f"{outcome.done} {self.done}"]
        if outcome.missed:
            told.append(f"{outcome.missed} {self.missed}")
        if outcome.credits:
            told.append(f"{outcome.credits} {self.credits}")
        return ", ".join(told) + "."


def act(verb: Verb, row: models.Model, subject: str, order: Order) -> Outcome:
    """Do a verb to one row and write it down, once per form: a repeat returns what the first one did."""
    with transaction.atomic():
        _one_at_a_time(f"staff:{order.form_key}:{subject}")
        earlier = StaffAct.objects.filter(subject=subject, verb=verb.name, outcome__form=order.form_key).first()
        if earlier:
            return Outcome(**{name: earlier.outcome[name] for name in asdict(Outcome())})
        outcome = verb.do(row, order)
        asked = {name: value for name, value in order.values.items() if value not in (None, "", False)}
        StaffAct.objects.create(
            actor=order.actor,
            verb=verb.name,
            subject=subject,
            reason=order.reason,
            outcome={**asked, **asdict(outcome), "form": order.form_key},
        )
        return outcome


def needs_second(verb: Verb, rows: Iterable[Any], order: Order) -> bool:
    """Does this form move more credits than one member of staff may alone?"""
    limit: int = settings.STAFF_CREDITS_ALONE
    return bool(limit and verb.weighs and sum(abs(verb.weighs(row, order)) for row in rows) > limit)


def ask_second(verb: Verb, row: models.Model, subject: str, described: str, order: Order) -> None:
    """Let a verb wait for somebody else's yes. Once per form."""
    with transaction.atomic():
        asked, is_new = Approval.objects.get_or_create(
            form_key=order.form_key,
            subject=subject,
            verb=verb.name,
            defaults={
                "model": row._meta.label_lower,
                "row": str(row.pk),
                "described": described[:500],
                "credits": verb.weighs(row, order) if verb.weighs else 0,
                "values": order.values,
                "reason": order.reason,
                "asked_by": order.actor,
            },
        )
        if is_new:
            outcome = {"approval": asked.pk, "credits": asked.credits, "form": order.form_key}
            StaffAct.objects.create(
                actor=order.actor, verb=f"ask-{verb.name}", subject=subject, reason=order.reason, outcome=outcome
            )


def note(request: HttpRequest, verb: str, subject: str, *, reason: str = "", **outcome: Any) -> None:
    """Write down what staff set by hand, where a form is the verb."""
    StaffAct.objects.create(actor=cast(User, request.user), verb=verb, subject=subject, reason=reason, outcome=outcome)


def _one_at_a_time(name: str) -> None:
    """Let a second click wait for the first one's commit. Held to the end of the transaction."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


class CappedPaginator(Paginator):
    """Counts no further than MOST_COUNTED rows; beyond that a filter finds more than paging does."""

    @cached_property
    def count(self) -> int:
        # By their keys alone: a row that is cut out of a slice would bring its subqueries along.
        return cast(models.QuerySet, self.object_list).order_by().values("pk")[:MOST_COUNTED].count()


class ReadOnlyAdmin(SpelledAdmin):
    """Shows all, edits nothing. Big tables: no count of everything, short pages: each row is 7 KB to send and draw."""

    show_full_result_count = False
    list_per_page = 25
    paginator = CappedPaginator
    list_filter_sheet = False
    show_facets = admin.ShowFacets.NEVER
    # What an empty list says: what would stand here, and what to do next.
    empty_words = ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class VerbAdmin(ReadOnlyAdmin):
    """A read-only room whose rows take verbs: buttons on a row's page, actions in the list."""

    verbs: ClassVar[Sequence[Verb]] = ()
    change_form_outer_before_template = "admin/verbs.html"

    def subject_of(self, row: Any) -> str:
        return f"{self.opts.model_name}:{row.pk}"

    def describe(self, row: Any) -> str:
        """Name a row on the page that asks for confirmation."""
        return str(row)

    def allowed(self, request: HttpRequest) -> list[Verb]:
        return [verb for verb in self.verbs if request.user.has_perm(verb.permission)]

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_verb"
        return [path("verb/<slug:name>/", self.admin_site.admin_view(self.verb_view), name=name), *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        for verb in self.allowed(request):
            if verb.is_for_many:
                actions[verb.name] = (_asks_first(verb), verb.name, verb.label)
        return actions

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        verbs = [verb for verb in self.allowed(request) if verb.applies(row)] if row else []
        context = {"verbs": verbs, "verb_base": self._address(""), "row": row, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def verb_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask on GET, act on POST."""
        verb = next((verb for verb in self.verbs if verb.name == name), None)
        if verb is None:
            raise Http404("no such verb")
        if not request.user.has_perm(verb.permission):
            raise PermissionDenied
        if request.method == "GET":
            return self.ask(request, verb, self._rows(request, request.GET.getlist("row")))
        if request.method != "POST":
            return HttpResponseNotAllowed(["GET", "POST"])
        rows = self._rows(request, request.POST.getlist("row"))
        form = verb.form(request.POST)
        if not form.is_valid():
            return self.ask(request, verb, rows, form)
        self._act_on_all(request, verb, rows, form.cleaned_data)
        return redirect(self._way_back(request, rows, request.POST.get("next", "")))

    def ask(
        self, request: HttpRequest, verb: Verb, rows: list[Any], form: forms.Form | None = None
    ) -> TemplateResponse:
        """The confirmation page: what will be done to which rows, and the verb's form."""
        came_from = request.POST.get("next", "") if form else request.headers.get("Referer", "")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": verb.label,
            "verb": verb,
            "rows": rows,
            "described": [self.describe(row) for row in rows[:10]],
            "form": form or verb.form(initial={"form_key": uuid.uuid4()}),
            "action": self._address(verb.name),
            "way_back": self._way_back(request, rows, came_from),
        }
        return TemplateResponse(request, "admin/verb.html", context, status=200 if form is None else 422)

    def ask_about_many(self, request: HttpRequest, verb: Verb, chosen: models.QuerySet) -> HttpResponse | None:
        """Ask about more rows than a form can name. A room that can have them worked off says how."""
        messages.error(request, f"At most {MOST_ROWS} rows at a time: choose fewer.")
        return None

    def _act_on_all(self, request: HttpRequest, verb: Verb, rows: Sequence[Any], values: dict[str, Any]) -> None:
        """Each row in a transaction of its own: locks of several requests in one would cross those of the workers."""
        order = Order(cast(User, request.user), values.pop("reason"), str(values.pop("form_key")), values)
        if needs_second(verb, rows, order):
            for row in rows:
                ask_second(verb, row, self.subject_of(row), self.describe(row), order)
            limit = settings.STAFF_CREDITS_ALONE
            messages.warning(
                request, f"More than {limit} credits: this waits for a second one of the staff to approve."
            )
            return
        total = Outcome()
        for row in rows:
            try:
                total += act(verb, row, self.subject_of(row), order)
            except Refused as refusal:
                messages.error(request, str(refusal))
        if total.done or total.missed:
            messages.add_message(request, messages.SUCCESS if total.done else messages.WARNING, verb.tell(total))

    def _rows(self, request: HttpRequest, ids: list[str]) -> list[Any]:
        wanted = ids[:MOST_ROWS]
        try:
            rows = list(self.get_queryset(request).filter(pk__in=wanted).order_by("pk"))
        except (ValueError, forms.ValidationError):
            rows = []
        if not rows:
            raise Http404("no such row")
        return rows

    def _address(self, name: str) -> str:
        address = reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_verb", args=["name"])
        return address.removesuffix("name/") + (f"{name}/" if name else "")

    def _way_back(self, request: HttpRequest, rows: list[Any], came_from: str) -> str:
        """Where the person came from, as far as that is here; else the row, or the list."""
        if came_from and url_has_allowed_host_and_scheme(came_from, {request.get_host()}, request.is_secure()):
            return came_from
        here = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}"
        return reverse(f"{here}_change", args=[rows[0].pk]) if len(rows) == 1 else reverse(f"{here}_changelist")


def _asks_first(verb: Verb) -> Callable[[VerbAdmin, HttpRequest, models.QuerySet], HttpResponse | None]:
    def action(admin: VerbAdmin, request: HttpRequest, chosen: models.QuerySet) -> HttpResponse | None:
        rows = list(chosen.order_by("pk")[: MOST_ROWS + 1])
        if len(rows) > MOST_ROWS:
            return admin.ask_about_many(request, verb, chosen)
        return admin.ask(request, verb, rows)

    return action
