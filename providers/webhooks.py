"""Where vendors send their webhooks: an address per alias, with a token that only the desk can have made.

The token keeps strangers from finding the address; what makes a webhook believed is the vendor's own signature,
which its adapter checks (`Provider.verify_webhook`).
"""

from __future__ import annotations

import time

from django.conf import settings
from django.core.signing import BadSignature, Signer

SALT = "atelier.hooks"
# How far the time of a signature may be off: an old one could be a recording.
TOLERANCE_S = 300


def token(alias: str) -> str:
    """The token of an alias. It changes with SECRET_KEY, and with nothing else."""
    return Signer(salt=SALT).signature(alias)


def is_token(alias: str, given: str) -> bool:
    try:
        return Signer(salt=SALT).unsign(f"{alias}:{given}") == alias
    except BadSignature:
        return False


def address(alias: str) -> str:
    """The URL to tell the vendor; empty while PUBLIC_URL is not set, because nobody outside knows us then."""
    return f"{settings.PUBLIC_URL}/hooks/{alias}/{token(alias)}" if settings.PUBLIC_URL else ""


def is_recent(at: str) -> bool:
    """Was this signed, at `at` in unix seconds, not long ago?"""
    return at.isascii() and at.isdigit() and len(at) < 16 and abs(time.time() - int(at)) <= TOLERANCE_S
