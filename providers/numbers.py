"""Numbers out of vendors' answers. What is no sane number is as good as none: it must not lose a paid result. Pure."""

from __future__ import annotations

from decimal import Decimal

MOST = 10_000  # dollars, seconds, megapixels: beyond that a number in an answer is nonsense
LARGEST_SEED = 2**63 - 1  # what a row can hold


def amount(value: object, most: float = MOST) -> Decimal | None:
    """A number from 0 to below `most`; None for anything else, as for text, true, NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < most:
        return None
    return Decimal(str(value))


def whole(value: object, most: int) -> int | None:
    """A whole number from 0 to `most`; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def seed(value: object) -> int | None:
    """A seed that can be kept, as a number or in digits; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    return whole(value, LARGEST_SEED)
