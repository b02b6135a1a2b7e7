"""Providers for staff: who can do what, how each of them does today, and its last calls.

Two pages beside the list of lanes, whose rows take the verbs. A fixed number of queries for each, each by an index:
figures are taken from the newest calls of a lane, however many there were.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from generation.admin.names import SEE_NAMES, provider_name
from generation.lanes import OTHERS_CODES
from generation.models import Attempt
from providers import registry, secrets

SHOWN = 50
# Figures are about the last day, as far as this many calls of a lane reach back.
MOST_CALLS = 1000

# Adopting a stored file is no call. A refused prompt or picture says nothing of the provider, nor does our own store.
_FIGURES = """
SELECT provider, operation, count(*),
       count(*) FILTER (WHERE outcome = 'made'),
       count(*) FILTER (WHERE outcome IN ('failed', 'passed-on', 'lost') AND error_code <> ALL(%(others)s)),
       count(*) FILTER (WHERE outcome IN ('failed', 'passed-on') AND error_code = ANY(%(others)s)),
       count(*) FILTER (WHERE outcome = 'limited'),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - started_at)::float8)
           FILTER (WHERE outcome = 'made'),
       sum(cost_usd)
FROM (SELECT name FROM providers_lane) AS l CROSS JOIN LATERAL (
    SELECT * FROM generation_attempt
    WHERE lane = l.name AND ended_at > %(since)s AND provider = ANY(%(providers)s) AND operation <> 'adopt'
    ORDER BY ended_at DESC LIMIT %(most)s) AS newest
GROUP BY GROUPING SETS ((provider), (provider, operation))
"""
# Calls in flight come first: the index has what has not ended before what has.
_NEWEST = """
SELECT newest.id FROM (SELECT name FROM providers_lane) AS l CROSS JOIN LATERAL (
    SELECT id, started_at FROM generation_attempt WHERE lane = l.name AND provider = %(provider)s
    ORDER BY ended_at DESC LIMIT %(most)s) AS newest
WHERE l.name = ANY(%(lanes)s) ORDER BY newest.started_at DESC, newest.id DESC LIMIT %(most)s
"""


@dataclass(frozen=True)
class Figures:
    """How calls ended. broke: the provider's fault, lost answers included. others: a refused input, our own store."""

    calls: int = 0
    made: int = 0
    broke: int = 0
    others: int = 0
    limited: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    cost_usd: Decimal = Decimal(0)

    @property
    def success_percent(self) -> float | None:
        judged = self.made + self.broke
        return round(100 * self.made / judged, 1) if judged else None


@dataclass(frozen=True)
class Operation:
    """What a provider does for us: by which method, under which model keys, each with the key of its price."""

    name: str
    method: str
    prices: dict[str, str]
    figures: Figures


@dataclass
class ProviderRow:
    """A provider as staff see it."""

    alias: str
    name: str
    has_key: bool
    lanes: list[Any] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    spent_usd: Decimal = Decimal(0)


def overview(lanes: list[Any], user: AbstractBaseUser | AnonymousUser) -> dict[str, Any]:
    """Everybody on one page, and the table of who can do what. Two queries."""
    figures, spent = _figures([vendor.alias for vendor in registry.VENDORS]), _spent_today()
    return {
        "providers": [_row(vendor, lanes, user, figures, spent) for vendor in registry.VENDORS],
        "offers": _offers(user),
    }


def page(alias: str, lanes: list[Any], user: AbstractBaseUser | AnonymousUser) -> dict[str, Any]:
    """One provider in full. Four queries. Raises KeyError when nobody goes by that alias."""
    vendor = next((one for one in registry.VENDORS if one.alias == alias), None)
    if vendor is None:
        raise KeyError(alias)
    figures = _figures([alias])
    row = _row(vendor, lanes, user, figures, _spent_today())
    return {
        "provider": row,
        "operations": [
            Operation(
                operation,
                registry.adapter(alias).operations[operation],
                dict(offer.prices),
                figures[alias, operation],
            )
            for operation, offer in vendor.offers.items()
        ],
        "calls": _newest(alias, [lane.name for lane in row.lanes]),
        # What a vendor wrote names it.
        "sees_details": user.has_perm(SEE_NAMES),  # type: ignore[union-attr]
        "most_calls": MOST_CALLS,
    }


def _offers(user: AbstractBaseUser | AnonymousUser) -> list[dict[str, Any]]:
    """Operation, provider, method, and its model keys with the keys of their prices: a line for each way."""
    return [
        {
            "operation": operation,
            "alias": alias,
            "provider": provider_name(alias, user),
            "method": method,
            "prices": [row[3:] for row in rows],
        }
        for (operation, alias, method), rows in groupby(registry.table(), key=lambda row: row[:3])
    ]


def _row(
    vendor: registry.Vendor,
    lanes: list[Any],
    user: AbstractBaseUser | AnonymousUser,
    figures: dict[tuple[str, str], Figures],
    spent: dict[str, Decimal],
) -> ProviderRow:
    named = {registry.lane_of(vendor.alias, operation) for operation in vendor.offers}
    return ProviderRow(
        vendor.alias,
        provider_name(vendor.alias, user),
        secrets.has_key(vendor.key or vendor.names[0]),
        [lane for lane in lanes if lane.name in named],
        figures[vendor.alias, ""],
        spent.get(vendor.alias, Decimal(0)),
    )


def _figures(providers: list[str]) -> dict[tuple[str, str], Figures]:
    """By provider and operation; the operation is empty for all of them together."""
    found: dict[tuple[str, str], Figures] = defaultdict(Figures)
    values: dict[str, Any] = {
        "others": list(OTHERS_CODES),
        "since": timezone.now() - timedelta(days=1),
        "providers": providers,
        "most": MOST_CALLS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, values)
        for provider, operation, calls, made, broke, others, limited, times, cost in cursor.fetchall():
            p50_s, p95_s = times or (None, None)
            found[provider, operation or ""] = Figures(calls, made, broke, others, limited, p50_s, p95_s, cost)
    return found


def _spent_today() -> dict[str, Decimal]:
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    today = Attempt.objects.filter(started_at__gte=midnight).order_by()
    return dict(today.values_list("provider").annotate(Sum("cost_usd")))


def _newest(alias: str, lanes: list[str]) -> list[Attempt]:
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, {"provider": alias, "lanes": lanes, "most": SHOWN})
        ids = [pk for (pk,) in cursor.fetchall()]
    return list(Attempt.objects.filter(pk__in=ids).select_related("item").order_by("-started_at", "-pk"))
