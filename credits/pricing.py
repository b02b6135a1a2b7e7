"""What an operation costs, read from the price table at each call so that a changed price counts at once.

The most specific active row wins: provider and model, then provider, then model, then the row for
everybody. No active row means the operation is refused, never free.
"""

from __future__ import annotations

import json
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
    return Prices(keys, provider=provider, model=model).quotes()


class Prices:
    """The prices of some operations, to be asked in another's statement or, if nobody did, alone."""

    def __init__(self, keys: Iterable[str], *, provider: str = "", model: str = "") -> None:
        self._wanted = list(dict.fromkeys(keys))
        named = {f"price_{nth}": key for nth, key in enumerate(self._wanted)}
        terms = _PRICES.format(keys=", ".join(f"%({name})s" for name in named))
        values = {**named, "price_provider": provider, "price_model": model}
        self.part = sql.Part(terms, (_PRICED,), values)
        self._found: str | None = None
        self._is_asked = False

    def take(self, found: tuple[str | None]) -> None:
        (self._found,) = found
        self._is_asked = True

    def quotes(self) -> dict[str, Quote]:
        """Read the prices. Raises OperationUnavailable for the first without one."""
        if not self._is_asked:
            self.take(*sql.run(self.part))
        found = {}
        for key, provider, model, credits, cost in json.loads(self._found or "[]"):
            found[key] = Quote(key, provider, model, credits, None if cost is None else Decimal(cost))
        for key in self._wanted:
            if key not in found:
                raise OperationUnavailable(key)
        return {key: found[key] for key in self._wanted}


# Every submit asks this, and the ORM would think about it longer than the database. The most specific row
# of a key comes last.
_PRICES = """
price AS (
    SELECT operation_key, provider, model, credits_cost, api_cost_usd FROM credits_price
    WHERE operation_key IN ({keys}) AND provider IN (%(price_provider)s, '') AND model IN (%(price_model)s, '')
      AND is_active)
"""
_PRICED = """(
    SELECT jsonb_agg(jsonb_build_array(operation_key, provider, model, credits_cost, api_cost_usd::text)
                     ORDER BY provider <> '', model <> '') FROM price)"""
