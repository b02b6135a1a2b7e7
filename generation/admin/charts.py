"""The desk's chart of the last hour as shapes. `templates/static/charts.js` redraws the same ones at each tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# In the units of the drawing: a minute is STEP wide, of which the bar takes BAR.
STEP, BAR, HEIGHT = 4, 3, 60


@dataclass(frozen=True)
class Minute:
    """One minute's bar: what failed stands on what succeeded."""

    x: int
    good_y: float
    good_height: float
    bad_y: float
    bad_height: float


@dataclass(frozen=True)
class Hour:
    minutes: list[Minute]
    peak: int
    width: int = 0
    height: int = HEIGHT
    bar: int = BAR


def hour(figures: dict[str, Any]) -> Hour:
    """Draw the minutes, oldest first, to the scale of the busiest."""
    pairs = list(zip(figures["succeeded"], figures["failed"], strict=True))
    peak = max(good + bad for good, bad in pairs)
    scale = HEIGHT / max(peak, 1)
    minutes = [
        Minute(
            x=STEP * index,
            good_y=round(HEIGHT - good * scale, 2),
            good_height=round(good * scale, 2),
            bad_y=round(HEIGHT - (good + bad) * scale, 2),
            bad_height=round(bad * scale, 2),
        )
        for index, (good, bad) in enumerate(pairs)
    ]
    return Hour(minutes, peak, width=STEP * len(pairs))
