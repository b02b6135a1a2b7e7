"""What `manage.py check` says about providers: keys that are missing, secrets that cannot be right."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from providers import registry, secrets


def missing_keys(**kwargs: Any) -> list[CheckMessage]:
    """In real mode a provider without its key is off: say so once, by the variable's name."""
    if settings.PROVIDERS_MODE != "real":
        return []
    names = [vendor.names[0] for vendor in registry.VENDORS if vendor.adapter and not vendor.key]
    return [
        Warning(
            f"{trouble}, so this provider is off",
            hint="Set the key, or PROVIDERS_MODE=simulated to work without vendors.",
            id="providers.W001",
        )
        for trouble in filter(None, map(_trouble, names))
    ]


def malformed_secrets(**kwargs: Any) -> list[CheckMessage]:
    """A secret that no webhook can have been signed with: each would be refused, and nobody would know why."""
    adapters = [registry.adapter(vendor.alias) for vendor in registry.VENDORS if vendor.adapter and not vendor.key]
    return [
        Error(
            f"{secrets.source_of(f'{adapter.name}-webhook')} {fault}",
            hint="Copy it from the vendor's page on webhooks, or leave it out: parked calls are then only asked about.",
            id="providers.E001",
        )
        for adapter in adapters
        if (fault := adapter.webhook_secret_fault())
    ]


def _trouble(name: str) -> str:
    try:
        secrets.key(name)
    except secrets.MissingKey as error:
        return str(error)
    return ""
