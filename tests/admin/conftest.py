from __future__ import annotations

from tests.generation.conftest import media

__all__ = ["media"]
