"""When to try again: pure, so no database, no clock, no vendor."""

from __future__ import annotations

import pytest

from generation import retry
from generation.plan import RetryPolicy, StepPlan
from generation.retry import Tries, Verdict, decide
from providers.errors import (
    AnswerLost,
    BadAnswer,
    ContentRejected,
    ModelGone,
    NetworkError,
    OurAccountEmpty,
    OurKeyRefused,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    Unavailable,
)

POLICY = RetryPolicy(max_starts=3, base_s=10, cap_s=300)


def unclassified(text: str, detail: str = "") -> ProviderError:
    return ProviderError("UNKNOWN_ERROR", text, retryable=False, unclassified=True, detail=detail)


# error, start number, another candidate?, verdict
ROWS = [
    (Unavailable(), 1, False, Verdict.RETRY),
    (Unavailable(), 2, False, Verdict.RETRY),
    (Unavailable(), 3, False, Verdict.GIVE_UP),  # the third start was the last
    (Unavailable(), 1, True, Verdict.RETRY),  # a passing fault is no reason to leave a vendor
    (ProviderTimeout(), 2, True, Verdict.RETRY),
    (NetworkError(), 3, True, Verdict.GIVE_UP),
    (AnswerLost(), 1, False, Verdict.RETRY),  # losses are counted by the engine
    (Refused(), 1, True, Verdict.GIVE_UP),
    (ContentRejected(), 1, True, Verdict.GIVE_UP),  # nobody is asked to make what another refused
    (BadAnswer(), 1, False, Verdict.RETRY),  # once
    (BadAnswer(), 2, False, Verdict.GIVE_UP),
    (RateLimited(), 1, False, Verdict.WAIT),
    (RateLimited(), 99, True, Verdict.WAIT),  # no room is no start
    (ModelGone(), 1, True, Verdict.NEXT_CANDIDATE),
    (ModelGone(), 3, True, Verdict.NEXT_CANDIDATE),  # moving on is no start
    (ModelGone(), 1, False, Verdict.GIVE_UP),
    (OurKeyRefused(), 1, True, Verdict.NEXT_CANDIDATE),
    (OurKeyRefused(), 9, False, Verdict.WAIT),  # for staff, or the probe
    (OurAccountEmpty(), 1, False, Verdict.WAIT),
    (unclassified("boom"), 1, False, Verdict.RETRY),  # a bug of ours: once
    (unclassified("boom"), 2, False, Verdict.GIVE_UP),
]


@pytest.mark.parametrize(("error", "starts", "has_next", "verdict"), ROWS)
def test_the_class_of_an_error_decides(error: ProviderError, starts: int, has_next: bool, verdict: Verdict) -> None:
    assert decide(POLICY, error, Tries(starts), has_next_candidate=has_next).verdict is verdict


@pytest.mark.parametrize("most", [1, 2, 10])
def test_a_policy_says_how_many_starts(most: int) -> None:
    policy = RetryPolicy(max_starts=most)
    verdicts = [decide(policy, Unavailable(), Tries(start)).verdict for start in range(1, most + 1)]
    assert verdicts == [Verdict.RETRY] * (most - 1) + [Verdict.GIVE_UP]
    assert decide(policy, BadAnswer(), Tries(1)).verdict is (Verdict.GIVE_UP if most == 1 else Verdict.RETRY)


@pytest.mark.parametrize(("starts", "most_s"), [(1, 10), (2, 20), (3, 40), (5, 160), (6, 300), (40, 300)])
def test_waits_are_drawn_from_the_whole_range_up_to_the_doubled_base_or_the_cap(starts: int, most_s: float) -> None:
    policy = RetryPolicy(max_starts=100, base_s=10, cap_s=300)
    waits = [decide(policy, Unavailable(), Tries(starts)).wait_s for _ in range(2000)]
    assert min(waits) >= 0
    assert max(waits) <= most_s
    assert min(waits) < most_s * 0.05, "full jitter begins at zero"
    assert max(waits) > most_s * 0.95


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"),
    [(7, 7, 10), (0.2, 1, 10), (9_999, 300, 300), (-5, 1, 10), (60, 60, 60)],
)
def test_a_wait_is_never_shorter_than_the_vendor_asked_within_reason(
    asked_s: float, least_s: float, most_s: float
) -> None:
    for error in (Unavailable(retry_after_s=asked_s), RateLimited(retry_after_s=asked_s)):
        waits = [decide(POLICY, error, Tries(1)).wait_s for _ in range(300)]
        assert min(waits) >= least_s
        assert max(waits) <= most_s


def test_waits_for_room_grow_with_the_number_of_waits() -> None:
    waits = [decide(POLICY, RateLimited(), Tries(1, waits=4)).wait_s for _ in range(500)]
    assert 100 < max(waits) <= 160


def test_a_code_may_have_a_base_of_its_own() -> None:
    policy = RetryPolicy(base_s=10, by_code={"TIMEOUT": 60})
    assert max(decide(policy, ProviderTimeout(), Tries(1)).wait_s for _ in range(300)) > 30
    assert max(decide(policy, Unavailable(), Tries(1)).wait_s for _ in range(300)) <= 10


def test_a_status_may_have_a_base_of_its_own_that_comes_first() -> None:
    policy = RetryPolicy(base_s=10, by_code={"HTTP_503": 60, "SERVICE_UNAVAILABLE": 1})
    assert max(decide(policy, Unavailable(http_status=503), Tries(1)).wait_s for _ in range(300)) > 30
    assert max(decide(policy, Unavailable(http_status=500), Tries(1)).wait_s for _ in range(300)) <= 1


def test_a_code_may_have_a_cap_of_its_own() -> None:
    policy = RetryPolicy(base_s=10, cap_s=15, by_code={"RATE_LIMITED": 5}, cap_by_code={"RATE_LIMITED": 60})
    assert max(decide(policy, RateLimited(), Tries(1, waits=6)).wait_s for _ in range(300)) > 40
    assert max(decide(policy, Unavailable(), Tries(1, passes=6)).wait_s for _ in range(300)) <= 15


# error, tries, verdict, whether the next candidate makes it, under a policy that moves on after two failures
COUNTED = [
    (Unavailable(), Tries(1, failures_in_a_row=1), Verdict.RETRY, False),
    (Unavailable(), Tries(2, failures_in_a_row=2), Verdict.RETRY, True),
    (Unavailable(), Tries(3, failures_in_a_row=3), Verdict.GIVE_UP, False),
    (Unavailable(), Tries(3, passes_left=1, failures_in_a_row=1), Verdict.NEXT_PASS, False),
    (Unavailable(), Tries(3, passes_left=1, failures_in_a_row=2), Verdict.NEXT_PASS, True),
    (Unavailable(), Tries(3, passes_left=0, failures_in_a_row=2), Verdict.GIVE_UP, False),
    (BadAnswer(), Tries(2, passes_left=1), Verdict.NEXT_PASS, False),  # its one more try was had
    (Refused(), Tries(1, passes_left=4), Verdict.GIVE_UP, False),  # will not be taken in another pass either
    (ContentRejected(), Tries(1, passes_left=4), Verdict.GIVE_UP, False),
    (RateLimited(), Tries(3, waits=3, most_waits=5, passes_left=1), Verdict.WAIT, False),
    (RateLimited(), Tries(3, waits=4, most_waits=5, passes_left=1), Verdict.NEXT_PASS, False),
    (RateLimited(), Tries(1, waits=4, most_waits=5), Verdict.RETRY, False),
    (RateLimited(), Tries(3, waits=4, most_waits=5, passes_left=0), Verdict.GIVE_UP, False),
    (RateLimited(), Tries(3, waits=99), Verdict.WAIT, False),
    (OurKeyRefused(), Tries(3, most_waits=1, passes_left=0), Verdict.NEXT_CANDIDATE, False),
]


@pytest.mark.parametrize(("error", "tries", "verdict", "moves_on"), COUNTED)
def test_failures_end_passes_and_lead_to_another_candidate(
    error: ProviderError, tries: Tries, verdict: Verdict, moves_on: bool
) -> None:
    policy = RetryPolicy(max_starts=3, next_candidate_after=2)
    decision = decide(policy, error, tries, has_next_candidate=True)
    assert (decision.verdict, decision.moves_on) == (verdict, moves_on)
    assert not decide(policy, error, tries).moves_on, "there is nobody to move on to"
    assert not decide(RetryPolicy(), error, tries, has_next_candidate=True).moves_on


@pytest.mark.parametrize(
    ("text", "detail", "passes"),
    [
        ("Rate Limit exceeded", "", True),
        ("request TIMEOUT", "", True),
        ("Network unreachable", "", True),
        ("temporary failure", "", True),
        ("Service Unavailable", "", True),
        ("failed", "KeyError: internal server error", True),  # the detail counts as well
        ("bad prompt", "", False),
        ("", "", False),
    ],
)
def test_the_text_rule_judges_what_no_adapter_classified(text: str, detail: str, passes: bool) -> None:
    by_text = RetryPolicy(max_starts=3, text_rule=True)
    error = unclassified(text, detail)
    assert retry.is_retryable(by_text, error) is passes
    assert decide(by_text, error, Tries(2)).verdict is (Verdict.RETRY if passes else Verdict.GIVE_UP)
    assert decide(by_text, error, Tries(1)).verdict is (Verdict.RETRY if passes else Verdict.GIVE_UP)
    assert not retry.is_retryable(POLICY, error), "a door that did not ask for it does not have it"


def test_the_text_rule_does_not_overrule_a_class() -> None:
    by_text = RetryPolicy(text_rule=True)
    assert not retry.is_retryable(by_text, Refused("a temporary network timeout"))
    assert retry.is_retryable(by_text, Unavailable("gone for good"))


def test_a_plan_comes_back_from_its_row_as_it_was() -> None:
    step = StepPlan("generate", "text-to-image", retry=RetryPolicy(by_code={"TIMEOUT": 5.0}, text_rule=True))
    assert StepPlan.from_json(step.as_json()) == step
