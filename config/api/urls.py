from __future__ import annotations

from django.urls import path

from config.api.tokens import RefreshView, TokenView

urlpatterns = [
    path("token", TokenView.as_view(), name="token"),
    path("token/refresh", RefreshView.as_view(), name="token-refresh"),
]
