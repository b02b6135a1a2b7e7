"""The pace of questions about parked calls: as seldom as their vendor likes, and once when such calls usually end.

Each process learns from the calls that it fetched how long their kind takes, and forgets it with its end: only a help.
"""

from __future__ import annotations

from collections import deque

from providers.base import Pending

# How many of a kind are remembered. The quickest but one is what is usual: a slow hour is soon forgotten, and a single
# answer out of a vendor's cache says nothing.
REMEMBERED = 8
# A call is first asked about a little before it usually ends, and again after these shares of its age: while that is
# unknown, and when it should have ended.
EARLY, UNKNOWN, DUE = 0.95, 0.25, 0.1

# Whose model does what: provider, operation, model.
Kind = tuple[str, str, str]

_took: dict[Kind, deque[float]] = {}


def learn(kind: Kind, took_s: float) -> None:
    """A call of this kind was found ended after so long."""
    _took.setdefault(kind, deque(maxlen=REMEMBERED)).append(took_s)


def usual_s(kind: Kind) -> float | None:
    """How long calls of this kind take; None when nobody knows yet."""
    found = _took.get(kind)
    return sorted(found)[:2][-1] if found else None


def next_s(kind: Kind, age_s: float, pending: Pending) -> float:
    """In how many seconds to ask about a call of that age again."""
    if pending.soonest_s is None:
        return pending.poll_after_s
    usual = usual_s(kind)
    wait_s = UNKNOWN * age_s if usual is None else max(usual * EARLY - age_s, DUE * age_s)
    return min(pending.poll_after_s, max(pending.soonest_s, wait_s))
