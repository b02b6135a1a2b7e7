"""What a form would cost, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass

from credits import pricing
from credits.errors import OperationUnavailable
from generation.doors.makeit3d import plan
from generation.doors.makeit3d.serializers import Wish


@dataclass(frozen=True)
class Bill:
    """What the form would cost now. each: None when it is not on offer."""

    each: int | None
    count: int
    balance: int

    @property
    def total(self) -> int:
        return (self.each or 0) * self.count

    @property
    def missing(self) -> int:
        return max(0, self.total - self.balance)


def price_of(wish: Wish) -> int | None:
    """Credits for one result; None when it is not on offer. One query."""
    try:
        key, model = plan.price_of(wish)
        return pricing.quote(key, provider=wish.provider, model=model).credits
    except OperationUnavailable:
        return None
