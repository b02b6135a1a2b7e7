from __future__ import annotations

from django.urls import path

from generation.doors.visuals import views

urlpatterns = [
    path("submit", views.SubmitView.as_view(), name="visual-submit"),
    path("batch", views.BatchView.as_view(), name="visual-batch"),
    path("status/<str:request_id>", views.StatusView.as_view(), name="visual-status"),
    path("batch/<str:batch_id>", views.BatchStatusView.as_view(), name="visual-batch-status"),
    path("cancel/<str:request_id>", views.CancelView.as_view(), name="visual-cancel"),
    path("queue/status", views.QueueStatusView.as_view(), name="visual-queue-status"),
]
