"""What an operation costs, read from the price table at each call so that a changed price counts at once.

The most specific active row wins: provider and model, then provider, then model, then the row for
everybody. No active row means the operation is refused, never free.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from credits.errors import OperationUnavailable
from credits.models import Price


@dataclass(frozen=True)
class Quote:
    """The price of one unit. `provider` and `model` say which row decided; empty: it holds for all."""

    key: str
    provider: str
    model: str
    credits: int
    cost_usd: Decimal | None


def quote(key: str, *, provider: str = "", model: str = "") -> Quote:
    """Price one operation, by one query. Raises OperationUnavailable."""
    return quotes([key], provider=provider, model=model)[key]


def quotes(keys: Iterable[str], *, provider: str = "", model: str = "") -> dict[str, Quote]:
    """Price several operations, by one query. Raises OperationUnavailable for the first without a price."""
    wanted = list(dict.fromkeys(keys))
    rows = Price.objects.filter(
        operation_key__in=wanted, provider__in={provider, ""}, model__in={model, ""}, is_active=True
    )
    found: dict[str, Price] = {}
    for row in sorted(rows, key=_specificity):
        found[row.operation_key] = row
    for key in wanted:
        if key not in found:
            raise OperationUnavailable(key)
    return {key: _as_quote(found[key]) for key in wanted}


def _specificity(row: Price) -> tuple[bool, bool]:
    return (row.provider != "", row.model != "")


def _as_quote(row: Price) -> Quote:
    return Quote(row.operation_key, row.provider, row.model, row.credits_cost, row.api_cost_usd)
