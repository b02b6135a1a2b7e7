from __future__ import annotations

from typing import Any

import pytest

from config.models import User
from generation.models import LibraryPose
from tests.doors.poses.desk import Customer, make_pose
from tests.doors.stories.conftest import media

__all__ = ["media"]


@pytest.fixture
def alices(alice: User) -> Customer:
    """Alice at the API, with 100 credits."""
    return Customer(alice)


@pytest.fixture
def bobs(bob: User) -> Customer:
    """Bob at the API, with 100 credits."""
    return Customer(bob)


@pytest.fixture
def richs(make_customer: Any) -> Customer:
    """Somebody with 1,000 credits."""
    return Customer(make_customer("rich", 1000))


@pytest.fixture
def stellas(stella: User) -> Customer:
    """Stella, of the staff, at the API."""
    return Customer(stella)


@pytest.fixture
def three_poses(db: None) -> list[LibraryPose]:
    return [make_pose(name) for name in ("Arms folded", "Hand on hip", "Walking")]
