"""Claims with a long queue, against the same claims where nothing else is in the table."""

from __future__ import annotations

import time

from bench import desk
from bench.figures import Figure, percentile, spread
from bench.fill import Filling, bulk
from generation.claim import claim
from generation.models import Attempt, Item
from providers.models import Lane

ROWS, WAITING, CLAIMS = 1_000_000, 100_000, 300
CAP = 50
LIMIT = 1.5


def measure(scale: float) -> list[Figure]:
    rows, waiting = int(ROWS * scale), int(WAITING * scale)
    people = desk.people(100)
    Filling(people).waiting(2 * CLAIMS)
    empty = _claim_ms()

    desk.empty()
    people = desk.people(100)
    filling = Filling(people)
    with bulk():
        filling.ended(rows - waiting)
        filling.waiting(waiting * 9 // 10)
        filling.waiting(waiting // 10, lane=desk.OTHER_LANE)
    long = _claim_ms()
    _fill_the_lane()
    behind = _claim_ms()
    base = percentile(empty, 50)
    return [
        Figure("claim of one, nothing else in the table, p50", base, "ms", note=spread(empty, 90)),
        _ratio(f"{waiting:,} waiting in {rows:,} rows", long, base),
        _ratio("90 % of them behind a full lane", behind, base),
    ]


def _ratio(name: str, samples: list[float], base: float) -> Figure:
    note = f"p50 {percentile(samples, 50):.2f} ms, " + spread(samples, 90)
    return Figure(f"claim of one, {name}, p50", percentile(samples, 50) / base, "times", limit=LIMIT, note=note)


def _claim_ms() -> list[float]:
    """Claim one after another; nothing is put back, so that each finds the next in the queue."""
    samples = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        taken = claim(1)
        samples.append(1000 * (time.perf_counter() - began))
        assert taken
    return samples


def _fill_the_lane() -> None:
    """Let the lane of most items be full: as many calls in flight as its cap allows."""
    Attempt.objects.filter(lane=desk.OTHER_LANE).update(ended_at="2026-01-01T00:00:00Z", outcome="made")
    flying = Attempt.objects.filter(lane=desk.LANE, ended_at__isnull=True).count()
    Lane.objects.filter(name=desk.LANE).update(cap=min(CAP, flying))
    assert Item.objects.filter(lane=desk.LANE, status="QUEUED").exists()
