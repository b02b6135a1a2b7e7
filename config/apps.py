from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from config.env import SettingError

# The settings that name providers, in the order in which they are tried.
ORDERS = (
    "VISUAL_PROVIDER_ORDER",
    "POSE_PROVIDER_ORDER",
    "POSE_TEXT_PROVIDER_ORDER",
    "POSE_CUT_OUT_PROVIDER_ORDER",
    "POSE_SEAM_PROVIDER_ORDER",
)


class DeskConfig(AppConfig):
    name = "config"
    label = "config"
    verbose_name = "People"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Refuse settings whose meaning only the rooms know that read them. Raises SettingError."""
        from config.api import issuers
        from generation.claim import Only
        from generation.doors.makeit3d.catalogue import BY_NAME
        from providers import registry

        issuers.check()
        for order in ORDERS:
            for name in getattr(settings, order):
                if registry.alias_of(name) is None:
                    raise SettingError(f"{order} names '{name}', which is no provider")
        for name in settings.MAKEIT3D_PER_MINUTE:
            if name not in BY_NAME:
                raise SettingError(f"MAKEIT3D_PER_MINUTE names '{name}', which is no operation")
        try:
            Only.parse(settings.WORKER_ONLY)
        except ValueError as error:
            raise SettingError(f"WORKER_ONLY: {error}") from None
