"""A fault that passes, and a bug of ours. Every fault at every protocol: `tests/stories/test_fault_matrix.py`."""

from __future__ import annotations

import pytest

from config.models import User
from providers.adapters.openai import OpenAI
from tests.generation.support import balance, fresh, submit_one, told, work_until_quiet
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]


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
