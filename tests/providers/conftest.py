from __future__ import annotations

from tests.simulator import simulator, simulator_server

__all__ = ["simulator", "simulator_server"]
