"""When a lane's breaker opens. Pure: recent outcomes in, open or closed out.

Opens when at least half of at least 20 calls within a minute failed, or at once for an error that is
ours (key revoked, account empty). A success after our error, which only a probe can bring, closes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

WINDOW_S = 60
LEAST_CALLS = 20
PROBE_EVERY_S = 15


@dataclass(frozen=True)
class Recent:
    """One ended call. failed: the vendor broke; a refused input or prompt is no failure of the lane."""

    at: datetime
    failed: bool
    ours: bool = False


def verdict(outcomes: Iterable[Recent], now: datetime) -> Literal["open", "closed"]:
    return "open" if reason(outcomes, now) else "closed"


def reason(outcomes: Iterable[Recent], now: datetime) -> str:
    """Say why the breaker is open, for staff; empty when it is closed."""
    recent = sorted((one for one in outcomes if one.at > now - timedelta(seconds=WINDOW_S)), key=lambda one: one.at)
    if recent and _ours_unanswered(recent):
        return "our key or account was refused"
    failed = sum(one.failed for one in recent)
    if len(recent) >= LEAST_CALLS and failed * 2 >= len(recent):
        return f"{failed} of {len(recent)} calls failed within {WINDOW_S} s"
    return ""


def _ours_unanswered(recent: list[Recent]) -> bool:
    """Is there an error of ours that no later success has answered?"""
    for one in reversed(recent):
        if one.ours:
            return True
        if not one.failed:
            return False
    return False


def next_probe(now: datetime) -> datetime:
    return now + timedelta(seconds=PROBE_EVERY_S)
