from __future__ import annotations

from django.urls import path

from credits.views import BalanceView, HistoryView, PricesView

urlpatterns = [
    path("balance", BalanceView.as_view(), name="credits-balance"),
    path("history", HistoryView.as_view(), name="credits-history"),
    path("prices", PricesView.as_view(), name="credits-prices"),
]
