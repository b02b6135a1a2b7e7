from __future__ import annotations

from collections.abc import Iterator

import pytest

from generation.live import pulse
from tests.generation.conftest import media

__all__ = ["media"]


@pytest.fixture(autouse=True)
def fresh_figures() -> Iterator[None]:
    """Let no test see figures that another one read."""
    pulse.forget()
    yield
    pulse.forget()
