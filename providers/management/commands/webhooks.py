"""Print the address that each vendor's webhooks go to, for who registers it with the vendor."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from providers import registry, webhooks
from providers.base import Provider


class Command(BaseCommand):
    help = "Print the address that each vendor's webhooks go to. Needs PUBLIC_URL."

    def handle(self, *args: Any, **options: Any) -> None:
        if not webhooks.address(""):
            raise CommandError("Set PUBLIC_URL: vendors cannot reach a desk without a public address.")
        for vendor in registry.VENDORS:
            if vendor.adapter and type(registry.adapter(vendor.alias)).verify_webhook is not Provider.verify_webhook:
                self.stdout.write(f"{vendor.alias}  {vendor.names[0]:14s} {webhooks.address(vendor.alias)}")
