"""The functions that RQ calls by name."""

from __future__ import annotations

from generation import worker


def answer_bell() -> None:
    """There may be work: wake a thread of this worker to look for it."""
    worker.crew.wake()
