"""Django's own error pages, for calls that never reached a view of the API: JSON for API callers, pages for people."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from config.api import errors
from config.api.errors import CONTENT_TYPE, Problem

P = ParamSpec("P")


def problem_response(request: HttpRequest, problem: Problem) -> JsonResponse:
    """The problem as a plain Django response, for views and middleware that are not DRF's."""
    response = JsonResponse(
        problem.body(request.path), status=problem.status, headers=problem.headers, content_type=CONTENT_TYPE
    )
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def read_only(view: Callable[Concatenate[HttpRequest, P], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Refuse every method but GET and HEAD, in the API's shape. Nothing is written, so no form's token is asked for."""

    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD"):
            message = f'Method "{request.method}" not allowed.'
            return problem_response(
                request, Problem(405, "METHOD_NOT_ALLOWED", message, headers={"Allow": "GET, HEAD"})
            )
        return view(request, *args, **kwargs)

    return guarded


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if errors.is_api(request):
        return problem_response(request, Problem(400, "BAD_REQUEST", "The call cannot be read."))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if errors.is_api(request):
        return problem_response(request, errors.read(exception))
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if errors.is_api(request):
        return problem_response(request, Problem(404, "NOT_FOUND", "Not found."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Called while the exception is being handled: a service that is away is no bug, also on a page."""
    problem = errors.read(sys.exc_info()[1] or Exception())
    if errors.is_api(request):
        return problem_response(request, problem)
    response = defaults.server_error(request)
    if problem.status == 503:
        response.status_code = problem.status
        response.headers["Retry-After"] = problem.headers["Retry-After"]
    return response
