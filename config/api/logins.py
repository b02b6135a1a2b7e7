"""Failed logins are limited per address, at every door that asks for a password: API, dashboard, admin.

A login takes its place in the window before the password is tried, and gives it back when it was right:
looking only afterwards would let a guesser go on guessing and only hide the wrong answers.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from config.api import addresses, refusals
from config.models import User


class LimitedBackend(ModelBackend):
    """Django's own password check behind the window. Forms see a refusal as wrong credentials.

    Sets `request.login_retry_after_s` when the window refused, for a caller that can say more.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if request is None or username is None or password is None:
            return super().authenticate(request, username=username, password=password, **kwargs)
        failed, address = refusals.logins(), addresses.network(addresses.of_request(request))
        window = failed.hit(address)
        if window.retry_after_s is not None:
            request.login_retry_after_s = window.retry_after_s  # type: ignore[attr-defined]
            raise PermissionDenied
        was_wrong = False
        try:
            user = super().authenticate(request, username=username, password=password, **kwargs)
            was_wrong = user is None
        finally:
            # Also when the database was away: that was nobody's guess.
            if not was_wrong:
                failed.give_back(address, window.mark)
        return user
