"""HTTP as WSGI: for a WSGI server at scale, and inside `config.asgi` on one machine."""

from __future__ import annotations

import os
import sys

from django.core.wsgi import get_wsgi_application

from config import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

try:
    application = get_wsgi_application()
except env.SettingError as error:
    sys.exit(f"atelier: {error}")
