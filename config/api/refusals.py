"""How often an address may be refused: wrong logins and bad tokens, each in a window of its own.

Two windows, because an app that polls with an expired token must not keep its person from logging in.
"""

from __future__ import annotations

from django.conf import settings

from config.api.addresses import network
from config.api.throttle import SlidingWindow, Window


def count(address: str) -> Window:
    """Count one refused token. A `retry_after_s` in the answer says that the address is beyond its limit."""
    return SlidingWindow("refused", settings.REFUSED_TOKEN_LIMIT, settings.LOGIN_WINDOW_S).hit(network(address))


def logins() -> SlidingWindow:
    """The window of failed logins. A login takes its place before the password is tried, and gives it back."""
    return SlidingWindow("login", settings.LOGIN_LIMIT, settings.LOGIN_WINDOW_S)
