"""Every fault of the simulator at every protocol: which class of error it is, and so what it costs.

One row per fault; a cell is the expected class for that column, None where the protocol has no such thing.
The matrix is printed at the end of the module's run (`-s` shows it).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from providers import errors
from providers.adapters.huggingface import HuggingFace
from providers.adapters.openai import OpenAI
from providers.base import Pending, Provider
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
from tests.providers.make import close, make_call
from tests.simulator import Remote

Kind = type[ProviderError]
COLUMNS = ("openai", "hf-inference", "fal-ai queue")

# fault, parameters, and the class at: openai, hf-inference, the queue
ROWS: list[tuple[str, dict[str, Any], Kind | None, Kind | None, Kind | None]] = [
    ("rate-limit", {"retry_after": 7}, RateLimited, RateLimited, RateLimited),
    ("rate-limit", {"retry_after": "date"}, RateLimited, RateLimited, RateLimited),
    ("rate-limit", {"retry_after": 9_999_999}, RateLimited, RateLimited, RateLimited),
    ("rate-limit", {"retry_after": -5}, RateLimited, RateLimited, RateLimited),
    ("rate-limit", {"retry_after": "soon"}, RateLimited, RateLimited, RateLimited),
    ("rate-limit", {}, RateLimited, RateLimited, RateLimited),
    ("500", {}, Unavailable, Unavailable, Unavailable),
    ("502", {}, Unavailable, Unavailable, Unavailable),
    ("503", {"retry_after": 3}, Unavailable, Unavailable, Unavailable),
    ("504", {}, ProviderTimeout, ProviderTimeout, ProviderTimeout),
    ("loading", {"estimated_time": 20.0}, Unavailable, Unavailable, Unavailable),
    ("unauthorized", {}, OurKeyRefused, OurKeyRefused, OurKeyRefused),
    ("forbidden", {}, OurKeyRefused, OurKeyRefused, OurKeyRefused),
    ("no-credit", {}, OurAccountEmpty, OurAccountEmpty, OurAccountEmpty),
    ("insufficient_quota", {}, OurAccountEmpty, None, None),
    ("credit_balance_exhausted", {}, OurAccountEmpty, None, None),
    ("billing_hard_limit", {}, OurAccountEmpty, None, None),
    ("model-gone", {"status": 404}, ModelGone, ModelGone, ModelGone),
    ("model-gone", {"status": 410}, ModelGone, ModelGone, ModelGone),
    ("model-gone", {"status": 400}, ModelGone, ModelGone, ModelGone),
    ("bad-input", {"status": 400}, Refused, Refused, Refused),
    ("bad-input", {"status": 422}, Refused, Refused, Refused),
    ("filtered", {}, ContentRejected, None, ContentRejected),
    ("filtered", {"details": True, "at": "output"}, ContentRejected, None, ContentRejected),
    (
        "filtered",
        {"code": "content_policy_violation", "status": 422},
        ContentRejected,
        ContentRejected,
        ContentRejected,
    ),
    ("filtered", {"at": "input"}, ContentRejected, ContentRejected, ContentRejected),
    ("hang", {}, AnswerLost, AnswerLost, AnswerLost),
    ("slow", {"delay_s": 30}, AnswerLost, AnswerLost, None),
    ("drip", {}, AnswerLost, AnswerLost, NetworkError),
    ("truncated", {}, AnswerLost, AnswerLost, NetworkError),
    ("reset", {}, AnswerLost, AnswerLost, AnswerLost),
    ("drop-after-accept", {}, AnswerLost, AnswerLost, AnswerLost),
    ("half-picture", {}, BadAnswer, BadAnswer, BadAnswer),
    ("empty", {}, BadAnswer, BadAnswer, BadAnswer),
    ("wrong-type", {}, BadAnswer, BadAnswer, BadAnswer),
    ("html", {}, BadAnswer, BadAnswer, BadAnswer),
    ("json-error", {}, BadAnswer, BadAnswer, BadAnswer),
    ("huge", {"size": 5_000_000}, BadAnswer, BadAnswer, BadAnswer),
    ("gzip-bomb", {"size": 50_000_000}, BadAnswer, BadAnswer, BadAnswer),
    ("picture-bomb", {}, BadAnswer, BadAnswer, BadAnswer),
    ("short-count", {}, BadAnswer, None, BadAnswer),
    ("bad-base64", {}, BadAnswer, None, None),
    ("expired-link", {}, None, None, AnswerLost),
    ("private-link", {}, None, None, BadAnswer),
    ("private-link", {"url": "https://2130706433/a.png"}, None, None, BadAnswer),
    ("redirect-link", {}, None, None, BadAnswer),
    ("vanished", {}, None, None, AnswerLost),
    # A question that goes wrong is no loss: the call is still at the vendor.
    ("500", {"operation": "status"}, None, None, Unavailable),
    ("rate-limit", {"operation": "status", "retry_after": 2}, None, None, RateLimited),
    ("reset", {"operation": "status"}, None, None, NetworkError),
    ("hang", {"operation": "result"}, None, None, ProviderTimeout),
    ("unauthorized", {"operation": "status"}, None, None, OurKeyRefused),
    ("html", {"operation": "status"}, None, None, BadAnswer),
    ("bad-input", {"operation": "result", "status": 422}, None, None, Refused),
    ("503", {"operation": "download"}, None, None, NetworkError),
]
CELLS = [
    pytest.param(COLUMNS[n], fault, params, kind, id=f"{COLUMNS[n]}-{fault}-{'-'.join(map(str, params.values()))}")
    for fault, params, *kinds in ROWS
    for n, kind in enumerate(kinds)
    if kind is not None
]
WAITS = {7: (7, 7), "date": (15, 20), 9_999_999: (300, 300), -5: (1, 1), 3: (3, 3), 2: (2, 2)}
ASKED_AGAIN = (
    ("status", "500"), ("status", "rate-limit"), ("status", "reset"), ("status", "unauthorized"), ("status", "html"),
    ("result", "hang"), ("download", "503"), ("download", "drip"), ("download", "truncated"),
)  # fmt: skip

_seen: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def printed_matrix() -> Iterator[None]:
    yield
    print("\n" + "\n".join(sorted(_seen)))


@pytest.fixture
def vendor_of(settings: Any) -> Any:
    """The adapter of a column, small caps, short deadlines."""
    settings.PROVIDER_MAX_BYTES = 2_000_000

    def choose(column: str) -> tuple[Provider, str]:
        if column == "openai":
            return OpenAI(), "openai"
        route = "fal-ai" if column.startswith("fal") else column
        settings.HUGGINGFACE = {**settings.HUGGINGFACE, "ROUTE": route}
        return HuggingFace(), "huggingface"

    return choose


@pytest.mark.parametrize(("column", "fault", "params", "kind"), CELLS)
def test_a_fault_becomes_its_class(
    simulator: Remote, vendor_of: Any, column: str, fault: str, params: dict[str, Any], kind: Kind
) -> None:
    adapter, vendor = vendor_of(column)
    simulator.faults(vendor, fault, **params)
    with pytest.raises(ProviderError) as caught:
        _run_to_the_end(adapter, deadline_s=0.8)
    error = caught.value
    assert type(error) is kind, error.detail
    assert error.refundable
    assert not error.unclassified
    assert error.ours is (kind in (OurKeyRefused, OurAccountEmpty))
    assert error.cannot is (kind in (OurKeyRefused, OurAccountEmpty, ModelGone))
    assert error.retryable is (kind in (RateLimited, NetworkError, AnswerLost, ProviderTimeout, Unavailable))
    assert error.is_loss is (kind is AnswerLost)
    assert error.costs_start is (kind is not RateLimited)
    assert error.retry_once is (kind is BadAnswer)
    low, high = WAITS.get(params.get("retry_after"), (20, 20) if fault == "loading" and vendor != "openai" else (0, 0))
    assert low <= (error.retry_after_s or 0) <= high
    stage = params.get("operation") or (
        "download" if column.startswith("fal") and fault in ("drip", "truncated") else ""
    )
    assert bool(error.ask_again) is ((stage, fault) in ASKED_AGAIN)
    _fit_for_a_customer(error)
    _seen.append(f"{column:14s} {fault:24s} {params!s:60.60s} {type(error).__name__:16s} {error.code}")


def _run_to_the_end(adapter: Provider, deadline_s: float) -> None:
    call = make_call(deadline_s=deadline_s)
    state = adapter.run(call)
    while isinstance(state, Pending):
        state = adapter.poll(state.remote_id, call)
    close(state)


def _fit_for_a_customer(error: ProviderError) -> None:
    """No vendor, host, key or model in what a customer reads; no key in what staff read."""
    for word in ("openai", "hugging", "fal", "flux", "gpt", "http", "sk-", "hf_", "127.0.0.1"):
        assert word not in f"{error} {error.message} {error.code}".lower()
    assert "sk-simulator" not in error.detail
    assert "hf_simulator" not in error.detail


def test_the_wait_that_stands_in_the_text_is_read(simulator: Remote) -> None:
    simulator.faults("openai", "rate-limit", message="Rate limit reached. Please try again in 12s. Visit us.")
    with pytest.raises(RateLimited) as caught:
        OpenAI().run(make_call())
    assert caught.value.retry_after_s == 12


def test_progress_that_jumps_about_stays_within_bounds(simulator: Remote) -> None:
    simulator.faults("huggingface", "progress-backwards", times=3)
    adapter, call = HuggingFace(), make_call()
    state = adapter.run(call)
    seen = []
    while isinstance(state, Pending):
        state = adapter.poll(state.remote_id, call)
        if isinstance(state, Pending):
            seen.append(state.progress)
    close(state)
    assert seen == [80, 20, 99]


def test_a_slow_answer_within_the_deadline_is_no_fault(simulator: Remote) -> None:
    simulator.faults("openai", "slow", delay_s=0.3)
    _run_to_the_end(OpenAI(), deadline_s=5)


def test_connection_refused_was_never_processed(settings: Any) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:1"
    with pytest.raises(NetworkError) as caught:
        OpenAI().run(make_call())
    assert not caught.value.is_loss
    assert caught.value.detail.startswith("before sending")


def test_an_unknown_name_was_never_processed(settings: Any) -> None:
    settings.SIMULATOR_URL = "http://nobody.invalid:4010"
    with pytest.raises(NetworkError):
        OpenAI().run(make_call())


def test_a_full_window_of_ours_costs_no_start(simulator: Remote, settings: Any) -> None:
    settings.OPENAI = {**settings.OPENAI, "WINDOW": (1, 0.5)}
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    _run_to_the_end(OpenAI(), 5)
    with pytest.raises(RateLimited) as caught:
        OpenAI().run(make_call())
    assert caught.value.retry_after_s == 1
    assert len(simulator.calls()) == 1


def test_each_class_of_error_draws_its_decision_in_the_tree() -> None:
    """The module docstring names every class, once."""
    kinds = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ProviderError)]
    tree = errors.__doc__ or ""
    assert all(f" {name} " in tree or f"\n    {name} " in tree for name in kinds if not name.startswith("_"))
