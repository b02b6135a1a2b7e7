"""Every fault of the simulator at every protocol: which class of error it is, and so what it costs.

The cells stand in `tests.providers.columns`. The matrix is printed at the end of the module's run (`-s` shows it).
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
    ModelGone,
    NetworkError,
    OurAccountEmpty,
    OurKeyRefused,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Unavailable,
)
from providers.secrets import SIMULATOR_KEYS
from tests.providers.columns import Cell, Column, huggingface, openai, openrouter, recraft, replicate, stability, tripo
from tests.providers.make import close, follow, make_call
from tests.simulator import Remote

COLUMNS: list[Column] = [
    *openai.COLUMNS,
    *huggingface.COLUMNS,
    *stability.COLUMNS,
    *replicate.COLUMNS,
    *recraft.COLUMNS,
    *openrouter.COLUMNS,
    *tripo.COLUMNS,
]
CELLS = [
    pytest.param(column, cell, id=f"{column.name}-{cell.fault}-{'-'.join(map(str, cell.params.values()))}")
    for column in COLUMNS
    for cell in column.cells
]

_seen: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def printed_matrix() -> Iterator[None]:
    yield
    print("\n" + "\n".join(sorted(_seen)))


@pytest.mark.parametrize(("column", "cell"), CELLS)
def test_a_fault_becomes_its_class(simulator: Remote, settings: Any, column: Column, cell: Cell) -> None:
    settings.PROVIDER_MAX_BYTES = 2_000_000
    adapter, kind = column.adapter(settings), cell.kind
    simulator.faults(column.vendor, cell.fault, **cell.params)
    with pytest.raises(ProviderError) as caught:
        _run_to_the_end(adapter, make_call(column.operation, deadline_s=0.8, **column.inputs))
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
    low, high = cell.wait_s
    assert low <= (error.retry_after_s or 0) <= high
    assert bool(error.ask_again) is cell.ask_again
    _fit_for_a_customer(error)
    _seen.append(f"{column.name:24s} {cell.fault:24s} {cell.params!s:60.60s} {kind.__name__:16s} {error.code}")


def _run_to_the_end(adapter: Provider, call: Any) -> None:
    close(follow(adapter, call, adapter.run(call)))


VENDORS_WORDS = (
    "openai", "hugging", "fal", "flux", "gpt", "stabil", "recraft", "tripo", "replicate", "openrouter", "http",
    "sk-", "hf_", "r8_", "tsk_", "127.0.0.1",
)  # fmt: skip


def _fit_for_a_customer(error: ProviderError) -> None:
    """No vendor, host, key or model in what a customer reads; no key in what staff read."""
    for word in VENDORS_WORDS:
        assert word not in f"{error} {error.message} {error.code}".lower()
    assert not any(key in error.detail for key in SIMULATOR_KEYS.values())


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
    _run_to_the_end(OpenAI(), make_call(deadline_s=5))


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
    _run_to_the_end(OpenAI(), make_call(deadline_s=5))
    with pytest.raises(RateLimited) as caught:
        OpenAI().run(make_call())
    assert caught.value.retry_after_s == 1
    assert len(simulator.calls()) == 1


def test_each_class_of_error_draws_its_decision_in_the_tree() -> None:
    """The module docstring names every class, once."""
    kinds = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ProviderError)]
    tree = errors.__doc__ or ""
    assert all(f" {name} " in tree or f"\n    {name} " in tree for name in kinds if not name.startswith("_"))
