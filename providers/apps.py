from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class ProvidersConfig(AppConfig):
    name = "providers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from providers import secrets
        from providers.checks import malformed_secrets, missing_keys

        checks.register(missing_keys)
        checks.register(malformed_secrets)
        secrets.read_ahead()
