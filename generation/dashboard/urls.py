from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from generation.dashboard import poses, stories, views

urlpatterns = [
    path("", views.home, name="app-home"),
    path("login", views.LoginView.as_view(), name="app-login"),
    path("logout", LogoutView.as_view(), name="app-logout"),
    path("make", views.make, name="app-make"),
    path("running", views.running, name="app-running"),
    path("work", views.work, name="app-work"),
    path("work/<uuid:request_id>", views.one_request, name="app-request"),
    path("work/<uuid:request_id>/cancel", views.cancel, name="app-cancel"),
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
    path("pose/<uuid:pose_id>", poses.pose, name="app-pose"),
    path("pose/<uuid:pose_id>/export", poses.export, name="app-pose-export"),
    path("pose/<uuid:pose_id>/files/<str:name>", poses.download, name="app-pose-file"),
    path("credits", views.credits, name="app-credits"),
]
