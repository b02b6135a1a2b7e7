"""The fault matrix end to end: which cells there are, what the engine must make of each, and how the page spells it.

The cells are those of `tests.providers.columns`, where it is told which class of error a fault is. One operation
stands for each protocol; what a class means for an item stands here, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from tests.providers.columns import Cell, Column
from tests.providers.test_fault_matrix import COLUMNS

# The same protocol as their neighbours', with another operation.
SAME = ("openai edits", "hf-inference edits", "fal-ai queue edits", "stability 3d")
PROTOCOLS = [column for column in COLUMNS if column.name not in SAME]
CHAINS = [column for column in PROTOCOLS if "," in column.name]

# Faults of time, and how much of it a call gets: so little that the test need not wait, but enough for what works.
PATIENCE = ("hang", "slow", "drip")
ALL_THE_TIME_S, LITTLE_S, ENOUGH_S = 10.0, 0.15, 0.6
# How often a fault strikes that passes; one that does not pass strikes always.
PASSING, ALWAYS = 1, 99
# Big enough to be seen in the memory of a process that keeps them.
SIZES = {"huge": 200_000_000, "gzip-bomb": 300_000_000}
# What raises nothing, so that the columns have no cells for it: it must change nothing.
CONNECTION_REFUSED = Cell("connection-refused", NetworkError)
JUMPING_PROGRESS = Cell("progress-backwards", NetworkError, {"times": 3}, ask_again=True)
WEBHOOKS = ("webhook-duplicate", "webhook-early", "webhook-forged", "webhook-late")


@dataclass(frozen=True)
class End:
    """How an item of three starts ends: with or without a picture, after how many calls, and what it cost."""

    is_made: bool
    calls: int
    is_quarantined: bool = False


WAITS = End(True, PASSING + 1)  # no room there, or our own key or account: costs no start and blames nobody
ASKED = End(True, 1)  # only a question went wrong: the call is at the vendor, and paid for once
ENDS: Mapping[type[ProviderError], End] = {
    RateLimited: WAITS,
    OurKeyRefused: WAITS,
    OurAccountEmpty: WAITS,
    NetworkError: End(False, 3),
    ProviderTimeout: End(False, 3),
    Unavailable: End(False, 3),
    AnswerLost: End(False, 3, is_quarantined=True),
    BadAnswer: End(False, 2),
    ContentRejected: End(False, 1),
    ModelGone: End(False, 1),
    Refused: End(False, 1),
}


# What makes something at the vendor; every other question is about what is being made, or made already.
MAKING = ("upload", "import", "submit")


def is_question(cell: Cell, *, parks: bool) -> bool:
    """Does it strike while the call is at the vendor? A chain's second call that finds no room waits there too."""
    operation = cell.params.get("operation")
    if cell.kind is RateLimited and operation == "submit":
        return True
    return parks and cell.ask_again and operation not in MAKING


def end_of(cell: Cell, *, parks: bool) -> End:
    return ASKED if is_question(cell, parks=parks) else ENDS[cell.kind]


def strikes(cell: Cell, *, parks: bool) -> int:
    """How often the fault shall strike: until it is known what follows."""
    if is_question(cell, parks=parks):
        return int(cell.params.get("times", PASSING))
    return PASSING if ENDS[cell.kind] is WAITS else ALWAYS


def time_for(column: Column, cell: Cell) -> float:
    """How long one call may take: short where it never ends, but long enough for what must work before."""
    if cell.fault not in PATIENCE:
        return ALL_THE_TIME_S
    return ENOUGH_S if cell.ask_again or column in CHAINS else LITTLE_S


def params_of(cell: Cell) -> dict[str, Any]:
    """What the simulator is told of the fault, but how often."""
    size = {"size": SIZES[cell.fault]} if cell.fault in SIZES else {}
    return {**{name: value for name, value in cell.params.items() if name != "times"}, **size}


# --- The page ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One cell as it went, in the words of the page."""

    fault: str
    params: str
    kind: str
    ends: str
    calls: int
    paid: int


def seen_of(cell: Cell, kind: str, ends: str, calls: int, paid: int) -> Seen:
    params = ", ".join(f"{name}: {value}" for name, value in params_of(cell).items() if name != "size")
    return Seen(cell.fault, params, kind, ends, calls, paid)


HEAD = """# Faults and what follows from them

Each cell is one item of three starts and a price of 2 credits, taken through the engine from its submit until
nothing was left to do, while the simulator misbehaved at the protocol that heads the column. The page is kept by
`tests/stories/test_fault_matrix.py`, which fails when it sees anything else (`KEEP=1` writes it anew).

A cell says how the item ended, or why it did not, and after how many calls that may have been paid for. In every
cell the item's place in its lane is free again, no lease is left, a failed item has its credits back and a made one
costs its price, and the process grew by less than {most_mb} MB, whatever was sent.

"""
WORDS = """
- **made 2**: the vendor had no room, or our own key or account was refused; neither costs a start.
- **made 1**: the result was there, only asking for it went wrong; it was paid for once.
- **… 3**: tried as often as the policy has starts. **… 2**: an answer of no use is worth one more try.
- **… 1**: trying again would change nothing.
- **lost**: the answer of each of three paid calls is gone; the item is refunded and set aside for staff.

"""


def page(seen: Mapping[str, Sequence[Seen]], most_mb: int) -> str:
    return HEAD.format(most_mb=most_mb) + _overview(seen) + WORDS + "\n".join(_section(*one) for one in seen.items())


def _overview(seen: Mapping[str, Sequence[Seen]]) -> str:
    """Faults down, protocols across."""
    faults = sorted({row.fault for rows in seen.values() for row in rows})
    lines = [f"| | {' | '.join(seen)} |", "|---" * (len(seen) + 1) + "|"]
    for fault in faults:
        cells = [
            dict.fromkeys(f"{row.ends} {row.calls}" for row in rows if row.fault == fault) for rows in seen.values()
        ]
        lines.append(f"| {fault} | {' | '.join(', '.join(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _section(name: str, rows: Sequence[Seen]) -> str:
    """One protocol, cell by cell."""
    lines = [f"## {name}", "", "| fault | | is a | item ends | calls | paid |", "|---|---|---|---|---|---|"]
    lines += [f"| {row.fault} | {row.params} | {row.kind} | {row.ends} | {row.calls} | {row.paid} |" for row in rows]
    return "\n".join(lines) + "\n"
