"""How far generations are, from their items: read once for many of them, shown in documents and live messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, F, Max, Q, Sum

from generation.models import Attempt, Item, ItemStatus, Outcome

ENDED_BADLY = (ItemStatus.FAILED, ItemStatus.CANCELLED)


@dataclass(frozen=True)
class Tally:
    """charged, refunded: credits. pose_s: how long a pose took, on average.

    losses: how often a pose was taken up anew after its worker was gone, the most of one pose, last at `recovered_at`.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    charged: int = 0
    refunded: int = 0
    pose_s: float | None = None
    losses: int = 0
    recovered_at: datetime | None = None

    @property
    def processed(self) -> int:
        return self.done + self.failed

    @property
    def percentage(self) -> int:
        """Rounded as in the source system: a half goes up."""
        return (200 * self.done + self.total) // (2 * self.total) if self.total else 0


def tally(request_id: UUID) -> Tally:
    return tallies([request_id])[request_id]


def tallies(request_ids: Iterable[UUID]) -> dict[UUID, Tally]:
    """Count the poses of each generation. One query, two when something was lost."""
    ids = list(request_ids)
    is_done = Q(status=ItemStatus.SUCCEEDED)
    rows = (
        Item.objects.filter(request__in=ids)
        .values("request_id")
        .annotate(
            total=Count("pk"),
            done=Count("pk", filter=is_done),
            failed=Count("pk", filter=Q(status__in=ENDED_BADLY)),
            charges=Sum("charged"),
            refunds=Sum("refunded"),
            took=Avg(F("finished_at") - F("first_started_at"), filter=is_done),
            lost=Max("losses"),
        )
        .order_by()
    )
    found = dict.fromkeys(ids, Tally()) | {row["request_id"]: _tally(row) for row in rows}
    lossy = [request_id for request_id, one in found.items() if one.losses]
    return found | {request_id: replace(found[request_id], recovered_at=at) for request_id, at in _recovered(lossy)}


def _tally(row: Mapping[str, Any]) -> Tally:
    return Tally(
        total=row["total"],
        done=row["done"],
        failed=row["failed"],
        charged=row["charges"],
        refunded=row["refunds"],
        pose_s=row["took"].total_seconds() if row["took"] is not None else None,
        losses=row["lost"],
    )


def _recovered(request_ids: list[UUID]) -> list[tuple[UUID, datetime]]:
    if not request_ids:
        return []
    lost = Attempt.objects.filter(item__request__in=request_ids, outcome=Outcome.LOST)
    return list(lost.values_list("item__request_id").annotate(at=Max("ended_at")).order_by())
