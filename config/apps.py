from __future__ import annotations

from django.apps import AppConfig


class DeskConfig(AppConfig):
    name = "config"
    label = "config"
    verbose_name = "People"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from config.api import issuers

        issuers.check()
