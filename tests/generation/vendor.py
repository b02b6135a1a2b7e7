"""A stand-in for one vendor, for what no script of the simulator can be made to say: answers given in turn."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from providers import registry
from providers.base import Call, Made, MadeFile, Pending
from tests.generation.support import HUGGINGFACE

# What is called when an answer is asked for; what it raises is the vendor's error.
Answer = Made | Pending | Exception | Callable[[Call], Made]


@dataclass
class Vendor:
    """Answers in turn, the last one again and again; remembers what it was asked."""

    answers: list[Answer]
    calls: list[Call] = field(default_factory=list)

    def run(self, call: Call) -> Made | Pending:
        self.calls.append(call)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(call) if callable(answer) else answer

    def estimate(self, operation: str, model: str) -> Decimal:
        """What a call costs whose answer is gone: nobody knows, as with any provider that says nothing else."""
        return Decimal(0)


def stand_in(monkeypatch: pytest.MonkeyPatch, *answers: Answer, alias: str = HUGGINGFACE) -> Vendor:
    """Put a stand-in in the place of one provider; the others stay."""
    vendor, adapter = Vendor(list(answers)), registry.adapter
    monkeypatch.setattr(registry, "adapter", lambda name: vendor if name == alias else adapter(name))
    return vendor


def file(data: bytes, content_type: str = "image/png", role: str = "result") -> MadeFile:
    return MadeFile(io.BytesIO(data), content_type, len(data), hashlib.sha256(data).hexdigest(), role)


def making(*files: tuple[bytes, str, str] | bytes, **more: Any) -> Callable[[Call], Made]:
    """A vendor that makes these files anew at each call: (bytes, content type, role), or a picture's bytes."""

    def make(call: Call) -> Made:
        made = tuple(file(one) if isinstance(one, bytes) else file(*one) for one in files)
        return Made(made, Decimal("0.20"), call.model, **more)

    return make
