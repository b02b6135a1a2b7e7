"""A fault that passes, and a bug of ours. Every fault at every protocol: `tests/stories/test_fault_matrix.py`."""

from __future__ import annotations

import pytest

from config.models import User
from generation.models import Attempt
from providers.adapters.openai import OpenAI
from providers.errors import Refused
from tests.generation.support import HUGGINGFACE, balance, fresh, submit_one, told, work_until_quiet
from tests.generation.vendor import stand_in
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


def test_no_row_holds_a_secret_that_a_vendor_repeats(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, Refused(detail="you sent sk-abcdef123456 and https://desk.example/hooks/provider_e/abcdef"))
    item = submit_one(alice, providers=[HUGGINGFACE])
    work_until_quiet()
    said = Attempt.objects.get(item=item).error_detail
    assert "abcdef" not in said
    assert "provider_e" in said
