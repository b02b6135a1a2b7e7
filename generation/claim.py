"""Which item is next: the one statement that decides order, fairness and caps.

One short transaction under one advisory lock, so that caps are exact with many workers. Each open lane
with room is asked for its first items by the partial index `item_queue` (lane, weight, rank, id), the
best of all lanes are taken: RUNNING, fence + 1, a lease, and an attempt that says a call may now go out.
Touches no request and writes no event; the engine's `begin` does, under the fence.

Also home to the order itself: what rank a newcomer gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from config.api import sql
from generation.models import Item, rows
from generation.models.rows import Sql
from generation.plan import INTERNAL
from providers.breaker import PROBE_EVERY_S

_LANE = re.compile(r"[a-z0-9_-]{1,40}")
# One lock for all claims of the desk: "claim" in the advisory-lock space of this database.
CLAIM_LOCK = 0x61_7465_6C01

# A lane is open when neither it nor the desk is paused and it is not cooling down. An open breaker lets
# one item through each PROBE_EVERY_S while nothing of that lane is in flight.
_CLAIM = """
SELECT pg_advisory_xact_lock({lock});
WITH lane AS MATERIALIZED (
    SELECT l.name, l.breaker = 'open' AS probing,
           LEAST(%(most)s, CASE WHEN l.breaker = 'open' THEN 1 ELSE COALESCE(l.cap, %(most)s) END
                 - CASE WHEN l.cap IS NULL AND l.breaker <> 'open' THEN 0 ELSE (
                       SELECT count(*) FROM generation_attempt a WHERE a.lane = l.name AND a.ended_at IS NULL)
                   END) AS room
    FROM providers_lane l
    WHERE NOT l.paused
      AND (l.cooldown_until IS NULL OR l.cooldown_until <= clock_timestamp())
      AND (l.breaker <> 'open' OR l.probe_at IS NULL OR l.probe_at <= clock_timestamp())
      AND NOT EXISTS (SELECT 1 FROM providers_lane desk WHERE desk.name = 'desk' AND desk.paused)
), picked AS MATERIALIZED (
    SELECT next.id, lane.name AS lane, lane.probing
    FROM lane CROSS JOIN LATERAL (
        SELECT i.id, i.weight, i.rank FROM generation_item i
        WHERE i.lane = lane.name AND i.status = 'QUEUED' {only}
        ORDER BY i.weight DESC, i.rank, i.id
        LIMIT GREATEST(lane.room, 0)
        FOR UPDATE SKIP LOCKED
    ) next
    WHERE lane.room > 0
    ORDER BY next.weight DESC, next.rank, next.id
    LIMIT %(most)s
), probed AS (
    UPDATE providers_lane SET probe_at = clock_timestamp() + %(probe_s)s * interval '1 second'
    WHERE name IN (SELECT lane FROM picked WHERE probing)
), claimed AS (
    UPDATE generation_item i
    SET status = 'RUNNING', fence = i.fence + 1, starts = i.starts + 1, hold_reason = '', run_after = NULL,
        lease_until = clock.now + %(lease_s)s * interval '1 second',
        started_at = CASE WHEN i.lane = '{internal}' THEN i.started_at ELSE clock.now END,
        first_started_at = COALESCE(i.first_started_at, clock.now)
    FROM picked CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS clock WHERE i.id = picked.id
    RETURNING i.*
), tried AS (
    INSERT INTO generation_attempt
        (item_id, round, step, pass_no, fence, lane, provider, model, operation, stage, outcome, remote_id, progress,
         key, content_type, sha256, cost_usd, error_code, error_detail, started_at)
    SELECT c.id, r.round, c.step, c.pass_no, c.fence, c.lane,
           CASE WHEN c.lane = '{internal}' THEN '{internal}'
                ELSE c.steps -> c.step::int -> 'candidates' -> c.candidate::int ->> 'provider' END,
           CASE WHEN c.lane = '{internal}' THEN ''
                ELSE c.steps -> c.step::int -> 'candidates' -> c.candidate::int ->> 'model' END,
           CASE WHEN c.adopts IS NOT NULL THEN 'adopt' ELSE c.steps -> c.step::int ->> 'operation' END,
           'SENT', '', '', 0, '', '', '', 0, '', '', clock_timestamp()
    FROM claimed c JOIN generation_request r ON r.id = c.request_id
    RETURNING id, item_id
)
SELECT t.id, c.* FROM tried t JOIN claimed c ON c.id = t.item_id ORDER BY c.weight DESC, c.rank, c.id
"""


@dataclass(frozen=True)
class Claim:
    """An item in this process's hands: valid while `fence` holds."""

    item: Item
    attempt_id: int
    fence: int
    only: Only = field(default_factory=lambda: Only())


def claim(most: int, *, only: Only | None = None) -> list[Claim]:
    """Take the next items, at most `most`, best first. One transaction, which is one round trip.

    Its two statements travel together: nobody's lock waits for a thread that waits for its CPU. Each sees what was
    committed when it begins, so the second sees what those who held the lock before have taken.
    """
    if most < 1:
        return []
    only = only or Only()
    with connection.cursor() as cursor:  # planned anew each time, because a queue grows faster than its statistics
        cursor.execute(
            _statement(only.sql), {"most": most, "lease_s": settings.LEASE_S, "probe_s": PROBE_EVERY_S, **only.params}
        )
        cursor.nextset()
        found = cursor.fetchall()
        columns = tuple(column.name for column in cursor.description)
    items = [(row[0], rows.read(Item, columns, row, after=1)) for row in found]
    return [Claim(item, attempt_id, item.fence, only) for attempt_id, item in items]


@cache
def _statement(only: str) -> str:
    return _CLAIM.format(only=only, internal=INTERNAL, lock=CLAIM_LOCK)


_NOTHING_BETTER = """
AND NOT EXISTS (SELECT 1 FROM providers_lane AS other JOIN generation_item AS better
                ON better.lane = other.name AND better.status = 'QUEUED' AND better.weight > i.weight
                WHERE NOT other.paused AND other.breaker <> 'open')
"""


@dataclass(frozen=True)
class Only:
    """What one worker may claim: partitions by door, operation or priority, or one item. Empty: everything.

    in_turn: only what nothing of a better class waits beside, in any lane.
    """

    doors: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    priorities: tuple[str, ...] = ()
    item: int | None = None
    in_turn: bool = False

    @classmethod
    def parse(cls, words: Iterable[str]) -> Only:
        """Read `door:visuals`, `operation:text-to-image`, `priority:urgent` …; raises ValueError for other words."""
        found: dict[str, list[str]] = {"door": [], "operation": [], "priority": []}
        for word in words:
            kind, colon, value = word.partition(":")
            if kind not in found or not value:
                raise ValueError(f"'{word}' is not door:…, operation:… or priority:…")
            found[kind].append(value)
        return cls(tuple(found["door"]), tuple(found["operation"]), tuple(found["priority"]))

    def takes(self, operation: str) -> bool:
        """Say whether a step of an item that was claimed may be done along with the one before it."""
        return not self.operations or operation in self.operations

    @property
    def sql(self) -> str:
        clauses = {
            "AND i.door = ANY(%(doors)s)": self.doors,
            "AND i.steps -> i.step::int ->> 'operation' = ANY(%(operations)s)": self.operations,
            "AND i.priority = ANY(%(priorities)s)": self.priorities,
            "AND i.id = %(item)s": self.item,
            _NOTHING_BETTER: self.in_turn,
        }
        return " ".join(clause for clause, wanted in clauses.items() if wanted)

    @property
    def params(self) -> dict[str, Any]:
        words = {"doors": self.doors, "operations": self.operations, "priorities": self.priorities}
        return {**{name: list(wanted) for name, wanted in words.items()}, "item": self.item}


# One plan serves every call: of a list the planner would not know how many places it holds, and plan anew.
_RANKS = """
fair AS MATERIALIZED (
    SELECT n.nth, GREATEST(
        COALESCE((SELECT rank FROM generation_item WHERE status = 'QUEUED' AND lane = n.lane AND weight = n.weight
                  ORDER BY rank LIMIT 1), 0),
        COALESCE((SELECT rank + 1 FROM generation_item
                  WHERE status = 'QUEUED' AND lane = n.lane AND weight = n.weight AND owner_id = %(fair_owner)s
                  ORDER BY rank DESC LIMIT 1), 0)) AS rank
    FROM (VALUES {places}) AS n(nth, lane, weight))
"""


class FairRanks:
    """The rank of an owner's next item in each of some (lane, weight): the front of the waiting, or behind one's own.

    Nothing is stored and a stale read only makes a tie, so no lock is needed. Further new items of the same owner
    take the numbers that follow. `part` asks, alone or in the statement that stores the items: there `unread`
    stands for a rank that nobody has read yet.
    """

    def __init__(self, places: Iterable[tuple[str, int]], owner_id: UUID) -> None:
        self._places = list(dict.fromkeys(places))
        values: dict[str, Any] = {"fair_owner": owner_id}
        rows = []
        for nth, (lane, weight) in enumerate(self._places):
            values |= {f"lane_{nth}": lane, f"weight_{nth}": weight}
            rows.append(f"({nth}, %(lane_{nth})s::text, %(weight_{nth})s::int)")
        columns = ("(SELECT array_agg(rank ORDER BY nth) FROM fair)",)
        self.part = sql.Part(_RANKS.format(places=", ".join(rows)), columns, values)

    def unread(self, place: tuple[str, int], behind: int) -> Sql:
        """Spell the rank of one of several new items, `behind` so many others of theirs."""
        return Sql(f"(SELECT rank + {behind:d} FROM fair WHERE nth = {self._places.index(place):d})")  # noqa: S608

    def read(self, found: tuple[list[int]]) -> dict[tuple[str, int], int]:
        return dict(zip(self._places, found[0], strict=True))


def fair_rank(lane: str, weight: int, owner_id: UUID) -> int:
    """Return the rank of this owner's next item in one lane and weight. One query."""
    ranks = FairRanks([(lane, weight)], owner_id)
    return ranks.read(*sql.run(ranks.part))[lane, weight]


def front_rank(lane: str, weight: int) -> Sql:
    """Spell the lowest waiting rank of that lane and weight: where an item goes whose next step begins.

    Read by the statement that moves the item: whoever asked before would hold its request's lock meanwhile.
    """
    if not _LANE.fullmatch(lane):
        raise ValueError(f"no name of a lane: {lane!r}")
    waiting = f"front.status = 'QUEUED' AND front.lane = '{lane}' AND front.weight = {weight:d}"
    return Sql(
        f"COALESCE((SELECT front.rank FROM generation_item AS front WHERE {waiting} ORDER BY front.rank LIMIT 1), 0)"  # noqa: S608
    )
