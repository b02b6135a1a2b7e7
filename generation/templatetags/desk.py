"""How the console spells rows for people: labels, money, times, the data of events.

Django loads tag libraries before the admin rooms, so this must not import them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config import spelling, times
from generation.live.totals import span
from generation.models import Attempt

register = template.Library()

KINDS = {
    "is-good": ("succeeded", "completed", "made", "adopted", "clean", "healthy", "flowing", "changed"),
    "is-bad": ("failed", "lost", "critical", "silent", "breaker open", "refused"),
    "is-busy": ("running", "waiting", "in flight"),
    "is-care": ("held", "rate limited", "passed on", "late", "warning", "paused", "cooling", "missed"),
}


@register.simple_tag
def state_label(word: str) -> SafeString:
    """A word on a coloured label; the word alone says it too."""
    kind = next((css for css, words in KINDS.items() if word in words), "is-bad" if word.endswith("faults") else "")
    return format_html('<span class="console-label {}">{}</span>', kind, word)


@register.simple_tag
def bar(percent: int | None, path: str) -> SafeString:
    """A bar of so many percent, which the live strip moves; the number stands beside it for everybody."""
    return format_html(
        '<svg class="console-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="is-rest" width="100" height="8"/><rect height="8" data-width="{}" width="{}"/></svg>',
        path,
        percent or 0,
    )


@register.filter
def of(known: Mapping[str, Any], key: str) -> Any:
    return known.get(key, key) or "internal"


@register.filter
def at(known: Mapping[str, Any], key: str) -> Any:
    return known[key]


@register.filter
def lasting(moment: datetime | None) -> SafeString | str:
    """How long it has lasted, for a column that is drawn anew all the time: `3 min 5 s`, its beginning on hover."""
    return times.since(moment, span((timezone.now() - moment).total_seconds())) if moment else "–"


@register.filter
def plainly(text: str) -> str:
    return spelling.plainly(text)


@register.filter
def usd(cost: Decimal | None) -> str:
    """A provider's cost, which is never mixed with credits."""
    return spelling.usd(cost)


@register.filter
def seconds(length: float | None) -> str:
    return "–" if length is None else f"{length:.1f} s"


@register.filter
def took(attempt: Attempt) -> str:
    return f"{(attempt.ended_at - attempt.started_at).total_seconds():.1f} s" if attempt.ended_at else "–"


@register.filter(name="outcome")
def came_of(attempt: Attempt) -> str:
    return attempt.get_outcome_display() or "in flight"


@register.filter
def said(data: Mapping[str, Any]) -> str:
    """An event's or act's data in one line: `code TIMEOUT, refunded 2`."""
    return spelling.said(data)
