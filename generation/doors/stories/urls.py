from __future__ import annotations

from django.urls import path

from generation.doors.stories import views

urlpatterns = [
    path("process-story-segments", views.ProcessView.as_view(), name="story-process"),
    path("story-sessions/<str:session_id>", views.SessionView.as_view(), name="story-session"),
    path("story-sessions/<str:session_id>/files/<str:name>", views.FileView.as_view(), name="story-file"),
]
