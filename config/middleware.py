"""The middleware of libraries, spared where it does nothing: an API call has no session, no messages and no htmx.

Each of them is cheap, and all of them together cost an API call more than its view does beside the database.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from csp.constants import HEADER
from csp.utils import build_policy
from django.conf import settings
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.middleware import common
from django_htmx import middleware as htmx

# Where doors answer; a test holds it to the routes.
API = ("/api/", "/generate/", "/generation/", "/tasks/")


class _ForPages:
    """Mixin: leaves API calls alone. They are authenticated by their token and nothing else."""

    get_response: Callable[[HttpRequest], Any]

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(API):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class SessionMiddleware(_ForPages, sessions.SessionMiddleware):
    pass


class AuthenticationMiddleware(_ForPages, auth.AuthenticationMiddleware):
    pass


class MessageMiddleware(_ForPages, messages.MessageMiddleware):
    pass


class HtmxMiddleware(_ForPages, htmx.HtmxMiddleware):
    pass


class CommonMiddleware(common.CommonMiddleware):
    """Django's own, but that `/health` answers to every name: platforms and probes ask by names of their own."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path_info == "/health" else super().process_request(request)


class CSPMiddleware:
    """The policy of the settings on every answer but under the excluded paths.

    The library's own middleware spells the policy anew for each answer, because a view could ask for another:
    none of ours does.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path_info.startswith(tuple(settings.CONTENT_SECURITY_POLICY["EXCLUDE_URL_PREFIXES"])):
            response.headers.setdefault(HEADER, _policy())
        return response


@cache
def _policy() -> str:
    directives: Any = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    return build_policy(directives)
