"""A measured figure, and how figures are shown: a table for people, JSON for programs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number. limit: what was promised, at most, or with `at_least` at least; None: a reference, or plain news."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def is_kept(self) -> bool | None:
        if self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def percentile(samples: Sequence[float], percent: int) -> float:
    """The value that `percent` of the samples do not exceed."""
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def spread(samples: Sequence[float], *percents: int) -> str:
    """A note that names further percentiles of what one figure was taken from."""
    return ", ".join(f"p{percent} {percentile(samples, percent):.1f}" for percent in percents)


def table(group: str, figures: Iterable[Figure]) -> str:
    lines = [f"\n{group}", f"  {'figure':<58} {'measured':>10} {'limit':>10}       note"]
    for one in figures:
        limit = "" if one.limit is None else f"{'≥' if one.at_least else '≤'} {one.limit:g}"
        verdict = {True: "kept", False: "MISSED", None: ""}[one.is_kept]
        lines.append(f"  {one.name + ', ' + one.unit:<58} {one.value:>10.2f} {limit:>10} {verdict:<6} {one.note}")
    return "\n".join(lines)


def document(machine: dict[str, Any], groups: dict[str, list[Figure]]) -> str:
    shown = {group: [{**asdict(one), "kept": one.is_kept} for one in figures] for group, figures in groups.items()}
    return json.dumps({"machine": machine, "figures": shown}, indent=1)
