"""What `manage.py check` says about providers: keys that are missing."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning

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


def _trouble(name: str) -> str:
    try:
        secrets.key(name)
    except secrets.MissingKey as error:
        return str(error)
    return ""
