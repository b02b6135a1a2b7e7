"""A story from its start to its end being told, against the critical path; and how long reading segments.md takes."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterable

from django.db import connection, transaction

from bench import desk
from bench.figures import Figure
from config.models import User
from generation import storage
from generation.doors.stories import places, starting
from generation.doors.stories.segments import MOST_BYTES, parse
from generation.models import Event, EventKind

SEGMENTS, IMAGES = 8, 2
DRAWING_S, CHECKING_S = 1.0, 0.3
STORIES = 7
WORKERS, THREADS = 2, 16
PICTURE_BYTES = 200_000
END_S = 60.0


def measure(scale: float) -> list[Figure]:
    usual, odd = _reading()
    with desk.running(desk.simulator(delay_s=DRAWING_S, picture_bytes=PICTURE_BYTES)):
        checked = {"provider": "openrouter", "fault": "slow", "times": 1_000_000, "delay_s": CHECKING_S}
        desk.simulator_says("POST", "_faults", checked)
        (person,) = desk.people(1)
        with desk.running(*desk.workers(WORKERS, threads=THREADS)):
            _draw(person, "warm-up")
            drawn = [_draw(person, f"story-{n}") for n in range(max(1, int(STORIES * scale)))]
    took, told_s = [one for one, _ in drawn], statistics.median(told for _, told in drawn)
    critical_s = DRAWING_S + CHECKING_S
    return [
        Figure(
            f"{SEGMENTS} segments x {IMAGES} images, of the critical path of {critical_s:g} s",
            statistics.median(took) / critical_s,
            "times",
            limit=1.5,
            note=f"{', '.join(f'{one:.2f}' for one in took)} s; told {told_s:.2f} s later",
        ),
        Figure("reading a segments.md of 1 MiB", usual, "ms", limit=100, note="50 segments; best of 5"),
        Figure("reading the oddest 1 MiB", odd, "ms", note="fences, labels or headers alone"),
    ]


def _draw(person: User, session_id: str) -> tuple[float, float]:
    """Draw one story; return the seconds from its start to its last picture, and from there until its end is told."""
    place = places.usual(person.storage_id, session_id)
    storage.replace(place.source, io.BytesIO(_story(SEGMENTS, "The sea at that hour. ").encode()))
    story = starting.prepare(session_id, place, {"num_images": IMAGES})
    with transaction.atomic():
        begun = starting.begin(story, person.pk)
    starting.announce(begun)
    deadline = time.monotonic() + END_S
    end = Event.objects.filter(request=begun.order, kind=EventKind.MIRRORED)
    while (told := end.first()) is None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{session_id} did not end within {END_S:.0f} s")
        connection.close()
        time.sleep(0.2)  # what is measured says its own times; whoever looks takes the CPU of those who work
    order = begun.order
    if order.items.exclude(status="SUCCEEDED").exists():
        raise RuntimeError(f"a picture of {session_id} did not succeed")
    order.refresh_from_db()
    assert order.finished_at
    return (order.finished_at - order.created_at).total_seconds(), (told.at - order.finished_at).total_seconds()


def _story(segments: int, words: str) -> str:
    return "Template: Tides\n" + "".join(
        f"**Segment {n}: Part {n} ({8 * n - 8}-{8 * n} seconds)**\n- Narration text:\n```\n{words}\n```\n"
        f"- Visual guidance: A beach at hour {n}\n"
        for n in range(1, segments + 1)
    )


def _reading() -> tuple[float, float]:
    """Milliseconds for a file as long as may be: as people write them, and the slowest of odd ones."""
    lines = "Words of a narration that goes on and on, line by line.\n" * (MOST_BYTES // 50 // 58)
    usual = _story(50, lines).encode()[:MOST_BYTES]
    head = b"Template: x\n**Segment 1: x (1)\n"
    pieces = (b"```\n", b"**Segment:\n", b"narration text:\n", b"Template:\n", b"\n")
    odd = [head + piece * ((MOST_BYTES - len(head)) // len(piece)) for piece in pieces]
    return _best_ms([usual]), _best_ms(odd)


def _best_ms(files: Iterable[bytes]) -> float:
    """The slowest file's best time of five."""

    def took(data: bytes) -> float:
        began = time.perf_counter()
        parse(data)
        return 1000 * (time.perf_counter() - began)

    return max(min(took(data) for _ in range(5)) for data in files)
