"""Which room answers which path. Doors bring their own paths; nothing is decided here."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.decorators.cache import cache_control

from config import health
from config.api.schema import docs_view, schema_view
from generation import files, hooks

handler400 = "config.api.handlers.bad_request"
handler403 = "config.api.handlers.permission_denied"
handler404 = "config.api.handlers.page_not_found"
handler500 = "config.api.handlers.server_error"

urlpatterns = [
    path("", health.front, name="front"),
    path("health", health.live, name="health"),
    path("health/ready", health.ready, name="ready"),
    path("metrics", health.metrics, name="metrics"),
    path("api/auth/", include("config.api.urls")),
    path("api/credits/", include("credits.urls")),
    path("", include("generation.doors.makeit3d.urls")),
    path("api/apps/", include("generation.doors.poses.urls")),
    path("api/visual-generation/", include("generation.doors.visuals.urls")),
    path("api/", include("generation.doors.stories.urls")),
    path("api/schema", schema_view, name="schema"),
    path("api/docs", docs_view, name="docs"),
    path("files/<path:key>", files.serve, name="file"),
    path("hooks/<slug:alias>/<str:token>", hooks.receive, name="hook"),
    path("app/", include("generation.dashboard.urls")),
    path("admin/queues/", include("generation.admin.bells")),
    # Every list and form asks for it before it shows anything; as Django has it, a browser keeps no copy.
    path("admin/jsi18n/", cache_control(private=True, max_age=3600)(admin.site.i18n_javascript), name="jsi18n"),
    path("admin/", admin.site.urls),
]
