"""The functions that RQ calls by name."""

from __future__ import annotations

from generation.crew import crew


def answer_bell() -> None:
    """There may be work: wake a thread of this worker to look for it."""
    crew.wake()
