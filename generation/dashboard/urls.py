from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import include, path

from generation.dashboard import make, pose, poses, stories, views

urlpatterns = [
    path("", views.home, name="app-home"),
    path("login", views.LoginView.as_view(), name="app-login"),
    path("logout", LogoutView.as_view(), name="app-logout"),
    path("make", make.make, name="app-make"),
    path("make/visual", make.visual, name="app-make-visual"),
    path("make/visual/sum", make.visual_sum, name="app-make-visual-sum"),
    path("make/visuals", make.visuals, name="app-make-visuals"),
    path("make/visuals/sum", make.visuals_sum, name="app-make-visuals-sum"),
    path("make/files/<slug:kind>", make.older_sources, name="app-make-files"),
    path("make/<slug:name>", make.operation, name="app-make-operation"),
    path("make/<slug:name>/fields", make.fields, name="app-make-fields"),
    path("make/<slug:name>/sum", make.total, name="app-make-sum"),
    path("make/<slug:name>/files/<str:place>", make.source, name="app-make-source"),
    path("work", views.work, name="app-work"),
    path("work/<uuid:request_id>", views.one_request, name="app-request"),
    path("work/<uuid:request_id>/cancel", views.cancel, name="app-cancel"),
    path("work/<uuid:request_id>/place", views.place, name="app-place"),
    path("gallery", views.gallery, name="app-gallery"),
    path("pictures/<uuid:asset_id>", views.picture, name="app-picture"),
    path("pictures/<uuid:asset_id>/download", views.download, name="app-download"),
    path("stories", stories.stories, name="app-stories"),
    path("stories/new", stories.new, name="app-story-new"),
    path("stories/outline", stories.outline, name="app-story-outline"),
    path("story/<str:session_id>", stories.story, name="app-story"),
    path("story/<str:session_id>/pictures.zip", stories.download, name="app-story-download"),
    path("poses", poses.generations, name="app-poses"),
    path("poses/new", poses.new, name="app-poses-new"),
    path("poses/shelf", poses.shelf, name="app-pose-shelf"),
    path("poses/sum", poses.total, name="app-pose-sum"),
    path("poses/<uuid:generation_id>", poses.generation, name="app-generation"),
    path("poses/<uuid:generation_id>/poses.zip", poses.archive, name="app-generation-zip"),
    path("pose/<uuid:pose_id>", pose.pose, name="app-pose"),
    path("pose/<uuid:pose_id>/export", pose.export, name="app-pose-export"),
    path("pose/<uuid:pose_id>/files/<str:name>", pose.download, name="app-pose-file"),
    path("", include("generation.dashboard.account_urls")),
]
