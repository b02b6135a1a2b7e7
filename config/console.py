"""The settings' chapter on the console: its skin, and dates as staff read them."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static

# Dates as staff read them: a day clock of 24 hours, short enough for a column.
FORMAT_MODULE_PATH = "config.formats"
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Atelier",
    "SITE_HEADER": "Atelier",
    "SITE_SUBHEADER": "The desk",
    "SITE_SYMBOL": "brush",
    "SITE_URL": "/app/",
    "SHOW_HISTORY": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("icon.svg")}],
    "ENVIRONMENT": "generation.admin.desk.badge",
    "DASHBOARD_CALLBACK": "generation.admin.desk.fill",
    "STYLES": [lambda request: static("console.css")],
    "SCRIPTS": [
        lambda request: static("theme.js"),
        lambda request: static("names.js"),
        lambda request: static("times.js"),
    ],
    "SIDEBAR": {"navigation": "generation.admin.menu.navigation"},
    # The dashboard's accent, so that both look like one house.
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 42)",
            "100": "oklch(94% .032 42)",
            "200": "oklch(88% .065 42)",
            "300": "oklch(80% .105 42)",
            "400": "oklch(71% .15 41)",
            "500": "oklch(62% .17 39)",
            "600": "oklch(53% .16 37)",
            "700": "oklch(46% .14 36)",
            "800": "oklch(39% .115 36)",
            "900": "oklch(34% .092 36)",
            "950": "oklch(23% .065 34)",
        },
    },
}
