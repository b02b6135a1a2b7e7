"""Every page of the console and the dashboard: where it is, who may see it, and what it shows of the house.

`test_pages.py` holds this table against the URL configuration: a route that is neither here nor in NO_PAGE fails, and
so does a row whose route is gone. Whoever wants to look at all pages walks `PAGES`:

    for page in PAGES:
        client.force_login(page.person(house))      # a visitor's is None
        client.get(page.address(house))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import reverse

from config.models import User
from config.staff import Verb
from credits.models import Account
from generation import queue
from generation.doors.makeit3d.catalogue import BY_NAME
from providers.models import Lane
from tests.site.house import House

VISITOR, CUSTOMER, NEWCOMER, STAFF = "visitor", "customer", "newcomer", "staff"
NONE: tuple[str, ...] = ()
NEVER = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Page:
    """One page as one person sees it.

    name: tells it from all others, fit for a file's name. route: its name in the URL configuration. needs: the
    permissions of staff without which it is refused. is_whole: False for a part that a page fetches. kind: pages
    of one kind look alike; empty: it is the only one of its kind. is_common: its args name nothing of anybody's own.
    """

    name: str
    route: str
    who: str
    args: Callable[[House], Sequence[Any]] = lambda house: ()
    query: Callable[[House], str] = lambda house: ""
    needs: tuple[str, ...] = NONE
    status: int = 200
    is_whole: bool = True
    kind: str = ""
    is_common: bool = False

    def address(self, house: House) -> str:
        query = self.query(house)
        return reverse(self.route, args=self.args(house)) + (f"?{query}" if query else "")

    def person(self, house: House) -> User | None:
        """Who looks at it; None for a visitor."""
        return {CUSTOMER: house.alice, NEWCOMER: house.newcomer, STAFF: house.stella}.get(self.who)


def _always(*args: Any) -> Callable[[House], Sequence[Any]]:
    return lambda house: args


# --- The dashboard -------------------------------------------------------------------------------

DASHBOARD = (
    Page("login", "app-login", VISITOR),
    Page("home", "app-home", CUSTOMER),
    Page("home-empty", "app-home", NEWCOMER),
    Page("make", "app-make", CUSTOMER),
    Page("make-visual", "app-make-visual", CUSTOMER, kind="make-visual"),
    Page(
        "make-visual-like",
        "app-make-visual",
        CUSTOMER,
        query=lambda house: f"like={house.picture.pk}",
        kind="make-visual",
    ),
    Page("make-visuals", "app-make-visuals", CUSTOMER),
    *(
        Page(f"make-{name}", "app-make-operation", CUSTOMER, _always(name), kind="make-operation", is_common=True)
        for name in BY_NAME
    ),
    Page(
        "make-operation-like",
        "app-make-operation",
        CUSTOMER,
        lambda house: [house.model.items.get().params["operation"]],
        query=lambda house: f"like={house.model.pk}",
        kind="make-operation",
        is_common=True,
    ),
    Page("make-files", "app-make-files", CUSTOMER, _always("images"), is_whole=False, is_common=True),
    Page("work", "app-work", CUSTOMER),
    Page("work-empty", "app-work", NEWCOMER),
    Page("request", "app-request", CUSTOMER, lambda house: [house.picture.pk]),
    Page("request-batch", "app-request", CUSTOMER, lambda house: [house.batch.pk]),
    Page("request-model", "app-request", CUSTOMER, lambda house: [house.model.pk]),
    Page("request-failed", "app-request", CUSTOMER, lambda house: [house.failed.pk]),
    Page("request-waiting", "app-request", CUSTOMER, lambda house: [house.waiting.pk], kind="request-waiting"),
    Page("request-running", "app-request", CUSTOMER, lambda house: [house.running.pk]),
    Page("request-place", "app-place", CUSTOMER, lambda house: [house.waiting.pk], is_whole=False),
    Page("request-held", "app-request", CUSTOMER, lambda house: [house.held.pk], kind="request-waiting"),
    Page("gallery", "app-gallery", CUSTOMER),
    Page("gallery-empty", "app-gallery", NEWCOMER),
    Page("picture", "app-picture", CUSTOMER, lambda house: [house.asset.pk]),
    Page("stories", "app-stories", CUSTOMER),
    Page("stories-empty", "app-stories", NEWCOMER),
    Page("story-new", "app-story-new", CUSTOMER),
    Page("story-like", "app-story-new", CUSTOMER, query=lambda house: f"like={house.session.session_id}"),
    Page("story", "app-story", CUSTOMER, lambda house: [house.session.session_id]),
    Page("poses", "app-poses", CUSTOMER),
    Page("poses-empty", "app-poses", NEWCOMER),
    Page("poses-new", "app-poses-new", CUSTOMER, kind="poses-new"),
    Page("poses-like", "app-poses-new", CUSTOMER, query=lambda house: f"like={house.poses.pk}", kind="poses-new"),
    Page("pose-shelf", "app-pose-shelf", CUSTOMER, is_whole=False),
    Page("generation", "app-generation", CUSTOMER, lambda house: [house.poses.pk]),
    Page("pose", "app-pose", CUSTOMER, lambda house: [house.pose.public_id]),
    Page("credits", "app-credits", CUSTOMER),
    Page("credits-empty", "app-credits", NEWCOMER),
    Page("receipt", "app-receipt", CUSTOMER, lambda house: [house.batch.pk]),
    Page("api", "app-api", CUSTOMER),
    Page("api-empty", "app-api", NEWCOMER),
    Page("missing", "app-request", CUSTOMER, lambda house: [NEVER], status=404),
)


# --- The console ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """One table in the console: a list, a page of each row and its history, and a page that asks about each verb.

    row: the one whose pages are looked at. adds: what one must be allowed to do to add a row; empty where nobody may.
    deletes: may rows be removed?
    """

    model: str
    row: Callable[[House], Any]
    adds: tuple[str, ...] = ()
    deletes: bool = False

    @property
    def name(self) -> str:
        return self.model.replace(".", "-")

    def route(self, what: str) -> str:
        return f"admin:{self.model.replace('.', '_')}_{what}"

    def pages(self) -> Iterator[Page]:
        def key(house: House) -> list[Any]:
            return [self.row(house).pk]

        name, see = self.name, (self._may("view"),)
        yield Page(f"{name}-list", self.route("changelist"), STAFF, needs=see)
        yield Page(name, self.route("change"), STAFF, key, needs=see)
        yield Page(f"{name}-history", self.route("history"), STAFF, key, needs=see, kind="history")
        if self.adds:
            yield Page(f"{name}-add", self.route("add"), STAFF, needs=tuple(map(self._may, self.adds)))
        if self.deletes:
            yield Page(f"{name}-delete", self.route("delete"), STAFF, key, needs=(self._may("delete"),), kind="delete")
        for verb in getattr(admin.site.get_model_admin(apps.get_model(self.model)), "verbs", ()):
            yield self._page_of(verb)

    def _page_of(self, verb: Verb) -> Page:
        return Page(
            f"{self.name}-{verb.name}",
            self.route("verb"),
            STAFF,
            lambda house: [verb.name],
            lambda house: f"row={self.row(house).pk}",
            needs=(verb.permission,),
            kind=f"verb with {verb.form.__name__}",
        )

    def _may(self, what: str) -> str:
        app, model = self.model.split(".")
        return f"{app}.{what}_{model}"


ROOMS = (
    Room("generation.request", lambda house: house.batch),
    Room("generation.item", lambda house: house.item),
    Room("generation.attempt", lambda house: house.attempt),
    Room("generation.event", lambda house: house.event),
    Room("generation.asset", lambda house: house.asset),
    Room("generation.storysession", lambda house: house.session),
    Room("generation.librarypose", lambda house: house.library_pose),
    Room("generation.posecategory", lambda house: house.library_pose.category),
    Room("generation.posewish", lambda house: house.wish),
    Room("generation.avatar", lambda house: house.avatar),
    Room("generation.bulk", lambda house: house.done_bulk),
    Room("generation.chore", lambda house: house.chore),
    Room("generation.auditrun", lambda house: house.audit),
    Room("credits.account", lambda house: Account.objects.get(owner=house.alice)),
    Room("credits.entry", lambda house: house.entry),
    Room("credits.price", lambda house: house.price, adds=("add",)),
    Room("providers.lane", lambda house: Lane.objects.get(name="provider_b")),
    Room("config.approval", lambda house: house.approval),
    Room("config.staffact", lambda house: house.staff_act),
    Room("config.personaltoken", lambda house: house.token),
    Room("config.user", lambda house: house.alice, adds=("add", "change")),
    Room("auth.group", lambda house: Group.objects.get(name="support"), adds=("add",), deletes=True),
)

_BELLS = "django_rq:"
_BELL_LISTS = ("jobs", "started_jobs", "failed_jobs")

CONSOLE = (
    Page("console-login", "admin:login", VISITOR),
    Page("desk", "admin:index", STAFF),
    Page("app", "admin:app_list", STAFF, lambda house: ["generation"]),
    Page("queue", "admin:generation_item_queue", STAFF, needs=("generation.view_item",)),
    Page(
        *("queue-rows", "admin:generation_item_queue", STAFF),
        query=lambda house: "part=rows",
        needs=("generation.view_item",),
        is_whole=False,
    ),
    Page("quarantine", "admin:generation_item_quarantine", STAFF, needs=("generation.view_item",)),
    Page("providers", "admin:providers_lane_providers", STAFF, needs=("providers.view_lane",)),
    Page(
        *("provider", "admin:providers_lane_provider", STAFF, lambda house: ["provider_d"]),
        needs=("providers.view_lane",),
    ),
    Page(
        *("request-story", "admin:generation_request_change", STAFF, lambda house: [house.model.pk]),
        needs=("generation.view_request",),
    ),
    Page(
        *("item-quarantined", "admin:generation_item_change", STAFF, lambda house: [house.quarantined.pk]),
        needs=("generation.view_item",),
    ),
    Page(
        *("requests-none-found", "admin:generation_request_changelist", STAFF),
        query=lambda house: "q=nothing-of-the-kind",
        needs=("generation.view_request",),
    ),
    Page("bulk-ask", "admin:generation_bulk_ask", STAFF, lambda house: [house.asked_bulk.pk]),  # only for who chose
    Page(
        *("bulk-rows", "admin:generation_bulk_change", STAFF, lambda house: [house.done_bulk.pk]),
        query=lambda house: "part=rows",
        needs=("generation.view_bulk",),
        is_whole=False,
    ),
    *(page for room in ROOMS for page in room.pages()),
    Page(
        *("config-user-password", "admin:auth_user_password_change", STAFF, lambda house: [house.alice.pk]),
        needs=("config.change_user",),
    ),
    Page("password", "admin:password_change", STAFF),
    Page("password-done", "admin:password_change_done", STAFF),
    Page("search", "admin:search", STAFF, query=lambda house: "s=alice", is_whole=False),
    Page("bells", f"{_BELLS}home", STAFF, needs=("generation.view_item",)),
    *(
        Page(f"bells-{name}", _BELLS + name, STAFF, needs=("generation.view_item",), kind="bells-list")
        for name in _BELL_LISTS
    ),
    Page("bells-workers", f"{_BELLS}workers", STAFF, needs=("generation.view_item",)),
    Page(
        *("bell", f"{_BELLS}job_detail", STAFF, lambda house: [queue.bells().job_ids[0]]),
        needs=("generation.view_item",),
    ),
    Page("console-missing", "admin:generation_request_change", STAFF, lambda house: [NEVER], status=302),
)

PAGES = (*DASHBOARD, *CONSOLE)


def one_of_each() -> list[Page]:
    """Whole pages, the first of each kind: what to look at when each template is looked at once."""
    first = {page.kind or page.name: page for page in reversed(PAGES) if page.is_whole}
    return [page for page in PAGES if page in first.values()]


# --- What is no page -----------------------------------------------------------------------------

# Route -> what it is instead.
NO_PAGE = {
    "app-logout": "a POST that leads to the sign-in",
    "app-cancel": "a POST that leads back",
    "app-credits-file": "a file",
    "app-token-make": "a POST, the API page with a new token",
    "app-token-revoke": "a POST that leads back",
    "app-client": "a file",
    "app-download": "a file",
    "app-make-visual-sum": "a POST, a part of the form",
    "app-make-visuals-sum": "a POST, a part of the form",
    "app-make-fields": "a POST, a part of the form",
    "app-make-sum": "a POST, a part of the form",
    "app-make-source": "a POST, a part of the form",
    "app-story-outline": "a POST, a part of the story's form",
    "app-story-download": "a file",
    "app-pose-sum": "a POST, a part of the poses' form",
    "app-generation-zip": "a file",
    "app-pose-export": "a POST that leads back",
    "app-pose-file": "a file",
    "admin:logout": "a POST that leads to the sign-in",
    "admin:autocomplete": "JSON",
    "admin:jsi18n": "a script",
    "jsi18n": "the same script, at the same address",
    "admin:view_on_site": "leads on; no row here has another address",
    "admin:generation_item_queue_act": "a POST that leads to bulk-ask, or asks as a verb does",
    "admin:generation_auditrun_run": "a POST that leads back",
    "admin:credits_entry_export": "a file",
}
