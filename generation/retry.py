"""Attempts -> when to try again. Pure: takes a policy, an error's class and a count, returns a decision.

The error's class decides, never its text, with one exception that a door may ask for: the text rule of
the visual-generation contract, for an error that no adapter classified.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from generation.plan import RetryPolicy
from providers.errors import ProviderError

# An unknown exception is a bug of ours, a broken picture a bug of theirs: one more try, then fail and refund.
MAX_STARTS_OF_ONCE = 2
# The third paid call of an item whose answer is gone fails it and puts it in quarantine.
MAX_LOSSES = 3

RETRY_AFTER_FLOOR_S, RETRY_AFTER_CEILING_S = 1.0, 300.0

# Words of the text rule; the last one is the original system's own addition to the seed's five.
PASSING_WORDS = ("rate limit", "timeout", "network", "temporary", "service unavailable", "internal server error")


class Verdict(Enum):
    NEXT_CANDIDATE = "next candidate"  # this one cannot; costs no start
    WAIT = "wait"  # no room at the vendor; costs no start
    RETRY = "retry"
    NEXT_PASS = "next pass"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class Decision:
    """moves_on: the try that follows is the next candidate's."""

    verdict: Verdict
    wait_s: float = 0.0
    moves_on: bool = False


@dataclass(frozen=True)
class Tries:
    """How often a step was tried.

    starts: counted tries of this step and pass, this one included. waits: how often the vendor had no room in this
    pass before; most_waits: with this one so often, and it counts as a failure, None: never. failures_in_a_row: on
    this candidate, this one included. passes: those that ended before; passes_left: how many may follow, None where
    a failure ends no pass.
    """

    starts: int
    waits: int = 0
    most_waits: int | None = None
    failures_in_a_row: int = 0
    passes: int = 0
    passes_left: int | None = None


def decide(policy: RetryPolicy, error: ProviderError, tries: Tries, *, has_next_candidate: bool = False) -> Decision:
    """Decide what follows an error."""
    if (error.cannot or error.ours) and has_next_candidate:
        return Decision(Verdict.NEXT_CANDIDATE)
    if is_wait(error) and (tries.most_waits is None or tries.waits + 1 < tries.most_waits):
        return Decision(Verdict.WAIT, _wait_s(policy, error, tries.waits))
    if error.ours:
        # Our key or our account: the lane closes, and the item waits in it for staff or for the probe.
        return Decision(Verdict.WAIT, 0.0)
    after = policy.next_candidate_after
    moves_on = has_next_candidate and after is not None and tries.failures_in_a_row >= after
    if may_retry(policy, error, tries.starts):
        return Decision(Verdict.RETRY, _wait_s(policy, error, tries.starts - 1), moves_on)
    if tries.passes_left and may_ever_work(policy, error):
        return Decision(Verdict.NEXT_PASS, _wait_s(policy, error, tries.passes), moves_on)
    return Decision(Verdict.GIVE_UP)


def is_wait(error: ProviderError) -> bool:
    """Had the vendor no room? That costs no start and blames nobody."""
    return not error.costs_start and not error.ours


def may_retry(policy: RetryPolicy, error: ProviderError, starts: int) -> bool:
    """Say whether the policy has another start for this error."""
    if starts >= policy.max_starts or not may_ever_work(policy, error):
        return False
    return is_retryable(policy, error) or starts < MAX_STARTS_OF_ONCE


def may_ever_work(policy: RetryPolicy, error: ProviderError) -> bool:
    """Say whether another try may end otherwise, be it only one."""
    return is_retryable(policy, error) or error.retry_once or (error.unclassified and not policy.text_rule)


def is_retryable(policy: RetryPolicy, error: ProviderError) -> bool:
    """Say whether the same call may succeed later; this is what a customer is told."""
    if error.unclassified and policy.text_rule:
        return any(word in f"{error} {error.detail}".lower() for word in PASSING_WORDS)
    return error.retryable


def pause_s(policy: RetryPolicy, doublings: int, code: str = "") -> float:
    """Full jitter: uniform(0, min(cap, base * 2^doublings))."""
    base_s, cap_s = policy.by_code.get(code, policy.base_s), policy.cap_by_code.get(code, policy.cap_s)
    return random.uniform(0, min(cap_s, base_s * 2 ** min(doublings, 30)))


def _wait_s(policy: RetryPolicy, error: ProviderError, doublings: int) -> float:
    """A pause, never below what the vendor asked for."""
    status = f"HTTP_{error.http_status}"
    jitter_s = pause_s(policy, doublings, status if status in policy.by_code else error.code)
    if error.retry_after_s is None:
        return jitter_s
    return max(jitter_s, min(max(error.retry_after_s, RETRY_AFTER_FLOOR_S), RETRY_AFTER_CEILING_S))
