"""Parts: what is given back when a part of an item's price could not be made, and how the item goes on without it.

The background of a pose is such a part: when it fails for good the pose itself is there, and is kept and paid for.
"""

from __future__ import annotations

from typing import Any

from generation import queue, states
from generation.engine import closing
from generation.engine.settling import go_on
from generation.events import Change
from generation.models import EventKind, Item


def give_up(change: Change, item: Item, why: closing.Failure, *, quarantine: bool = False, **fields: Any) -> None:
    """End a locked item's step for good: its part, where it makes one, else the item. `fields` for one that goes on."""
    if part := item.step_plan.part:
        _give_up_part(change, item, part, why, **fields)
    else:
        closing.fail(change, item, why, quarantine=quarantine)


def _give_up_part(change: Change, item: Item, part: str, why: closing.Failure, **fields: Any) -> None:
    """Give a part's credits back, and go on past its steps in the same transaction.

    Its losses are forgotten with it: what counts is whether the rest of the item can be made.
    """
    back = 0 if closing.keeps(item, why) else min(item.parts[part], item.charged - item.refunded - item.kept)
    if back:
        closing.post_refund(change, item, back, f"part:{part}", f"Refund: {part} failed")
        change.record(EventKind.REFUNDED, item.pk, refunded=back, part=part)
    go_on(
        change,
        item,
        item.fence,
        {**item.results, part: {"failed": why.code, "refunded": back}},
        arrows=(states.SKIP, states.END_WITHOUT),
        refunded=item.refunded + back,
        losses=0,
        **fields,
    )
    queue.ring_after_commit(1)
