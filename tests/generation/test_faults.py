"""Whatever a vendor does, its item ends as the class of the error says, and the customer's balance is right.

One row per fault, one column per protocol; None where a protocol has no such thing. What a class means for
an item stands once, in ENDS; which class a fault is, is told in tests/providers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from config.models import User
from providers.adapters.openai import OpenAI
from tests.generation.support import HUGGINGFACE, OPENAI, balance, fresh, submit_one, told, work_until_quiet
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


@dataclass(frozen=True)
class End:
    """How an item of three starts ends. times: how often the fault strikes."""

    status: str
    code: str
    attempts: int
    losses: int = 0
    retryable: bool = False
    times: int = 99


WAITS = End("SUCCEEDED", "", attempts=3, times=2)  # no room: costs no start, however often
BREAKS = End("FAILED", "SERVICE_UNAVAILABLE", attempts=3, retryable=True)  # tried three times
TIMES_OUT = End("FAILED", "TIMEOUT", attempts=3, retryable=True)  # the vendor's own time-out, told to us
LOST = End("FAILED", "NETWORK_ERROR", attempts=3, losses=3, retryable=True)  # perhaps paid for thrice: quarantine
HUNG = End("FAILED", "TIMEOUT", attempts=3, losses=3, retryable=True)  # the same, by our own clock
REFUSED = End("FAILED", "INVALID_INPUT", attempts=1)  # trying again would change nothing
FILTERED = End("FAILED", "CONTENT_REJECTED", attempts=1)
UNUSABLE = End("FAILED", "INVALID_IMAGE", attempts=2)  # worth one more try
GONE = End("FAILED", "SERVICE_UNAVAILABLE", attempts=1)  # no other candidate here
OURS = End("SUCCEEDED", "", attempts=3, times=2)  # our key, our account: waits for a probe, blames nobody
ASKED = End("SUCCEEDED", "", attempts=1, times=2)  # only the question went wrong: asked again, paid for once

ROWS: list[tuple[str, dict[str, Any], End | None, End | None, End | None]] = [
    # fault, parameters                              OpenAI     hf-inference  fal-ai queue
    ("rate-limit", {"retry_after": 7}, WAITS, WAITS, WAITS),  # says when
    ("rate-limit", {"retry_after": "soon"}, WAITS, WAITS, WAITS),  # says nothing of use
    ("500", {}, BREAKS, BREAKS, BREAKS),
    ("502", {}, BREAKS, BREAKS, BREAKS),  # an HTML page of a proxy
    ("503", {"retry_after": 3}, BREAKS, BREAKS, BREAKS),
    ("504", {}, TIMES_OUT, TIMES_OUT, TIMES_OUT),
    ("loading", {}, None, BREAKS, BREAKS),  # with an estimate of its own
    ("unauthorized", {}, OURS, OURS, OURS),
    ("forbidden", {}, OURS, OURS, OURS),
    ("no-credit", {}, OURS, OURS, OURS),
    ("billing_hard_limit", {}, OURS, None, None),
    ("model-gone", {}, GONE, GONE, GONE),
    ("bad-input", {}, REFUSED, REFUSED, REFUSED),
    ("filtered", {"at": "input"}, FILTERED, FILTERED, FILTERED),
    ("filtered", {"at": "output"}, FILTERED, None, FILTERED),  # fal blackens the picture and answers 200
    ("hang", {}, HUNG, HUNG, HUNG),
    ("slow", {"delay_s": 30}, HUNG, HUNG, None),
    ("drip", {}, HUNG, HUNG, ASKED),  # a download can be repeated
    ("truncated", {}, LOST, LOST, ASKED),
    ("reset", {}, LOST, LOST, LOST),
    ("drop-after-accept", {}, LOST, LOST, LOST),
    ("half-picture", {}, UNUSABLE, UNUSABLE, UNUSABLE),
    ("empty", {}, UNUSABLE, UNUSABLE, UNUSABLE),
    ("wrong-type", {}, UNUSABLE, UNUSABLE, UNUSABLE),
    ("html", {}, UNUSABLE, UNUSABLE, UNUSABLE),  # with status 200
    ("json-error", {}, UNUSABLE, UNUSABLE, UNUSABLE),
    ("huge", {"size": 5_000_000}, UNUSABLE, UNUSABLE, UNUSABLE),
    ("gzip-bomb", {"size": 20_000_000}, UNUSABLE, UNUSABLE, UNUSABLE),
    ("picture-bomb", {}, UNUSABLE, UNUSABLE, UNUSABLE),
    ("short-count", {}, UNUSABLE, None, UNUSABLE),
    ("bad-base64", {}, UNUSABLE, None, None),
    ("expired-link", {}, None, None, LOST),  # it was made, and nobody can have it any more
    ("private-link", {}, None, None, UNUSABLE),  # leads into our own network
    ("redirect-link", {}, None, None, UNUSABLE),
    ("vanished", {}, None, None, LOST),  # the vendor no longer knows the call
    ("500", {"operation": "status"}, None, None, ASKED),
    ("rate-limit", {"operation": "status"}, None, None, ASKED),
    ("unauthorized", {"operation": "result"}, None, None, ASKED),
    ("html", {"operation": "status"}, None, None, ASKED),
    ("503", {"operation": "download"}, None, None, ASKED),
]
COLUMNS = ("openai", "hf-inference", "fal-ai")
NEEDS_PATIENCE = ("hang", "slow", "drip")
CELLS = [
    pytest.param(column, fault, params, end, id="-".join([column, fault, *map(str, params.values())]))
    for fault, params, *ends in ROWS
    for column, end in zip(COLUMNS, ends, strict=True)
    if end
]


@pytest.mark.parametrize(("column", "fault", "params", "end"), CELLS)
def test_an_item_ends_as_the_class_of_its_error_says(
    alice: User, vendors: Remote, settings: Any, column: str, fault: str, params: dict[str, Any], end: End
) -> None:
    settings.PROVIDER_MAX_BYTES = 2_000_000
    settings.HUGGINGFACE = {**settings.HUGGINGFACE, "ROUTE": column}
    vendor, alias = ("openai", OPENAI) if column == "openai" else ("huggingface", HUGGINGFACE)
    vendors.faults(vendor, fault, times=end.times, **params)
    item = submit_one(alice, providers=[alias], timeout_s=0.3 if fault in NEEDS_PATIENCE else 10.0)
    work_until_quiet()
    item = fresh(item)
    assert (item.status, item.error_code) == (end.status, end.code)
    assert (item.attempts.count(), item.losses, item.error_retryable) == (end.attempts, end.losses, end.retryable)
    assert bool(item.quarantined_at) is (end.losses == 3)
    if end.status == "SUCCEEDED":
        assert item.results["generate"]["starts"] == 1
        assert (balance(alice), item.assets.count()) == (98, 1)
    else:
        assert (balance(alice), item.refunded, item.assets.count()) == (100, 2, 0)
        assert told(item.request)[-2:] == ["failed", "request-failed"]
        assert item.error_message
    for word in ("openai", "hugging", "fal", "gpt", "http", "127.0.0.1", "sk-", "hf_"):
        assert word not in item.error_message.lower().replace("failed", "")


def test_a_fault_that_strikes_once_costs_a_start_and_no_credit(alice: User, vendors: Remote) -> None:
    vendors.faults("openai", "500")
    item = submit_one(alice)
    work_until_quiet()
    item = fresh(item)
    assert (item.status, item.results["generate"]["starts"], balance(alice)) == ("SUCCEEDED", 2, 98)
    assert told(item.request).count("retrying") == 1


def test_a_bug_of_ours_is_tried_once_more_then_refunded(
    alice: User, vendors: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OpenAI, "generation", lambda self, call: 1 / 0)
    item = submit_one(alice)
    work_until_quiet()
    item = fresh(item)
    assert (item.status, item.error_code, item.error_message) == ("FAILED", "UNKNOWN_ERROR", "The generation failed.")
    assert (item.attempts.count(), balance(alice)) == (2, 100)
    assert "ZeroDivisionError" in item.attempts.first().error_detail
    assert "a bug in a step" in caplog.text
