"""What a vendor takes of the pictures of one call, as its notes say it: sides, pixels, shape, bytes. Pure.

Adapters hold their calls against it; doors ask before anything is charged, and whether another size would do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from providers import sniff


@dataclass(frozen=True)
class Limits:
    """Sides and pixels of each picture; 0 at most: no such limit.

    shape: the longer side by the shorter, at most. file_bytes: of one picture. body_bytes: of all files of a call.
    """

    shortest: int = 1
    longest: int = 0
    fewest: int = 1
    most: int = 0
    shape: float = 0.0
    file_bytes: int = 0
    body_bytes: int = 0

    def fault(self, look: sniff.Look) -> str:
        """What is wrong with a picture, or nothing. A size that the head of the file does not tell passes."""
        if look.content_type not in sniff.PICTURES:
            return "The picture must be PNG, JPEG or WebP."
        if not look.width or not look.height:
            return ""
        short, long = sorted((look.width, look.height))
        has = f"it has {look.width} x {look.height}."
        if short < self.shortest or self.longest and long > self.longest:
            most = f" to {self.longest:,}" if self.longest else " or more"
            return f"Each side of the picture must have {self.shortest}{most} pixels; {has}"
        if short * long < self.fewest or self.most and short * long > self.most:
            most = f" to {self.most:,}" if self.most else " or more"
            return f"The picture must have {self.fewest:,}{most} pixels; {has}"
        if self.shape and long > self.shape * short:
            return f"The picture's longer side must be at most {self.shape:g} times the shorter; {has}"
        return ""

    def weight_fault(self, sizes_bytes: Iterable[int]) -> str:
        """What is wrong with the bytes of a call's files, or nothing."""
        sizes = list(sizes_bytes)
        if self.file_bytes and (over := [size for size in sizes if size > self.file_bytes]):
            rule = f"A picture may have {self.file_bytes:,} bytes; this one has {over[0]:,}"
        elif self.body_bytes and sum(sizes) > self.body_bytes:
            rule = f"The pictures may have {self.body_bytes:,} bytes together; they have {sum(sizes):,}"
        else:
            return ""
        return f"{rule}. JPEG or WebP makes them smaller."

    def nearest(self, width: int, height: int) -> tuple[int, int] | None:
        """The nearest size of the same shape that is taken; None when there is none."""
        short, long, pixels = min(width, height), max(width, height), width * height
        grow = max(1.0, self.shortest / short, math.sqrt(self.fewest / pixels))
        shrink = min(
            1.0,
            self.longest / long if self.longest else 1.0,
            math.sqrt(self.most / pixels) if self.most else 1.0,
        )
        if grow > 1:
            size = math.ceil(width * grow), math.ceil(height * grow)
        else:
            size = max(1, int(width * shrink)), max(1, int(height * shrink))
        return None if self.fault(sniff.Look(sniff.PICTURES[0], True, *size)) else size
