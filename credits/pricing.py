"""What an operation costs, read from the price table at each call so that a changed price counts at once.

The most specific active row wins: provider and model, then provider, then model, then the row for
everybody. No active row means the operation is refused, never free.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from config.api import sql
from credits.errors import OperationUnavailable


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
    with sql.cursor() as cursor:
        cursor.execute(
            _PRICES.format(keys=", ".join(["%s"] * len(wanted))),
            [*wanted, provider, model],
        )
        found = {row[0]: Quote(*row) for row in cursor.fetchall()}
    for key in wanted:
        if key not in found:
            raise OperationUnavailable(key)
    return {key: found[key] for key in wanted}


# Every submit asks this, and the ORM would think about it longer than the database. The most specific row
# of a key comes last.
_PRICES = """
SELECT operation_key, provider, model, credits_cost, api_cost_usd FROM credits_price
WHERE operation_key IN ({keys}) AND provider IN (%s, '') AND model IN (%s, '') AND is_active
ORDER BY provider <> '', model <> ''
"""
