"""The people of every test, and the database they live in.

Ask for `alice`, `bob`, `stella` or `sam`, or make more with `make_customer(name, credits)`. A test
that needs commits, threads or a live server is marked `@pytest.mark.django_db(transaction=True)` and
leaves the tables clean by itself (`tests.db`); every other one rolls back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import override_settings
from xdist.scheduler import LoadScopeScheduling

from config.models import User
from credits import ledger
from tests.db import django_db_setup as django_db_setup

# Here alone: imported anywhere else they would be other fixtures, with a simulator of their own.
from tests.simulator import simulator as simulator
from tests.simulator import simulator_server as simulator_server

MakeCustomer = Callable[..., User]


class Rooms(LoadScopeScheduling):  # type: ignore[misc]
    """Deals whole files out to the processes of a run; those of `tests/site` go together, for they share a house."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/site" if file.startswith("tests/site/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Rooms:
    return Rooms(config, log)


@pytest.fixture(scope="session", autouse=True)
def swift_settings() -> Iterator[None]:
    """Cheap passwords, static files found where they lie, and as many calls a second to each vendor as one likes."""
    with override_settings(
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        WHITENOISE_AUTOREFRESH=True,
        RECRAFT={**settings.RECRAFT, "WINDOW": ()},
    ):
        yield


@pytest.fixture
def make_customer(db: None) -> MakeCustomer:
    """Make a person whose password is their name, with a balance of exactly so many credits."""

    def make(name: str, credits: int = 0, **fields: bool) -> User:
        with transaction.atomic():
            user = User.objects.create_user(username=name, password=name, **fields)
            ledger.open_account(user, signup_grant=False)
            if credits:
                ledger.grant(user.pk, credits, reference=f"test:{user.pk}", description="Credits to begin with")
        return user

    return make


@pytest.fixture
def alice(make_customer: MakeCustomer) -> User:
    """Owns what the test is about, and has 100 credits."""
    return make_customer("alice", 100)


@pytest.fixture
def bob(make_customer: MakeCustomer) -> User:
    """Another customer, with 100 credits."""
    return make_customer("bob", 100)


@pytest.fixture
def stella(make_customer: MakeCustomer) -> User:
    """Staff who may do everything."""
    return make_customer("stella", is_staff=True, is_superuser=True)


@pytest.fixture
def sam(make_customer: MakeCustomer) -> User:
    """Staff who may do nothing yet."""
    return make_customer("sam", is_staff=True)
