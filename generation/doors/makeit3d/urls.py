from __future__ import annotations

from django.urls import include, path

from generation.doors.makeit3d import uploads, views
from generation.doors.makeit3d.catalogue import OPERATIONS

_VIEWS = {operation.name: views.view_of(operation) for operation in OPERATIONS}

# These stand at the root, before other doors' paths: few, and what is polled first.
urlpatterns = [
    path("tasks/<str:task_id>/status", views.StatusView.as_view(), name="makeit3d-status"),
    path("api/images", views.ImagesView.as_view(), name="makeit3d-images"),
    path("api/models", views.ModelsView.as_view(), name="makeit3d-models"),
    path("api/assets", uploads.UploadView.as_view(), name="makeit3d-assets"),
    path("generate/", include([path(name, view.as_view(), name=f"makeit3d-{name}") for name, view in _VIEWS.items()])),
    # The source system's public documents had this prefix, its code the other.
    path("generation/", include([path(name, view.as_view(schema=None)) for name, view in _VIEWS.items()])),
]
