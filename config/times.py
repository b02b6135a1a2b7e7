"""How a moment is spelled for people: how long ago it was, with the exact time behind it. The one place for that.

Words are right as of when a page is drawn; `times.js` keeps them fresh by the same steps.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils import dateformat, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

# From so many seconds on -> of how many seconds one is, and what one and several are called.
STEPS = (
    (365 * 86400, 365 * 86400, "year", "years"),
    (31 * 86400, 30.44 * 86400, "month", "months"),
    (86400, 86400, "day", "days"),
    (3600, 3600, "h", "h"),
    (60, 60, "min", "min"),
    (1, 1, "s", "s"),
)


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Spell how far away a moment is: `now`, `3 min ago`, `in 2 days`."""
    seconds = ((now or timezone.now()) - moment).total_seconds()
    far = abs(int(seconds))
    for least, length, one, several in STEPS:
        if far >= least:
            count = max(1, int(far / length))
            words = f"{count} {one if count == 1 else several}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "now"


def exact(moment: datetime) -> str:
    """To the second, in UTC: nobody has to guess whose clock it is."""
    return f"{dateformat.format(moment.astimezone(UTC), 'j F Y, H:i:s')} UTC"


def when(moment: datetime | None) -> SafeString:
    """How long ago, the exact time on hover. Empty where there is no moment."""
    if moment is None:
        return SafeString("")
    return _element(moment, ago(moment), " data-ago")


def when_in_full(moment: datetime | None) -> SafeString:
    """How long ago, the exact time beside it: where there is room, neither hand nor screen reader has to hover."""
    if moment is None:
        return SafeString("")
    spelled = format_html('<time class="is-exact" datetime="{}">{}</time>', _iso(moment), exact(moment))
    return format_html("{} {}", when(moment), spelled)


def due(moment: datetime | None) -> SafeString:
    """When something is to happen, the exact time on hover: `in 12 s`, and `now` for as long as it is late."""
    if moment is None:
        return SafeString("")
    now = timezone.now()
    return _element(moment, ago(moment, min(now, moment)), ' data-ago="due"')


def clock(moment: datetime | None) -> SafeString:
    """The time of day, the exact time on hover: for steps of one story, whose order and distance count."""
    return SafeString("") if moment is None else _element(moment, f"{moment.astimezone(UTC):%H:%M:%S}")


def since(moment: datetime | None, words: str) -> SafeString:
    """Words of the caller's own for how long something lasts, the exact time of its beginning on hover."""
    return SafeString("") if moment is None else _element(moment, words)


def _element(moment: datetime, words: str, how: str = "") -> SafeString:
    attributes: tuple[Any, ...] = (_iso(moment), exact(moment), SafeString(how), words)
    return format_html('<time datetime="{}" title="{}"{}>{}</time>', *attributes)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
