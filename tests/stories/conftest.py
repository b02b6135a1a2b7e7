from __future__ import annotations

from tests.doors.makeit3d.conftest import fresh_desk as fresh_makeit3d_desk
from tests.doors.visuals.conftest import alices, bobs, fresh_desk
from tests.generation.conftest import media

__all__ = ["alices", "bobs", "fresh_desk", "fresh_makeit3d_desk", "media"]
