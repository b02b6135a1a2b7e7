from __future__ import annotations

from tests.doors.visuals.conftest import alices, bobs, fresh_desk, simulator, simulator_server

__all__ = ["alices", "bobs", "fresh_desk", "simulator", "simulator_server"]
