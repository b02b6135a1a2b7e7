"""The bells in Redis, as django-rq's own pages show them, in the console's look: `templates/django_rq`.

Only what looks is mounted. A bell carries no work, so there is nothing to mend by hand: whoever empties, repeats or
stops something here would do so without permission, reason and trail, and the queue in PostgreSQL would not notice.
There is one queue, so no address names another; bells are neither kept when they have rung nor put off.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django_rq import stats_views, views
from redis.exceptions import RedisError

VIEW = "generation.view_item"

app_name = "django_rq"


def _page(address: str, view: Callable[..., HttpResponse], name: str, **known: Any) -> URLPattern:
    @wraps(view)
    def page(request: HttpRequest, **named: Any) -> HttpResponse:
        if not request.user.has_perm(VIEW):
            raise PermissionDenied
        try:
            return view(request, **named)
        except RedisError:
            return render(request, "django_rq/unheard.html", admin.site.each_context(request), status=503)

    return path(address, admin.site.admin_view(page), known, name)


urlpatterns = [
    _page("", stats_views.stats, "home"),
    _page("jobs/", views.jobs, "jobs", queue_index=0),
    _page("started/", views.started_jobs, "started_jobs", queue_index=0),
    _page("failed/", views.failed_jobs, "failed_jobs", queue_index=0),
    _page("workers/", views.workers, "workers", queue_index=0),
    _page("jobs/<slug:job_id>/", views.job_detail, "job_detail", queue_index=0),
]
