"""What a story's socket hears of a run, from its events: each step of each picture, in the order they happened. Pure.

Every message says how far the run was at that moment, so it is folded from the run's first event on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from generation.models import EventKind

# The step that has ended -> the contract's word for what follows. The thumbnail is made between the first two.
FOLLOWS = {"thumbnail": "verifying", "verify": "saving"}


@dataclass(frozen=True)
class Told:
    """An event of a run. item: None where it is the request's."""

    seq: int
    kind: str
    item: int | None
    data: Mapping[str, Any]


@dataclass
class _Segment:
    number: int
    images: int
    stored: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        return len(self.stored) + len(self.failed) == self.images


@dataclass
class Progress:
    """session_id and the places of its pictures: item -> (segment number, image number)."""

    session_id: str
    places: Mapping[int, tuple[int, int]]

    def messages(self, events: Iterable[Told]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each message with the seq of its event; several may share one."""
        self._segments: dict[int, _Segment] = {}
        for number, _ in self.places.values():
            self._segments.setdefault(number, _Segment(number, 0)).images += 1
        self._words: dict[int, str] = {}
        for event in events:
            yield from ((event.seq, message) for message in self._after(event))

    def _after(self, event: Told) -> Iterator[dict[str, Any]]:
        if event.kind in (EventKind.SUBMITTED, EventKind.REOPENED):
            yield self._message(None, None, "")
        if event.item is None or event.item not in self.places:
            return
        number, image = self.places[event.item]
        segment = self._segments[number]
        if event.kind == EventKind.QUEUED and "round" in event.data:  # reopened by staff
            segment.failed.discard(image)
            self._words.pop(event.item, None)
        elif word := self._word(event):
            self._words[event.item] = word
            if word in ("completed", "failed"):
                (segment.stored if word == "completed" else segment.failed).add(image)
                yield self._message(segment, image, word, before_its_end=True)
                if segment.is_over:
                    yield self._message(segment, image, "failed" if segment.failed else "completed")
            else:
                yield self._message(segment, image, word)

    def _word(self, event: Told) -> str:
        """What an event says of its picture; empty when that was said before, or is nothing to tell."""
        word = ""
        if event.kind == EventKind.STARTED:
            word = "" if event.item in self._words else "generating"
        elif event.kind in (EventKind.STEP, EventKind.RETRYING) and "pass" in event.data:
            word = "generating"
        elif event.kind == EventKind.STEP:
            word = FOLLOWS.get(event.data.get("step", ""), "")
        elif event.kind == EventKind.SUCCEEDED:
            word = "completed"
        elif event.kind in (EventKind.FAILED, EventKind.CANCELLED):
            word = "failed"
        return "" if word == self._words.get(event.item or 0) else word

    def _message(
        self, segment: _Segment | None, image: int | None, word: str, *, before_its_end: bool = False
    ) -> dict[str, Any]:
        """before_its_end: the picture has ended, its segment is not yet counted as completed."""
        total = len(self._segments)
        done = sum(one.is_over for one in self._segments.values() if not (before_its_end and one is segment))
        current = None
        if segment is not None:
            current = {
                "segment_number": segment.number,
                "images_completed": len(segment.stored),
                "images_total": segment.images,
                "current_step": word,
                "current_image": image,
            }
        return {
            "type": "story_image_progress",
            "session_id": self.session_id,
            "progress": {
                "overall_percentage": 100 * done // total if total else 0,
                "segments_completed": done,
                "segments_total": total,
                "current_segment": segment.number if segment else None,
                "current_segment_progress": current,
            },
        }
