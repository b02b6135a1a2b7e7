"""People, and what staff did. Passwords are set here; credits and work have rooms of their own."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.views import ChangeList

from config import spelling, subjects
from config.api import personal
from config.approvals import ApprovalAdmin as ApprovalAdmin
from config.columns import SpelledAdmin
from config.filters import DaysFilter, StaffFilter
from config.models import PersonalToken, StaffAct, User
from config.staff import Order, Outcome, ReadOnlyAdmin, Verb, VerbAdmin

admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, SpelledAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "issuer", "is_staff", "is_active", "date_joined")
    list_filter = ("is_staff", "is_active", "groups")
    search_help_text = "A part of a name or an e-mail address"
    show_full_result_count = False
    list_per_page = ReadOnlyAdmin.list_per_page
    ordering = ("-date_joined",)
    readonly_fields = ("issuer", "subject", "storage_id", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": (("username", "email"), "password")}),
        ("Where they come from", {"fields": (("issuer", "subject"), "storage_id")}),
        ("What they may do", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": (("last_login", "date_joined"),)}),
    )

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody is removed here: what they asked for and paid stays on the books. `is_active` shuts somebody out."""
        return False


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, SpelledAdmin):
    list_display = ("name",)
    search_help_text = "A part of a group's name"

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the groups; how many permissions and people they have is counted, not listed by numbers."""
        found: Any = super().get_deleted_objects(objs, request)
        named, *rest = found
        return ([one for one in named if not isinstance(one, list)], *rest)


def revoke(token: PersonalToken, order: Order) -> Outcome:
    done = personal.revoke(PersonalToken.objects.filter(pk=token.pk), by=order.by)
    return Outcome(done=done, missed=1 - done)


@admin.register(PersonalToken)
class PersonalTokenAdmin(VerbAdmin):
    """Who has which tokens for their programs. The tokens themselves are known to nobody."""

    empty_words = "People make tokens for their programs on the dashboard's API page."
    verbs = (
        Verb(
            "revoke",
            "Revoke",
            "key_off",
            "Revoke this token? Whatever uses it is refused from now on; its owner can make another.",
            "config.revoke_personaltoken",
            revoke,
            "revoked",
            missed="had already been revoked",
            applies=lambda row: row.revoked_at is None,
            is_dangerous=True,
        ),
    )
    list_display = ("name", "ending", "owner", "created_at", "last_used_at", "expires_at", "revoked_at", "revoked_by")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), ("created_at", DaysFilter))
    list_filter_submit = True
    list_select_related = ("owner",)
    search_fields = ("=owner__username", "=ending")
    search_help_text = "The name of a person, or a token's last four characters, in full"
    ordering = ("-pk",)
    fields = list_display

    def describe(self, row: PersonalToken) -> str:
        return f"{row} of {row.owner}"


class NamedSubjects(ChangeList):
    """A page of rows whose subjects are named together: a query per kind, not per row."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)  # type: ignore[has-type]
        names = subjects.named(row.subject for row in rows)
        for row in rows:
            row.named = names[row.subject]
        self.result_list = rows


@admin.register(StaffAct)
class StaffActAdmin(ReadOnlyAdmin):
    """Who did what, when and why. Written by the verbs, changed by nobody."""

    empty_words = "Verbs such as cancel, retry and refund are written down here."

    list_display = ("at", "actor", "verb", "about", "reason", "came_of_it")
    fields = ("at", "actor", "verb", "about", "reason", "outcome")
    readonly_fields = ("about",)
    list_filter = ("verb", StaffFilter, ("at", DaysFilter))
    list_filter_submit = True
    list_select_related = ("actor",)
    search_fields = ("=subject", "=actor__username")
    search_help_text = "A subject (request:…, item:…, lane:…) or the name of a member of staff, in full"
    ordering = ("-at",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NamedSubjects]:
        return NamedSubjects

    @display(description="About")
    def about(self, row: Any) -> str:
        return getattr(row, "named", None) or subjects.linked(row.subject)

    @display(description="Outcome")
    def came_of_it(self, row: StaffAct) -> str:
        return spelling.said(row.outcome)
