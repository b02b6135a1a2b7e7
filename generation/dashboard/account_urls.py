from __future__ import annotations

from django.urls import path

from generation.dashboard import account

urlpatterns = [
    path("credits", account.credits, name="app-credits"),
    path("credits.csv", account.credits_file, name="app-credits-file"),
    path("receipts/<uuid:request_id>", account.receipt, name="app-receipt"),
    path("api", account.api, name="app-api"),
    path("api/tokens", account.make_token, name="app-token-make"),
    path("api/tokens/<int:token_id>/revoke", account.revoke_token, name="app-token-revoke"),
    path("api/clients/<str:name>", account.client_file, name="app-client"),
]
